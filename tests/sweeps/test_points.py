"""What a sweep's file says: which points there are, and what is refused before anything starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from running import write_demonstrations

from awac_dist.algorithms.iql import IQLConfig
from awac_dist.cli.main import main
from awac_dist.cli.parser import walk
from awac_dist.config import RunConfig
from awac_dist.errors import InputError
from awac_dist.experiments.running import beside
from awac_dist.sweeps.config import SweepConfig, read_sweep
from awac_dist.sweeps.points import Axis, axes_of, points_of
from awac_dist.sweeps.trials import CONFIG, Trial, trials_of, write_down

PAGE = Path(__file__).parents[2] / "docs" / "sweep.md"
PATH = "algorithm.temperature"
RUN = RunConfig()
STEPS = RUN.online.env_steps
UPDATES = RUN.clone.updates + RUN.offline.updates + STEPS  # one a step


def points(samples: int | None, **search: Any) -> Sequence[Any]:
    sweep = SweepConfig(search=search, samples=samples)
    return points_of(sweep, axes_of("file", sweep))


def trials(tmp_path: Path, env: str | None = None, **said: Any) -> list[Trial]:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(said))
    file = str(tmp_path / "sweep.yaml")
    sweep = read_sweep(file)
    return trials_of(file, sweep, axes_of(file, sweep), tmp_path / "out", env)


def test_a_grid_has_every_cell_once_in_the_order_of_the_file() -> None:
    found = points(None, **{PATH: {"grid": [1, 2]}, "learner.batch_size": {"grid": [64, 128]}})
    cells = [(1.0, 64), (1.0, 128), (2.0, 64), (2.0, 128)]
    assert [tuple(point.values()) for point in found] == cells


def test_draws_stay_the_same_and_more_come_behind() -> None:
    search = {"learner.batch_size": {"loguniform": [32, 1024]}, PATH: {"grid": [1, 2]}}
    few, many = points(3, **search), points(5, **search)
    assert few == many[:6]
    assert list(few[0]) == list(search)
    sizes = [point["learner.batch_size"] for point in many]
    assert sizes[::2] == sizes[1::2]  # one draw with every cell
    assert len({*sizes}) == 5


def test_draws_lie_in_their_range_on_its_scale() -> None:
    low = points(400, **{PATH: {"loguniform": ["1e-4", 1]}})  # as YAML has 1e-4
    values = [point[PATH] for point in low]
    assert all(1e-4 <= value <= 1 for value in values)
    assert 160 < sum(value < 1e-2 for value in values) < 240  # half of the decades
    whole = [
        point["learner.threads"] for point in points(50, **{"learner.threads": {"uniform": [1, 3]}})
    ]
    assert {*whole} == {1, 2, 3}
    chosen = points(50, **{"algorithm.name": {"choice": ["awac", "iql"]}})
    assert {point["algorithm.name"] for point in chosen} == {"awac", "iql"}
    narrow = Axis("x", "uniform", (0.99996, 0.99999))  # four digits would be 1
    assert narrow.draw(np.random.default_rng(0)) == 0.99999


def test_options_may_be_nested_and_short() -> None:
    nested = {"algorithm": {"actor": {"learning_rate": {"grid": [0.1]}}}, "env": {"grid": ["A"]}}
    assert [*points(None, **nested)[0]] == ["algorithm.actor.learning_rate", "env"]
    assert [*points(None, algorithm={"grid": ["bc"]})[0]] == ["algorithm.name"]


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ({}, "search: is empty"),
        ({"algorithm.temprature": {"grid": [1]}}, "did you mean algorithm.temperature"),
        ({"algorithm": {"temprature": {"grid": [1]}}}, "did you mean algorithm.temperature"),
        ({PATH: {"gird": [1]}}, "does not say how to try values; did you mean grid"),
        ({PATH: [1, 2]}, "does not say how to try values; give one of grid, choice, uniform"),
        ({PATH: {"grid": [1], "choice": [2]}}, "does not say how to try values"),
        ({PATH: {"grid": 1}}, "grid: 1 is not a list of values"),
        ({PATH: {"grid": []}}, "is not a list of values"),
        ({PATH: {"grid": ["much"]}}, "'much' is not a number"),
        ({PATH: {"uniform": [2, 1]}}, r"\[2.0, 1.0\] is not \[LOWEST, HIGHEST\]"),
        ({PATH: {"loguniform": [0, 1]}}, r"is not \[LOWEST, HIGHEST\] above 0"),
        ({"mode": {"uniform": ["sync", "async"]}}, "is no number: give grid or choice"),
        ({"algorithm.name": {"grid": ["awca"]}}, "'awca' is not one of abm"),
        ({"seed": {"grid": [1]}}, "search.seed: cannot be tried: `seeds` says how many"),
        ({PATH: {"choice": [1]}}, "samples: say how many points are drawn"),
    ],
)
def test_what_cannot_be_tried_is_refused(search: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=f"^file: .*{problem}"):
        axes_of("file", SweepConfig(search=search))


def test_samples_of_a_grid_are_refused() -> None:
    with pytest.raises(InputError, match="samples: nothing is drawn"):
        points(3, **{PATH: {"grid": [1]}})


GRID = {PATH: {"grid": [1, 2]}}


def test_a_trial_is_a_process_alone_unless_options_say_else(tmp_path: Path) -> None:
    found = trials(tmp_path, search=GRID, seeds=2, cpus=2)
    assert [its.name[6:] for its in found] == [
        "000-seed-0",
        "001-seed-0",
        "000-seed-1",
        "001-seed-1",
    ]
    last = found[-1].config
    assert (last.algorithm.temperature, last.seed) == (2.0, 1)  # type: ignore[attr-defined]
    assert (last.runtime, last.workers, last.learner.threads) == ("inline", 1, 2)
    other = trials(tmp_path, search=GRID, options={"workers": 3, "runtime": "ray"})[0].config
    assert (other.runtime, other.workers) == ("ray", 3)


def test_presets_then_options_then_words_then_what_is_tried(tmp_path: Path) -> None:
    said = {"config": ["iql"], "options": {"algorithm": {"expectile": 0.6}, "env": "A-v0"}}
    search = {"algorithm.expectile": {"grid": [0.8]}}
    (its,) = trials(tmp_path, "mine:B-v0", search=search, **said)
    assert isinstance(its.config.algorithm, IQLConfig)
    assert its.config.algorithm.expectile == 0.8
    assert its.config.env.to_type == ["--env", "mine:B-v0"]
    with pytest.raises(InputError, match=r"sweep.yaml: options: env.*--env mine:B-v0"):
        trials(tmp_path, search=search, config=["iql"], options={"env": "mine:B-v0"})


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"serach": {}}, "no option serach; did you mean search"),
        ({"asha": {"frist": 1}}, "no option asha.frist; did you mean asha.first"),
        ({"seeds": 0}, "seeds: 0 is not 1 or more"),
        ({"cpus": "many"}, "cpus: 'many' is not a number"),
        ({"asha": {"factor": 4}}, "asha.factor: has no effect without asha.first"),
        ({"asha": {"by": "env_steps"}}, "asha.by: has no effect without asha.first"),
        ({"metric": "eval/retrun"}, "'eval/retrun' is not one of eval/return"),
        ({"options": {"learner": {"batch": 1}}}, "options: no option learner.batch"),
        ({"options": {"seed": 3}}, "options: seed: cannot be said of all: `seeds` says"),
        ({"options": {"evaluation.episodes": 0}}, "evaluation.episodes is 0: eval/return"),
        ({"search": {PATH: {"grid": [-1]}}}, f"search.{PATH}: -1.0 is not above 0"),
        (
            {"search": {"algorithm.expectile": {"grid": [0.9]}}},
            "expectile is iql.s; this run.s algorithm is awac",
        ),
        (
            {"asha": {"first": UPDATES}},
            f"first: {UPDATES} is not below the {UPDATES} grad_steps of",
        ),
        (
            {"asha": {"first": STEPS, "by": "env_steps"}},
            f"is not below the {STEPS} env_steps of",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused(
    tmp_path: Path, said: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        trials(tmp_path, **{"search": GRID} | said)


@pytest.mark.parametrize(
    ("kinds", "more", "length"),
    [
        (["demonstration"], {}, 1_300),
        ([""], {}, 1_300),  # the file says so
        (["prior"], {}, 300),
        (["prior", "demonstration"], {}, 1_300),
        (["demonstration"], {"clone.updates": 0}, 300),
        (["demonstration"], {"init": "a.npz"}, 300),
    ],
)
def test_a_clone_counts_where_there_is_something_to_clone(
    tmp_path: Path, kinds: list[str], more: dict[str, Any], length: int
) -> None:
    data = [
        write_demonstrations(tmp_path / f"{number}.parquet") + (f",kind={kind}" if kind else "")
        for number, kind in enumerate(kinds)
    ]
    run = {"data": data, "clone.updates": 1_000, "offline.updates": 300, "online.env_steps": 0}
    said = {"search": GRID, "options": {**run, "evaluation.every_updates": 100, **more}}
    trials(tmp_path, **said, asha={"first": length - 1})
    with pytest.raises(InputError, match=f"asha.first: {length} is not below the {length} grad"):
        trials(tmp_path, **said, asha={"first": length})


@pytest.mark.parametrize(
    ("offline", "online", "asha", "due"),
    [
        (300, 0, {"first": 10}, False),  # the last evaluation is at the end
        (301, 0, {"first": 10}, True),
        (0, 300, {"first": 10}, False),
        (0, 301, {"first": 10}, True),
        (50, 300, {"first": 50}, True),  # by the one between the phases
        (50, 300, {"first": 51}, False),
        (50, 301, {"first": 51}, True),
        (900, 300, {"first": 10, "by": "env_steps"}, False),  # those offline are at none
        (0, 301, {"first": 10, "by": "env_steps"}, True),
    ],
)
def test_halving_that_hears_of_no_evaluation_is_refused(
    tmp_path: Path, offline: int, online: int, asha: dict[str, Any], due: bool
) -> None:
    length = {"clone.updates": 0, "offline.updates": offline, "online.env_steps": online}
    said = {"search": GRID, "options": {**length, "evaluation.every_updates": 300}, "asha": asha}
    if due:
        assert len(trials(tmp_path, **said)) == 2
        return
    with pytest.raises(InputError, match=r"asha\.first: no evaluation is due from .* on before"):
        trials(tmp_path, **said)
    longer = {"search": {"evaluation.every_updates": {"grid": [100, 300]}}}
    assert len(trials(tmp_path, **said | {"options": length} | longer)) == 2  # some are looked at


def test_what_was_begun_otherwise_is_left_alone(tmp_path: Path) -> None:
    first = trials(tmp_path, search=GRID)
    write_down(first, tmp_path)
    write_down(trials(tmp_path, search=GRID, seeds=2), tmp_path)  # more of the same
    with pytest.raises(InputError, match=r"begun with learner\.batch_size 256, and is now 64"):
        write_down(trials(tmp_path, search=GRID, options={"learner.batch_size": 64}), tmp_path)
    assert [its.ended for its in first] == ["", ""]
    first[1].end("behind")
    assert [its.ended for its in first] == ["", "behind"]


def test_what_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    """It knew an option less, and one that there is no more."""
    said = {"search": GRID, "options": {"env": {"id": "A-v0", "kwargs": {"gain": 2}}}}
    first, *_ = begun = trials(tmp_path, **said)
    write_down(begun, tmp_path)
    file = beside(first.folder, CONFIG)
    config = yaml.safe_load(file.read_text())
    del config["rollout"]["cpus"]
    config["rollout"]["gone"] = 3
    file.write_text(earlier := yaml.safe_dump(config))
    write_down(begun, tmp_path)
    assert yaml.safe_load(file.read_text())["rollout"]["cpus"] is None
    file.write_text(earlier)
    said["options"]["rollout.cpus"] = 0.5
    with pytest.raises(InputError, match=r"begun with rollout\.cpus None, and is now 0\.5"):
        write_down(trials(tmp_path, **said), tmp_path)
    with pytest.raises(InputError, match=r"begun with env\.kwargs\.gain 2, and is now unset"):
        write_down(trials(tmp_path, search=GRID, options={"env": "A-v0"}), tmp_path)


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "none.yaml"]) == 2
    assert "FILE: cannot read none.yaml: No such file" in capsys.readouterr().err
    Path("some.yaml").write_text(f"search: {{{PATH}: {{grid: [1, 2]}}}}\nseeds: 3")
    assert main(["sweep", "some.yaml", "--out", "s3://here"]) == 2
    assert "--out: s3://here is no folder of this machine" in capsys.readouterr().err
    monkeypatch.setenv("AWAC_DIST_RUNS", "")  # as if it were not there
    assert main(["sweep", "some.yaml", "--dry-run"]) == 0
    assert f"point  {PATH}\n0{'1':>27}\n" in (shown := capsys.readouterr().out)
    assert f"6 trials in all, in {tmp_path}/runs/some" in shown


def test_the_page_tells_every_key_and_its_file_is_legal(tmp_path: Path) -> None:
    text = PAGE.read_text()
    keys = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert keys >= {field.path for field in walk(SweepConfig())}
    block = text.partition("```yaml\n")[2].partition("```")[0]
    assert len(trials(tmp_path, **yaml.safe_load(block))) == 12
