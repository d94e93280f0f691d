"""Experiments: their words, their runs, their results, and what is drawn and told of these."""

import json
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import ray
import torch
import yaml
from running import SMALL, write_demonstrations

from awac_dist.cli.main import main
from awac_dist.cli.options import parse, to_mapping
from awac_dist.errors import InputError
from awac_dist.experiments import catalogue, peers, priors, running, showing
from awac_dist.experiments.catalogue import EXPERIMENTS, experiment
from awac_dist.experiments.elsewhere import Elsewhere
from awac_dist.experiments.experiment import DOCS, Experiment, Run, Variant, runs_folder
from awac_dist.experiments.judging import DIP, ERRORS
from awac_dist.experiments.paper import PAPER
from awac_dist.experiments.priors import PRIORS, make_priors
from awac_dist.experiments.results import COLUMNS, Row, read_results, rows_of_run, store
from awac_dist.experiments.running import beside, has_begun, hold
from awac_dist.experiments.showing import figure, table
from awac_dist.experiments.signatures import PARITY
from awac_dist.experiments.statistics import at_switch, curve, ends, figures, improvement
from awac_dist.files import seal
from awac_dist.nn.config import SQUASHED_ACTOR
from awac_dist.plotting.bands import interquartile
from awac_dist.reporting.run_place import only_one_at_a_time

TWO = Experiment(
    "two",
    "two ways",
    [Variant("a", "awac"), Variant("b, less", "bc", "--seed 5", "half of it", "--workers 3")],
    {"small": "--offline.updates 7", "paper": "--offline.updates 9"},
    tasks={"Pendulum-v1": "--runtime ray --mode async", "HalfCheetah-v5": ""},
    seeds=2,
    panels={"return": "return", "critic/loss": "loss"},
)


def test_words_of_a_variant_win_over_those_of_the_budget() -> None:
    runs = {run.key: parse(run.words).config for run in TWO.runs("small")}
    assert len(runs) == 2 * 2 * 2
    first = runs["small", "Pendulum-v1", "a", "1"]
    assert (first.seed, first.mode, first.workers, first.offline.updates) == (1, "async", 1, 7)
    less = runs["small", "HalfCheetah-v5", "b, less", "1"]
    assert (less.seed, less.mode, less.workers, less.offline.updates) == (5, "sync", 3, 7)
    longer = parse(next(TWO.runs("paper", methods=["bc"])).words).config
    assert (longer.workers, longer.offline.updates) == (1, 9)
    look = next(TWO.runs("small", words="--offline.updates 8 --seed 6", methods=["b, less"]))
    config = parse(look.words).config
    assert (look.key[0], config.offline.updates, config.seed) == ("look", 8, 5)


def test_words_of_a_task_win_over_those_of_the_budget() -> None:
    its = replace(TWO, tasks={"Pendulum-v1": "--offline.updates 3"})
    assert {parse(run.words).config.offline.updates for run in its.runs("small")} == {3}


def test_runs_are_chosen_and_seeds_come_one_after_the_other(tmp_path: Path) -> None:
    runs = list(TWO.runs("small", task="Pendulum-v1", seeds=3))
    assert [(run.seed, run.variant.label) for run in runs[:3]] == [
        (0, "a"),
        (0, "b, less"),
        (1, "a"),
    ]
    assert {run.variant.label for run in TWO.runs("small", methods=["bc"])} == {"b, less"}
    more = replace(TWO, variants=[*TWO.variants, Variant("awac", "awac"), Variant("bc, 2", "bc")])
    chosen = [run.variant.label for run in more.runs("small", methods=["awac", "bc"], seeds=1)]
    assert chosen == ["b, less", "awac", "bc, 2"] * 2
    assert runs[1].folder(tmp_path) == tmp_path / "two/small/Pendulum-v1/b-less/seed-0"
    with pytest.raises(InputError, match="experiment two has no awca; did you mean awac"):
        next(TWO.runs("small", methods=["awca"]))
    with pytest.raises(InputError, match="experiment two has budgets small, paper alone"):
        next(TWO.runs("medium"))
    with pytest.raises(InputError, match="no experiment method; did you mean methods"):
        experiment("method")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_of_every_experiment_could_begin(name: str) -> None:
    its = experiment(name)
    folders = [run.folder(DOCS) for run in its.runs("small", seeds=1)]
    assert len(folders) == len(set(folders))
    for budget in its.budgets:
        for run in its.runs(budget, seeds=1):
            parse(run.words)
    assert {path.stem for path in (DOCS / "results").glob(f"{name}.csv")} <= {its.family}
    assert its.data() <= {*PRIORS}
    labels = {variant.label for variant in its.variants}
    assert {label for part in its.groups.values() for label in part} <= labels
    assert its.reference in labels | {""}


