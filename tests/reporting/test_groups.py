"""Which runs differ in the seed alone, and how the others are told apart."""

from typing import Any

from awac_dist.reporting.groups import Run, differences, groups_of, labels, settings_of


def config(**changes: Any) -> dict[str, Any]:
    algorithm = {"name": "awac", "temperature": 1.0, "actor": {"hidden": [64, 64]}}
    its = {"env": "A-v0", "workers": None, "seed": 0, "run_dir": "x", "offline": {"updates": 5}}
    its["algorithm"] = algorithm | changes.pop("algorithm", {})
    return its | changes


def groups(*configs: dict[str, Any]) -> dict[str, list[str]]:
    runs = [Run(str(number), settings_of(its), []) for number, its in enumerate(configs)]
    return {group.label: [run.name for run in group.runs] for group in groups_of(runs)}


def test_settings_are_flat_and_say_what_and_not_where() -> None:
    said = settings_of(config(address="auto", reporting={"track": "wandb"}))
    assert said == {
        "env": "A-v0",
        "workers": "None",
        "offline.updates": "5",
        "algorithm.name": "awac",
        "algorithm.temperature": "1.0",
        "algorithm.actor.hidden": "[64, 64]",
    }
    task = settings_of({"env": {"id": "B-v0", "kwargs": {"gain": 2}}})
    assert task == {"env": "B-v0", "env.kwargs.gain": "2"}


def test_runs_that_differ_in_the_seed_alone_are_one_group() -> None:
    seeds = [config(seed=seed, run_dir=str(seed)) for seed in range(3)]
    assert groups(*seeds) == {"awac": ["0", "1", "2"]}


def test_a_label_says_what_differs_and_no_more() -> None:
    hot, iql = config(algorithm={"temperature": 9.0}), config(algorithm={"name": "iql"})
    assert groups(config(), hot, config(seed=1)) == {
        "temperature 1.0": ["0", "2"],
        "temperature 9.0": ["1"],
    }
    iql_longer = config(algorithm={"name": "iql"}, offline={"updates": 9}, workers=3)
    assert list(groups(config(), hot, iql, iql_longer)) == [
        "awac, temperature 1.0",
        "awac, temperature 9.0",
        "iql, updates 5",
        "iql, updates 9",  # and not its workers, which tell nothing more apart
    ]


def test_the_end_of_a_path_is_enough_where_no_other_has_it() -> None:
    ones = [{"a.kind.name": "x", "b.name": str(n), "c.bname": "y"} for n in range(2)]
    assert labels(ones) == ["b.name 0", "b.name 1"]
    assert labels([{"a.name": "x"}, {}]) == ["name x", "name -"]


def test_an_argument_of_the_task_may_have_the_name_of_an_option() -> None:
    env = {"id": "A-v0", "kwargs": {"mode": "easy"}}
    assert groups(config(env=env, mode="sync"), config(env=env, mode="async")) == {
        "mode sync": ["0"],
        "mode async": ["1"],
    }
    other = {"id": "A-v0", "kwargs": {"mode": "hard"}}
    assert list(groups(config(env=env, mode="sync"), config(env=other, mode="sync"))) == [
        "kwargs.mode easy",
        "kwargs.mode hard",
    ]


def test_each_task_has_groups_of_its_own() -> None:
    runs = [Run("", settings_of(config(env=env)), []) for env in ("B-v0", "A-v0", "B-v0")]
    found = groups_of(runs)
    assert [(its.task, its.label, len(its.runs)) for its in found] == [
        ("B-v0", "awac", 2),
        ("A-v0", "awac", 1),
    ]


def test_all_differences_are_listed() -> None:
    other = config(workers=2, algorithm={"name": "iql", "expectile": 0.7})
    runs = [Run("", settings_of(its), []) for its in (config(), other)]
    assert differences(groups_of(runs)) == {
        "workers": ["None", "2"],
        "algorithm.name": ["awac", "iql"],
        "algorithm.expectile": ["", "0.7"],
    }
