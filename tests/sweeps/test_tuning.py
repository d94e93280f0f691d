"""Trials on Ray Tune: what a step is, who is behind, and a whole sweep by its command."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from running import write_demonstrations

from awac_dist.cli.main import main
from awac_dist.config import OfflineConfig, OnlineConfig, RunConfig
from awac_dist.experiments import running
from awac_dist.experiments.running import beside
from awac_dist.files import seal
from awac_dist.reporting.run_place import only_one_at_a_time
from awac_dist.runs.phases import updates_of
from awac_dist.sweeps import trainable
from awac_dist.sweeps.config import HalvingConfig, SweepConfig
from awac_dist.sweeps.trainable import FAILED, METRIC, TRIAL, Launched
from awac_dist.sweeps.trials import Trial
from awac_dist.sweeps.tuning import Halving, Progress

STOP, CONTINUE = "STOP", "CONTINUE"
RETURN = "eval/return"
CONFIG = RunConfig(offline=OfflineConfig(updates=500), online=OnlineConfig(env_steps=500))


def row(grad_steps: int, found: float | None, phase: str = "offline") -> dict[str, Any]:
    counters = {"phase": phase, "grad_steps": grad_steps, "env_steps": 0, "elapsed_s": 1.0}
    return counters | ({} if found is None else {RETURN: found})


def write(folder: Path, *rows: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").touch()
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))


def trial(tmp_path: Path, name: str, *rows: dict[str, Any]) -> Trial:
    if rows:
        write(tmp_path / name, *rows)
    return Trial(name, 0, {}, CONFIG, tmp_path / name)


def tunes(name: str, **result: Any) -> Any:
    """A trial as Tune has it."""
    return SimpleNamespace(config={TRIAL: {"name": name}}, last_result=result)


def halving(*trials: Trial) -> Halving:
    sweep = SweepConfig(asha=HalvingConfig(first=100, factor=2.0))
    return Halving.of(sweep, trials)


def told(its: Halving, name: str, grad_steps: int, found: float) -> str:
    return its.on_trial_result(None, tunes(name), {METRIC: found, "grad_steps": grad_steps})


def test_who_is_behind_is_ended_also_by_what_an_earlier_session_found(tmp_path: Path) -> None:
    its = halving(*(trial(tmp_path, name) for name in "abc"))
    assert told(its, "a", 50, -9.0) == CONTINUE  # nobody looks yet
    assert [told(its, name, 100, found) for name, found in (("a", 5.0), ("b", 3.0))] == [
        CONTINUE,
        STOP,
    ]
    known = trial(tmp_path, "a", row(100, 5.0)), trial(tmp_path, "b", row(90, 9.0), row(100, 3.0))
    its = halving(*known, trial(tmp_path, "c"))
    assert told(its, "c", 100, 3.9) == STOP  # the middle of what was found is 4
    assert told(its, "a", 150, -9.0) == CONTINUE  # it was looked at before
    assert told(its, "a", 200, -9.0) == CONTINUE  # and is the first to come so far
    its.on_trial_complete(None, tunes("a"), {"grad_steps": 200})
    its.on_trial_remove(None, tunes("c"))


def test_a_trial_at_its_end_is_behind_nobody(tmp_path: Path) -> None:
    its = halving(trial(tmp_path, "a", row(100, 5.0), row(3999, 5.0)), trial(tmp_path, "b"))
    assert updates_of(CONFIG, ["demonstrations"]) == 4000
    assert told(its, "b", 3999, 4.0) == STOP
    far = SweepConfig(asha=HalvingConfig(first=2000, factor=2.0))
    its = Halving.of(
        far, [trial(tmp_path, "c", row(4000, 5.0)), trial(tmp_path, "d", row(2000, 9.0))]
    )
    assert told(its, "d", 4000, 4.0) == CONTINUE


def test_nobody_looks_at_the_end_where_there_is_nothing_to_clone(tmp_path: Path) -> None:
    data = write_demonstrations(tmp_path / "a.parquet") + ",kind=prior"
    offline, online = OfflineConfig(updates=300), OnlineConfig(env_steps=0)
    config = RunConfig(data=(data,), offline=offline, online=online)
    sweep = SweepConfig(asha=HalvingConfig(first=100, factor=3.0))
    its = Halving.of(sweep, [trial(tmp_path, name)._replace(config=config) for name in "ab"])
    for name, found in (("a", 5.0), ("b", 9.0)):  # each is the best at 100
        assert told(its, name, 100, found) == CONTINUE
        assert told(its, name, 300, -found) == CONTINUE


class Fake:
    """In the place of the launcher: a line for a shell."""

    def __init__(self) -> None:
        self.does, self.words = "exit 0", list[str]()
        self.process: psutil.Popen | None = None

    def launch(self, words: list[str], log: Path, **variables: str) -> psutil.Popen:
        self.words, self.variables = words, variables
        with log.open("w") as output:
            self.process = psutil.Popen(["sh", "-c", self.does], stdout=output)
        return self.process


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    fake = Fake()
    monkeypatch.setattr(trainable, "launch", fake.launch)
    monkeypatch.setattr(trainable, "POLL_S", 0.01)
    monkeypatch.chdir(tmp_path)
    return fake


def launched(folder: Path, known: int = -1) -> Launched:
    its = {"folder": str(folder), "metric": RETURN, "known": known, "work": ".", "words": ["--x"]}
    its["variables"] = {"A": "B"}
    return Launched({TRIAL: its})


def steps(its: Launched) -> Iterator[dict[str, Any]]:
    """Those that found something, and the last."""
    while True:
        if result := its.step():
            yield result
        if result.get("done"):
            its.cleanup()
            return


def test_a_step_is_an_evaluation_of_what_learns_once(tmp_path: Path, fake: Fake) -> None:
    folder = tmp_path / "a"
    write(folder, row(10, 1.0, "clone"), row(20, None), row(20, 2.0), row(20, 2.5), row(30, 3.0))
    fake.does = f"echo '{json.dumps(row(40, 4.0))}' >> {folder}/metrics.jsonl"
    found = list(steps(launched(folder)))
    assert [its.get(METRIC) for its in found] == [2.0, 3.0, 4.0]
    assert found[0] == {METRIC: 2.0, "grad_steps": 20, "env_steps": 0}
    assert found[-1] == {METRIC: 4.0, "grad_steps": 40, "env_steps": 0, "done": True, FAILED: ""}
    assert [its.get(METRIC) for its in steps(launched(folder, known=30))] == [4.0]
    assert list(steps(launched(folder, known=40))) == [{"done": True, FAILED: ""}]


@pytest.mark.parametrize("after", [[], [row(30, 3.5)], [row(30, None), row(30, 3.5, "online")]])
def test_the_last_evaluation_comes_with_the_end_at_which_nobody_is_behind(
    tmp_path: Path, fake: Fake, after: list[dict[str, Any]]
) -> None:
    write(tmp_path / "a", row(10, 1.0), row(20, None), row(30, 3.0), *after)
    fake.does = "exec sleep 60"
    its = launched(tmp_path / "a")
    assert [its.step() for _ in range(5)] == [
        {METRIC: 1.0, "grad_steps": 10, "env_steps": 0},
        *({} for _ in range(4)),  # whether it goes on from the second is not known yet
    ]
    assert fake.process is not None
    fake.process.kill()
    assert [found.get(METRIC) for found in steps(its)] == [3.0]


def test_a_run_is_begun_gone_on_with_or_begun_anew(tmp_path: Path, fake: Fake) -> None:
    folder = tmp_path / "a"
    begin = ["--config", f"{folder}.yaml", "--run-dir", str(folder), "--x"]
    list(steps(launched(folder)))
    assert (fake.words, fake.variables) == (begin, {"A": "B"})
    (folder / "sessions").mkdir(parents=True)  # it was killed before it wrote down what it is
    list(steps(launched(folder)))
    assert (fake.words, folder.exists()) == (begin, False)
    write(folder)
    list(steps(launched(folder)))
    assert fake.words == ["--resume", str(folder), "--x"]


def test_a_run_that_is_still_ending_is_waited_for(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a")
    with only_one_at_a_time(tmp_path / "a"):
        monkeypatch.setattr(running, "ENDING_S", 0.05)
        began = time.monotonic()
        list(steps(launched(tmp_path / "a")))
    assert time.monotonic() - began > 0.05
    assert fake.words[0] == "--resume"  # which says so itself


def test_a_run_that_fails_says_why_and_one_that_is_stopped_ends_in_order(
    tmp_path: Path, fake: Fake
) -> None:
    fake.does = "echo awac_dist: no room; echo To go on:; exit 1"
    assert list(steps(launched(tmp_path / "a"))) == [{"done": True, FAILED: "awac_dist: no room"}]
    fake.does = "trap 'exit 143' TERM; echo on; sleep 60 & wait"
    its = launched(tmp_path / "b")
    while not beside(tmp_path / "b", ".log").read_text():
        assert its.step() == {}
    its.cleanup()
    assert fake.process is not None
    assert fake.process.returncode == 143


def test_how_a_trial_ended_is_said_and_noted(tmp_path: Path) -> None:
    trials, lines = [trial(tmp_path, name) for name in "abcd"], list[str]()
    its = Progress(trials, lines.append)
    its.on_trial_start(0, [], tunes("a"))
    its.on_trial_complete(0, [], tunes("a", done=True, **{FAILED: ""}))
    its.on_trial_complete(0, [], tunes("b", done=True, metric=1.0))  # Tune's word for a stop, too
    its.on_trial_complete(0, [], tunes("c", done=True, **{FAILED: "no room"}))
    its.on_trial_error(0, [], tunes("d"))
    assert lines == ["begun: a", "finished: a", "behind: b", "failed: c", "failed: d"]
    assert [its.ended for its in trials] == ["finished", "behind", "", ""]
    assert its.failed == {"c": "no room", "d": "Ray lost it"}


def test_a_run_that_came_to_its_end_is_finished_whatever_halving_says(tmp_path: Path) -> None:
    trials = [trial(tmp_path, name) for name in "ab"]
    for its, finished in zip(trials, (True, False), strict=True):
        progress = json.dumps({"finished": finished, "env_steps": 0}).encode()
        seal(f"{its.folder}/checkpoints/000000300", {"progress.json": progress})
    progress = Progress(trials, list[str]().append)
    for name in "ab":
        progress.on_trial_complete(0, [], tunes(name, done=True, metric=1.0))
    assert [its.ended for its in trials] == ["finished", "behind"]


OPTIONS: dict[str, Any] = {
    "env": "Pendulum-v1",
    "mode": "sync",
    "clone.updates": 0,
    "offline.updates": 20,
    "online.env_steps": 100,
    "algorithm": {"actor.hidden": [16], "critic.hidden": [16]},
    "learner": {"batch_size": 32, "updates_per_call": 10},
    "evaluation": {"episodes": 1, "curve_episodes": 1, "every_updates": 30},
}


def sweep_file(tmp_path: Path, *rates: float, **options: Any) -> str:
    said = {
        "options": {**OPTIONS, "data": [write_demonstrations(tmp_path / "demos.parquet")]}
        | options,
        "search": {"algorithm.critic.learning_rate": {"grid": [*rates]}},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(said))
    return str(tmp_path / "sweep.yaml")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_sweep_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", sweep_file(tmp_path, 1e-3, 1e30)]) == 1
    shown, out = capfd.readouterr().out, tmp_path / "runs" / "sweep"
    assert "\n0              0.001" in shown
    assert "  finished\n1              1e+30            -        0    failed\n" in shown
    assert "failed: point-001-seed-0: awac_dist: critic/loss is not finite" in shown
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [each["state"] for each in rows] == ["finished", "failed"]
    assert (rows[0]["grad_steps"], rows[0]["env_steps"]) == ("120", "100")
    assert (out / "results.png").stat().st_size > 10_000
    assert main(["compare", f"{out}/point-000-seed-0/"]) == 0
    assert main(["evaluate", f"{out}/point-000-seed-0", "--episodes", "1"]) == 0
    assert capfd.readouterr().out.startswith("Pendulum-v1  runs")


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Both trials are cut: one run has one core, and there are two, or one waits for the other."""
    file = sweep_file(tmp_path, 1e-3, 1e-4, **{"online.env_steps": 2_000})
    command = [sys.executable, "-m", "awac_dist.cli.main", "sweep", file, "--out"]
    metrics = tmp_path / "cut" / "point-000-seed-0" / "metrics.jsonl"
    for number in (signal.SIGKILL, signal.SIGINT):
        rows = metrics.read_text().count(RETURN) if metrics.exists() else 0
        with subprocess.Popen([*command, str(tmp_path / "cut")]) as process:
            while not metrics.exists() or metrics.read_text().count(RETURN) < rows + 6:
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(number)
        assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[number]
    for out in ("cut", "whole"):
        subprocess.run([*command, str(tmp_path / out)], check=True)
    cut, whole = (
        list(csv.DictReader((tmp_path / out / "results.csv").open())) for out in ("cut", "whole")
    )
    assert [each.pop("elapsed_s") for each in (*cut, *whole)]
    assert cut == whole