@pytest.mark.parametrize("name", PAPER)
def test_what_is_of_another_experiment_shares_its_runs(name: str, tmp_path: Path) -> None:
    its = experiment(name)
    if its.of:
        of = experiment(its.of)
        there = {run.folder(tmp_path): run.words for run in of.runs("small")}
        here = {run.folder(tmp_path): run.words for run in its.runs("small")}
        shared = there.keys() & here.keys()
        assert {folder: here[folder] for folder in shared} == {
            folder: there[folder] for folder in shared
        }
        assert shared or not its.tasks.keys() & of.tasks.keys()


def test_a_task_may_be_told_apart_by_its_data(tmp_path: Path) -> None:
    run = next(experiment("data-quality").runs("small", task="HalfCheetah-v5 medium-expert"))
    config = parse(run.words_with(tmp_path)).config
    assert config.env.id == "HalfCheetah-v5"
    assert [*config.data] == [
        f"{tmp_path}/data/medium",
        f"{tmp_path}/data/expert",
    ]
    assert "HalfCheetah-v5-medium-expert" in str(run.folder(tmp_path))


def test_priors_are_made_once_after_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    code = 0

    def command(words: list[str], **_: Any) -> SimpleNamespace:
        made.append(words[3:])
        Path(words[-1]).mkdir()
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(priors.subprocess, "run", command)
    lines: list[str] = []
    with pytest.raises(InputError, match="prior data pen needs --policies FOLDER with pen-dapg"):
        make_priors(["pen"], tmp_path, None, lines.append)
    make_priors(["medium", "pen"], tmp_path, "/mine", lines.append)
    assert [words[-1] for words in made] == [
        f"{tmp_path}/data/{name}.part" for name in ("half-trained", "medium", "pen")
    ]
    assert made[1][made[1].index("--policy") + 1] == f"{tmp_path}/data/half-trained"
    assert made[2][made[2].index("--policy") + 1] == "/mine/pen-dapg.npz"
    make_priors(["medium", "pen"], tmp_path, "/mine", lines.append)
    assert len(made) == len(lines) == 3
    code = 2
    for _ in range(2):  # what failed is begun anew
        with pytest.raises(InputError, match="prior data random cannot be made: it said nothing"):
            make_priors(["random"], tmp_path, None, lines.append)
    assert not (tmp_path / "data/random").exists()


def test_runs_lie_where_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("AWAC_DIST_RUNS", raising=False)
    assert runs_folder(None) == Path("/home/me/.cache/awac_dist/experiments")
    monkeypatch.setenv("AWAC_DIST_RUNS", "")
    assert runs_folder(None) == Path("/home/me/.cache/awac_dist/experiments")
    monkeypatch.setenv("AWAC_DIST_RUNS", "/data")
    assert runs_folder(None) == Path("/data/experiments")
    assert runs_folder("~/here") == Path("/home/me/here")
    monkeypatch.setenv("AWAC_DIST_RUNS", "s3://bucket/runs")  # as a cluster has it
    with pytest.raises(InputError, match=r"^s3://bucket/runs/exp.*: is no folder of this machine"):
        runs_folder(None)
    assert runs_folder("/here") == Path("/here")


class Fake:
    """In the place of the launcher: what each run does is a line for a shell."""

    def __init__(self, does: dict[str, str]) -> None:
        self.does, self.began = does, list[tuple[str, bool]]()
        self.processes: list[psutil.Popen] = []

    def launch(self, words: list[str], log: Path, **environment: str) -> psutil.Popen:
        resumed = words[0] == "--resume"
        folder = Path(words[words.index("--resume" if resumed else "--run-dir") + 1])
        label = folder.parent.name
        self.began.append((label, resumed))
        assert environment == {"OMP_NUM_THREADS": "1"}
        if not resumed:
            folder.mkdir(parents=True)
            config = to_mapping(parse(words).config)
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
        if self.does[label] == "exit 0":
            end(folder)
        with log.open("w") as output:
            self.processes.append(psutil.Popen(["sh", "-c", self.does[label]], stdout=output))
        return self.processes[-1]


