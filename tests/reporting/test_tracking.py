"""Metrics elsewhere: by the packages themselves where they are installed, and when they fail."""

import json
import sqlite3
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from awac_dist.cli.main import main
from awac_dist.errors import InputError
from awac_dist.reporting.config import ReportingConfig
from awac_dist.reporting.tracking import Tracking, check

CONFIG = {"env": "A-v0", "algorithm": {"name": "awac", "actor": {"hidden": [64, 64]}}}
# an evaluation is told after the updates that follow its policy
ROWS = [
    {"grad_steps": step, "env_steps": 3, "elapsed_s": 1.5, name: float(step)}
    for step, name in ((200, "critic/loss"), (100, "eval/return"))
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a run; whatever the packages write besides goes below it, too."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    (run := tmp_path / "the-run").mkdir()
    (run / "provenance.json").write_text("{}")
    return run


def track(folder: Path, name: Any, sessions: int = 1) -> list[str]:
    """Track a run that was started so often; returns what it had to say."""
    notes: list[str] = []
    for _ in range(sessions):
        tracking = Tracking(ReportingConfig(name, "the-project"), folder, CONFIG, notes.append)
        for row in ROWS:
            tracking.log(row)
        tracking.finish()
    return notes


def test_wandb_keeps_a_run_offline(folder: Path) -> None:
    pytest.importorskip("wandb")
    assert track(folder, "wandb") == []
    written = b"".join(path.read_bytes() for path in folder.glob("wandb/offline-run-*/*.wandb"))
    for part in (b"eval/return", b"critic/loss", b"the-project", b"the-run", b"hidden"):
        assert part in written


def test_trackio_keeps_one_run_over_its_sessions(folder: Path) -> None:
    pytest.importorskip("trackio")
    assert track(folder, "trackio", sessions=2) == []
    with sqlite3.connect(folder.parent / "trackio" / "the-project.db") as table:
        rows = table.execute("select run_name, step, metrics from metrics").fetchall()
    assert len({name for name, *_ in rows}) == 1
    kept = {(step, *json.loads(metrics).items()) for _, step, metrics in rows}
    assert kept == {(row["grad_steps"], *row.items()) for row in ROWS}


def test_mlflow_keeps_one_run_over_its_sessions(folder: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    assert track(folder, "mlflow", sessions=2) == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("the-project")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "the-run"
    assert run.data.params["algorithm.actor.hidden"] == "[64, 64]"
    found = client.get_metric_history(run.info.run_id, "eval/return")
    assert {(point.step, point.value) for point in found} == {(100, 100.0)}


def pretend(monkeypatch: pytest.MonkeyPatch, log: Any) -> dict[str, Any]:
    """A package of Weights & Biases' shape; returns what it is told."""
    asked: dict[str, Any] = {}
    its = SimpleNamespace(log=log, finish=lambda: asked.update(finished=True))
    its.define_metric = lambda name, step_metric: asked.update(by=step_metric)
    wandb = ModuleType("wandb")
    wandb.init = lambda **given: asked.update(given) or its  # type: ignore[attr-defined]
    wandb.Settings = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return asked


def test_a_run_is_the_same_one_whenever_it_is_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[dict[str, float]] = []
    asked = pretend(monkeypatch, taken.append)
    track(folder, "wandb")
    first = dict(asked)
    track(folder, "wandb")
    assert (first["id"], first["resume"]) == (asked["id"], "allow")
    assert (asked["name"], asked["project"], asked["config"]) == ("the-run", "the-project", CONFIG)
    assert (asked["by"], asked["finished"]) == ("grad_steps", True)
    assert taken == [*ROWS, *ROWS]
    (folder / "provenance.json").write_text('{"time_utc": "later"}')
    track(folder, "wandb")
    assert asked["id"] != first["id"]


def test_a_failure_is_told_once_and_ends_no_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log(values: dict[str, float]) -> None:
        raise ConnectionError("gone\nfor good")

    asked = pretend(monkeypatch, log)
    told = "wandb takes no more: ConnectionError: gone; metrics.jsonl has everything"
    assert track(folder, "wandb") == [told]
    assert "finished" not in asked


def test_what_cannot_begin_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, print)
    (folder / "provenance.json").unlink()
    with pytest.raises(InputError, match=r"--reporting.track wandb: FileNotFoundError: .*: mend"):
        track(folder, "wandb")


def test_nothing_is_tracked_unless_asked_for(folder: Path) -> None:
    check(ReportingConfig())
    assert track(folder, None) == []


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_dist.reporting.tracking.find_spec", lambda name: None)
    told = r"--reporting.track mlflow needs a package: pip install 'awac_dist\[mlflow\]'"
    with pytest.raises(InputError, match=told):
        check(ReportingConfig("mlflow"))


def test_a_launch_says_at_once_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("awac_dist.reporting.tracking.find_spec", lambda name: None)
    assert main(["launch", "--reporting.track", "trackio", "--dry-run"]) == 2
    assert "pip install 'awac_dist[trackio]'" in capsys.readouterr().err