def end(folder: Path) -> None:
    progress = b'{"finished": true, "env_steps": 0}'
    seal(f"{folder}/checkpoints/000000007", {"progress.json": progress})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake({"a": "exit 0", "b-less": "exit 0"})
    monkeypatch.setattr(running, "launch", fake.launch)
    monkeypatch.setattr(running, "POLL_S", 0.01)
    return fake


def held(out: Path, **options: Any) -> tuple[list[str], list[str]]:
    """Which runs are finished, and what is said of those that failed."""
    finished: list[str] = []
    options = {"jobs": 1, "again": False, "say": lambda line: None} | options
    runs = TWO.runs("small", task="Pendulum-v1", seeds=1)
    note = lambda run, folder: finished.append(run.variant.label)  # noqa: E731
    return finished, hold(runs, out, finished=note, **options)


def test_a_finished_run_is_not_repeated(tmp_path: Path, fake: Fake) -> None:
    assert held(tmp_path) == (["a", "b, less"], [])
    assert fake.began == [("a", False), ("b-less", False)]
    assert held(tmp_path) == (["a", "b, less"], [])
    assert len(fake.began) == 2


def test_a_failed_run_is_named_and_repeated_when_asked(tmp_path: Path, fake: Fake) -> None:
    fake.does["a"] = "echo begins; echo awac_dist: no room; echo To go on:; exit 1"
    log = tmp_path / "two/small/Pendulum-v1/a/seed-0.log"
    line = f"two small Pendulum-v1 a 0: awac_dist: no room ({log})"
    assert held(tmp_path) == (["b, less"], [line])
    assert held(tmp_path) == (["b, less"], [line])
    assert len(fake.began) == 2
    fake.does["a"] = "exit 0"
    assert held(tmp_path, again=True) == (["b, less", "a"], [])
    assert fake.began[2:] == [("a", True)]
    assert held(tmp_path) == (["a", "b, less"], [])


@pytest.mark.parametrize("part", ["offline", "algorithm"])
def test_what_was_begun_otherwise_is_left_alone(tmp_path: Path, fake: Fake, part: str) -> None:
    """By its words, or by a preset that was another one then."""
    held(tmp_path)
    file = tmp_path / "two/small/Pendulum-v1/a/seed-0/config.yaml"
    config = yaml.safe_load(file.read_text())
    del config[part]["batch_size" if part == "offline" else "temperature"]  # came later
    file.write_text(yaml.safe_dump(config | {"run_dir": "elsewhere"}))
    assert held(tmp_path) == (["a", "b, less"], [])
    config[part] |= {"updates": 8} if part == "offline" else {"max_weight": 3.0}
    file.write_text(yaml.safe_dump(config))
    finished, (line,) = held(tmp_path)
    assert finished == ["b, less"]
    assert line.endswith("was begun with other options: move it away")


def test_what_a_run_took_is_known_though_nobody_ended_it(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.does["a"] = "sleep 60"
    monkeypatch.setattr(running, "LOOK_EVERY_S", 0.0)
    going = running.Going(next(TWO.runs("small", task="Pendulum-v1")), tmp_path)
    assert not going.has_ended()
    assert json.loads(beside(going.folder, ".json").read_text())["peak_bytes"] > 0
    going.stop()
    going.wait()


def test_what_never_began_is_begun_anew(tmp_path: Path, fake: Fake) -> None:
    (tmp_path / "two/small/Pendulum-v1/a/seed-0/sessions").mkdir(parents=True)
    assert held(tmp_path) == (["a", "b, less"], [])


def test_ctrl_c_stops_all_in_order_and_they_go_on_later(tmp_path: Path, fake: Fake) -> None:
    fake.does = dict.fromkeys(fake.does, "trap 'exit 143' TERM; sleep 60 & wait")

    def interrupt(line: str) -> None:
        if line.startswith("begun") and len(fake.began) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(tmp_path, jobs=2, say=interrupt)
    assert {process.returncode for process in fake.processes} <= {143, -15}  # it may not trap yet
    cost = tmp_path / "two/small/Pendulum-v1/a/seed-0.json"
    cost.write_text('{"peak_bytes": 1000000000000, "cpu_s": 70}')  # of the session before
    fake.does = dict.fromkeys(fake.does, "exit 0")
    assert held(tmp_path) == (["a", "b, less"], [])
    its = json.loads(cost.read_text())
    assert its["peak_bytes"] == 10**12
    assert 70 <= its["cpu_s"] < 80
    assert fake.began[2:] == [("a", True), ("b-less", True)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_so_many_go_on_at_once(tmp_path: Path, fake: Fake, jobs: int) -> None:
    fake.does = dict.fromkeys(fake.does, "sleep 0.1")
    lines: list[str] = []
    held(tmp_path, jobs=jobs, say=lambda line: lines.append(line.partition(":")[0]))
    assert lines[1:3] == (["begun", "finished"] if jobs == 1 else ["begun", "begun"])


def row(phase: str, updates: int, steps: int, seconds: float, **values: float | None) -> Row:
    return {
        "phase": phase,
        "grad_steps": updates,
        "env_steps": steps,
        "elapsed_s": seconds,
        **values,
    }


def evaluated(mean: float, half: float | None = None, episodes: int = 2) -> dict[str, float | None]:
    names = ("eval/return", "eval/return_half_width", "eval/episodes")
    return dict(zip(names, (mean, half, episodes), strict=True))


def write_run(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    facts = {"cpus": 2, "versions": {"torch": "2.7"}, "git": {"commit": "0123456789"}}
    (folder / "provenance.json").write_text(json.dumps(facts))
    beside(folder, ".json").write_text(json.dumps({"peak_bytes": 1_234_567_890, "cpu_s": 61.7}))


def test_results_are_the_evaluations_and_means_of_metrics(tmp_path: Path) -> None:
    updates = [
        row("offline", 10 * n, 0, 5.0 + n, **{"critic/loss": float(n)}) for n in range(1, 81)
    ]
    write_run(
        tmp_path / "run",
        [
            row("clone", 5, 0, 5.0, **evaluated(10.0, 12.706205 * 3 / np.sqrt(2))),
            *updates,
            row("offline", 800, 0, 90.04, **evaluated(40.0), **{"eval/success_final": 0.5}),
            row("online", 900, 100, 95.0, **evaluated(7.0)),
            row("online", 900, 100, 99.0, **evaluated(50.0, episodes=1)),
        ],
    )
    rows = rows_of_run(next(TWO.runs("small")), tmp_path / "run")
    clone, *curve, offline, online = rows
    assert {name: clone[name] for name in ("budget", "variant", "method", "seed")} == {
        "budget": "small",
        "variant": "a",
        "method": "awac",
        "seed": "0",
    }
    assert (clone["return"], clone["return_std"], clone["episodes"]) == (10.0, 3.0, 2)
    assert [each["critic/loss"] for each in curve] == [2 * n + 1.5 for n in range(40)]
    assert [each["grad_steps"] for each in curve] == [20 * (n + 1) for n in range(40)]
    assert (offline["wall_s"], offline["success"]) == (90.0, 0.5)
    assert (online["return"], online["return_std"]) == (50.0, None)
    assert (online["cpu_s"], online["memory_mb"], online["machine"]) == (
        62,
        1235,
        "2 cores, torch 2.7, awac_dist 0123456",
    )


def test_the_machine_is_that_of_the_last_session(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [row("clone", 5, 0, 5.0, **evaluated(10.0))])
    for session, cpus in (("-001", 4), ("-002", 8), ("-1000", 64)):
        versions, git = {"torch": "2.8"}, {"commit": "76543210"}
        facts = {"cpus": cpus, "cpu": "Some CPU", "versions": versions, "git": git}
        (tmp_path / "run" / f"provenance{session}.json").write_text(json.dumps(facts))
        (found,) = rows_of_run(next(TWO.runs("small")), tmp_path / "run")
        assert found["machine"] == f"{cpus} cores of Some CPU, torch 2.8, awac_dist 7654321"


def test_results_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/x/two.csv: cannot be written"):
        store(tmp_path / "file/x/two.csv", [], TWO)


def test_two_who_write_the_same_results_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"

    def note(seed: int) -> None:
        store(path, [dict.fromkeys(COLUMNS) | made("online", 0, 0, 1.0, "a", seed)], TWO)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(40)))
    assert len(read_results(path)) == 40


def test_a_run_s_rows_take_the_place_of_those_before(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"

    def rows(label: str, seed: int, mean: float) -> list[Row]:
        return [dict.fromkeys(COLUMNS) | made("online", 0, 0, mean, label, seed)]

    store(path, rows("b, less", 0, 1.0), TWO)
    store(path, rows("a", 1, 2.5) + rows("a", 0, 3.0), TWO)
    store(path, rows("a", 1, 4.0), TWO)
    found = read_results(path)
    assert [(each["variant"], each["seed"], each["return"]) for each in found] == [
        ("a", "0", 3.0),
        ("a", "1", 4.0),
        ("b, less", "0", 1.0),
    ]
    assert path.read_text().startswith(f"{','.join(COLUMNS)},critic/loss\n")
    before = path.read_bytes()
    store(path, [], TWO)
    assert path.read_bytes() == before


def made(
    phase: str, updates: int, steps: int, mean: float | None, label: str = "a", seed: int = 0
) -> Row:
    its = {"budget": "small", "task": "HalfCheetah-v5", "variant": label, "method": "awac"}
    place = {"seed": str(seed), "phase": phase, "env_steps": float(steps)}
    at = {"grad_steps": float(updates), "wall_s": updates / 10, "return": mean}
    evaluation = {"return_std": None, "episodes": 3.0}
    return its | place | at | evaluation | {"cpu_s": 3.0, "memory_mb": None, "machine": ""}


ONE = [
    made("clone", 10, 0, 100.0),
    made("offline", 15, 0, 400.0),
    made("offline", 20, 0, 1000.0),
    made("online", 20, 3_000, 700.0),
    made("online", 25, 5_000, 900.0),
    made("online", 30, 9_000, 500.0),
]


def test_a_page_names_each_machine_once() -> None:
    machines = ("2 cores, d 1.0", "2 cores, d 1.1", "4 cores, d 1.0", "2 cores, d 1.0", "")
    rows = [row | {"machine": its} for row, its in zip(ONE[1:], machines, strict=True)]
    assert "Made on: 2 cores, d 1.0, 1.1; 4 cores, d 1.0.\n" in table(TWO, rows, "small")


def test_a_curve_has_its_updates_left_of_the_switch() -> None:
    at, values = curve(ONE, "return", switch=True)
    assert at.tolist() == [-5, 0, 3_000, 5_000, 9_000]
    assert values.tolist() == [400, 1000, 700, 900, 500]
    assert curve(ONE[:1] + ONE[3:], "return", switch=True)[0].tolist() == [3_000, 5_000, 9_000]
    assert curve(ONE[:3], "return", switch=False)[0].tolist() == [
        5,
        10,
    ]
    assert curve(ONE[1:3], "return", switch=False)[0].tolist() == [15, 20]
    assert curve(ONE[:3], "return", switch=True)[0].tolist() == [-5, 0]  # beside one that has it


def test_figures_of_one_run_by_hand() -> None:
    found = figures(ONE, "HalfCheetah-v5")
    assert found["dip"] == 1000 - 800  # 500 comes later than 5,000 steps after the switch
    assert found["regret"] == 9962 - 700
    assert (found["clone"], found["offline"], found["online"]) == (100, 1000, 500)
    assert (found["CPU s"], np.isnan(found["MB"])) == (3.0, True)
    rises = [*ONE[:3], made("online", 30, 100, 2000.0)]
    assert figures(rises, "HalfCheetah-v5")["dip"] == -1000
    losses = [each | {"critic/loss": each["env_steps"]} for each in ONE]
    assert figures(losses, "Pendulum-v1", ["critic/loss"])["critic/loss, online"] == 9_000
    alone = figures(ONE[3:], "Pendulum-v1")
    assert np.isnan([alone["offline"], alone["dip"], alone["regret"]]).all()


def test_the_error_of_a_dip_by_hand() -> None:
    rows = [row | {"success": row["return"] / 2_000, "return_std": row["return"]} for row in ONE]
    dip, error = at_switch(rows, "return")
    assert (dip, error) == (200, pytest.approx(((1000**2 + (700**2 + 900**2) / 4) / 3) ** 0.5))
    expected = (0.5 * 0.5 + (0.35 * 0.65 + 0.45 * 0.55) / 4) / 3
    assert at_switch(rows, "success") == (pytest.approx(0.1), pytest.approx(expected**0.5))
    assert np.isnan(at_switch([row | {"episodes": None} for row in rows], "return")[1])


def test_a_policy_that_never_changes_has_no_dip() -> None:
    """However often it is looked at: the mean is right, and few seeds seem to lose anything."""
    rng, lost, seems = np.random.default_rng(0), [], []
    for _ in range(2_000):
        offline, *online = (rng.normal(6_000, 1_500, size=count) for count in (40, *[5] * 5))
        rows = [made("offline", 10, 0, offline.mean()) | {"return_std": offline.std()}]
        for place, each in enumerate(online):
            row = made("online", 10, 1_000 * (place + 1), each.mean())
            rows.append(row | {"return_std": each.std(), "episodes": 5.0})
        rows[0]["episodes"] = 40.0
        dip, error = at_switch(rows, "return")
        lost.append(dip)
        seems.append(dip > ERRORS * error and dip > DIP * rows[0]["return"])
    assert abs(np.mean(lost)) < 30
    assert np.mean(seems) < 0.04


def test_figures_of_successes_by_hand() -> None:
    rows = [row | {"success": row["return"] / 2_000} for row in ONE]
    found = figures(rows, "awac_dist/DoorBinary-v0 human", measure="success")
    assert (found["clone"], found["offline"], found["online"]) == (0.05, 0.5, 0.25)
    assert found["dip"] == pytest.approx(0.1)
    assert found["regret"] == pytest.approx(1 - 0.35)
    assert np.isnan(figures(rows, "HalfCheetah-v5", measure="success")["regret"])


def test_the_probability_of_improvement_by_hand() -> None:
    its = np.array([1.0, 3.0, 5.0])
    assert improvement(its, np.array([0.0, 3.0])) == pytest.approx((3 + 1.5) / 6)
    assert improvement(its, its) == 0.5
    assert np.isnan(improvement(its, np.empty(0)))
    rows = [*ONE, made("offline", 20, 0, 300.0, seed=1), made("online", 30, 9_000, None, seed=1)]
    assert ends(rows, "return").tolist() == [500, 300]


def test_the_interquartile_mean_by_hand() -> None:
    assert interquartile(np.array([1.0, 2.0, 4.0, 100.0])).middle == 3
    assert interquartile(np.array([1.0, 2.0, 6.0])).middle == 3
    one = interquartile(np.array([[1.0, 2.0]]))
    assert one.middle.tolist() == [1.0, 2.0]
    assert np.isnan([one.low, one.high]).all()


def test_the_bootstrap_draws_within_each_stratum() -> None:
    """Two tasks whose seeds agree within each leave nothing to chance, however far apart."""
    apart = interquartile(np.array([1.0, 1.0, 1.0]), np.array([5.0, 5.0, 5.0]))
    assert (apart.low, apart.middle, apart.high) == (3, 3, 3)
    numbers = np.arange(8.0)
    low, high = interquartile(numbers)[1:]
    assert 0 < low < 3.5 < high < 7
    assert interquartile(numbers) == interquartile(numbers)  # the page is the same again


def test_the_table_says_what_the_csv_does(tmp_path: Path) -> None:
    rows = [*ONE, *[each | {"seed": "1", "variant": "b, less", "budget": "paper"} for each in ONE]]
    rows += [{**each, "variant": "b, less", "machine": "this one"} for each in ONE[3:]]
    text = table(TWO, rows, "small")
    assert "| a | 100 | 1,000 | 500 | 200 | 9,262 | 3.00 | 1 |  |" in text
    assert (
        "| b, less | - | - | 500 | - | 9,262 | 3.00 | 1 | half of it; here `--workers 3` |" in text
    )
    assert "3 episodes" in text
    assert "Made on: this one." in text
    read = table(replace(TWO, reading="They differ. " * 9), rows, "small")
    assert "\n\nThey differ. They differ." in read
    assert max(map(len, read.split("They", 1)[1].splitlines())) < 100
    dear = [{**each, "cpu_s": cost} for each, cost in zip(ONE, (None, 9000, 4500), strict=False)]
    assert "In all: 2 runs, 3.75 hours of one core." in table(TWO, dear, "small")
    assert "| b, less | 100 | 1,000 | 500 | 200 | 9,262 | 3.00 | 1 | half of it |" in table(
        TWO, rows, "paper"
    )


@pytest.mark.parametrize("count", [2, 9])
def test_a_figure_is_drawn_of_few_and_of_many(tmp_path: Path, count: int) -> None:
    variants = [Variant(str(number), "awac") for number in range(count)]
    its = Experiment("many", "all", variants, {"small": ""}, levels={"return": {600.0: "here"}})
    rows = [
        each | {"variant": str(number), "seed": str(seed)}
        for number in range(count)
        for seed in range(3)
        for each in ONE
    ]
    figure(its, rows, "small", tmp_path / "many.png")
    assert (tmp_path / "many.png").stat().st_size > 10_000


def test_a_panel_names_whom_it_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn = []
    monkeypatch.setattr(showing, "write_picture", lambda its, path: drawn.append(its))
    variants, tasks = [Variant("a", "awac"), Variant("b", "bc")], {"A-v0": "", "B-v0": ""}
    its = Experiment("two", "all", variants, {"small": ""}, tasks=tasks)
    who = (("A-v0", "a"), ("A-v0", "b"), ("B-v0", "b"))
    rows = [each | {"task": task, "variant": label} for task, label in who for each in ONE]
    figure(its, rows, "small", tmp_path / "two.png")
    panels = drawn[0].axes
    assert [panel.get_legend_handles_labels()[1] for panel in panels] == [["a", "b"], ["b"]]
    assert panels[0].lines[-2].get_color() == panels[1].lines[-2].get_color()


def short(folder: Path, words: str = "") -> Experiment:
    """One run of seconds."""
    data = write_demonstrations(folder / "d.parquet")
    return Experiment(
        "short",
        "it works",
        [Variant("awac", "awac")],
        {"small": " ".join([*SMALL, "--learner.compile", "false", "--data", data, words])},
        tasks={"Pendulum-v1": ""},
        seeds=1,
        panels={"return": "return", "critic/loss": "loss"},
    )


@ray.remote(num_cpus=0.1)
def deaf_to_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(0.5)


def test_on_a_cluster_runs_are_tasks_that_stop_in_order_and_go_on(
    tmp_path: Path, ray_session: None
) -> None:
    long_enough_to_be_stopped = "--online.env_steps 1500"
    run = next(short(tmp_path, long_enough_to_be_stopped).runs("small"))
    ray.get([deaf_to_interrupts.remote() for _ in range(4)])  # as those below a script's "&" are
    its = Elsewhere(run, tmp_path)
    while not has_begun(its.folder):
        assert not its.has_ended()
    its.stop()
    its.wait()
    assert its.close() == "it was stopped"
    going = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
    assert not any(str(its.folder) in words for words in going)
    assert beside(its.folder, ".json").exists()
    ended: list[Run] = []
    options: Any = {"jobs": sys.maxsize, "again": False, "say": print, "begin": Elsewhere}
    assert not hold([run], tmp_path, finished=lambda run, _: ended.append(run), **options)
    assert ended == [run]


def test_on_a_cluster_a_folder_that_a_machine_has_not_is_told(ray_session: None) -> None:
    why = Elsewhere(next(TWO.runs("small")), Path("/proc/nowhere")).close()
    assert why.startswith("it could not be looked after, in /proc/nowhere/two/small")
    assert "FileNotFoundError" in why


def test_nobody_else_runs_experiments_in_the_same_folder_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(catalogue.EXPERIMENTS, "short", lambda: short(tmp_path))
    out = tmp_path / "out"
    with only_one_at_a_time(out):
        assert main(["experiments", "run", "short", "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert f"{out}: experiments are still going on in another process" in told
    assert [path.name for path in out.iterdir()] == [".lock"]  # nothing was begun or marked


def test_an_experiment_from_its_runs_to_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    its = short(tmp_path)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "short", lambda: its)

    def run(command: str, *more: str) -> int:
        return main(["experiments", command, "short", "--results", str(tmp_path), *more])

    assert run("plot") == 2
    assert "has no run of budget small" in capsys.readouterr().err
    assert run("run", "--out", str(tmp_path / "out"), "--seeds", "1") == 0
    assert run("plot") == run("table") == 0
    capsys.readouterr()
    assert run("run", "--out", str(tmp_path / "another machine")) == 0
    told = capsys.readouterr().out
    assert f"1 run of elsewhere in {tmp_path}/short.csv" in told
    assert "0 runs to do" in told
    rows = read_results(tmp_path / "short.csv")
    assert {each["phase"] for each in rows} == {"clone", "offline", "online"}
    assert any(each["critic/loss"] is not None for each in rows)
    assert rows[-1]["memory_mb"] > 1
    assert rows[-1]["cpu_s"] > 1
    assert "| awac |" in (tmp_path / "short.md").read_text()
    assert (tmp_path / "short.png").exists()
    assert main(["experiments", "list"]) == 0
    assert "it works" in capsys.readouterr().out


def test_others_code_leaves_rows_of_the_same_form_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(method: str, seed: int, total: int, note: Callable[..., None]) -> None:
        assert (method, seed, total) == ("td3_bc", 0, 12)  # two of theirs an update
        for step in range(1, total + 1):
            note(step, lambda seen: np.zeros(1))

    monkeypatch.setattr(peers, "train_offline", train)
    monkeypatch.setattr(peers, "TASK", "Pendulum-v1")
    monkeypatch.setattr(peers, "EPISODES", 2)
    monkeypatch.setattr(peers, "version", lambda package: "2.8")
    monkeypatch.setattr(peers, "processor_seconds", iter([40.0, 43.0]).__next__)  # of another run
    path = tmp_path / "parity.csv"
    asked = peers.Peers(methods=("td3_bc",), seeds=1, steps=12, every=8, results=str(path))
    peers.run(asked)
    first, last = read_results(path)
    capsys.readouterr()
    peers.run(asked)
    assert capsys.readouterr().out == f"td3_bc, d3rlpy, seed 0 is in {path}\n"
    assert read_results(path) == [first, last]
    assert (first["grad_steps"], first["episodes"]) == (4, 5)
    assert (last["grad_steps"], last["episodes"], last["phase"]) == (6, 2, "offline")
    assert last["return"] < -500
    assert last["machine"].endswith("d3rlpy 2.8")
    assert last["cpu_s"] == 3
    assert "| td3_bc, d3rlpy | -" in table(
        replace(PARITY, tasks={"Pendulum-v1": ""}), [first, last], "small"
    )
    assert not [run for run in PARITY.runs("small") if run.variant.peer]


PEERS = {its.method for its in PARITY.variants if its.peer}
OURS = [run for run in PARITY.runs("small", seeds=1) if run.variant.method in PEERS]


@pytest.mark.parametrize("run", OURS, ids=[run.variant.label for run in OURS])
def test_others_code_does_as_many_steps_as_ours(run: Run) -> None:
    config = parse(run.words).config
    critic_steps = config.offline.updates * peers.STEPS_AN_UPDATE.get(run.variant.method, 1)
    ours = config.online.env_steps or critic_steps
    every = config.evaluation.every_updates
    assert (ours, every) == peers.sizes(run.variant.method)


class Theirs:
    """The order of d3rlpy's BEAR: the step of alpha comes between zeroing and the actor's."""

    def __init__(self) -> None:
        self.actor, self.log_alpha = torch.ones((), requires_grad=True), torch.zeros(())
        self.log_alpha.requires_grad_()
        policy = SimpleNamespace(_logstd=torch.nn.Linear(1, 1))
        optimiser = torch.optim.SGD([self.actor], 0.1)
        self._modules = SimpleNamespace(actor_optim=optimiser, policy=policy)

    def update_alpha(self, mmd_loss: torch.Tensor) -> None:
        (-mmd_loss).backward(retain_graph=True)

    def actor_gradient(self) -> float:
        self._modules.actor_optim.zero_grad()
        mmd_loss = self.log_alpha.exp() * (5 * self.actor - 0.05)
        self.update_alpha(mmd_loss)
        (2 * self.actor + mmd_loss).backward()
        return float(self.actor.grad or 0)


def test_their_bear_is_held_by_its_constraint_and_starts_as_ours() -> None:
    unheld, held = Theirs(), Theirs()
    peers.mend_bear(held)
    assert (unheld.actor_gradient(), held.actor_gradient()) == (2, 7)
    middle = (SQUASHED_ACTOR.log_std_min + SQUASHED_ACTOR.log_std_max) / 2
    assert held._modules.policy._logstd.bias.tolist() == [middle]


@pytest.mark.parametrize("name", ["methods", *PAPER])
def test_a_method_has_networks_of_one_size_in_all_of_an_experiment(name: str) -> None:
    its = experiment(name)
    shrunk = {v.method: v.small for v in experiment("methods").variants if v.small}
    for variant in its.variants:
        assert shrunk.get(variant.method, "") in variant.small, variant.label
