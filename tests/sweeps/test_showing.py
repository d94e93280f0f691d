"""What is told of a sweep, by hand."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from awac_dist.cli.main import main
from awac_dist.config import RunConfig
from awac_dist.plotting.sweep import Scale, Tried, draw_sweep
from awac_dist.sweeps import commands
from awac_dist.sweeps.config import SweepConfig
from awac_dist.sweeps.points import Axis
from awac_dist.sweeps.showing import CSV, results_of, table, write_csv
from awac_dist.sweeps.trials import Trial

AXES = [
    Axis("algorithm.temperature", "loguniform", (0.1, 10.0)),
    Axis("learner.batch_size", "grid", (64, 256)),
]


def evaluation(grad_steps: int, found: float) -> dict[str, Any]:
    counters = {"phase": "offline", "grad_steps": grad_steps, "env_steps": 0, "elapsed_s": 1.5}
    return counters | {"eval/return": found, "eval/success_final": found / 1000}


def write(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    folder.mkdir()
    (folder / "config.yaml").touch()
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def trial(
    tmp_path: Path, point: int, seed: int, ended: str, *found: float, size: int = 64
) -> Trial:
    name = f"{point}-{seed}"
    values = {"algorithm.temperature": 0.5 * (point + 1), "learner.batch_size": size}
    its = Trial(name, point, values, RunConfig(seed=seed), tmp_path / name)
    if found:
        write(its.folder, [evaluation(100 * (n + 1), value) for n, value in enumerate(found)])
    if ended:
        its.end(ended)
    return its


def test_the_table_has_the_best_first_and_who_was_behind_behind(tmp_path: Path) -> None:
    trials = [
        trial(tmp_path, 0, 0, "behind", 900.0),
        trial(tmp_path, 0, 1, "behind", 900.0, 800.0),
        trial(tmp_path, 1, 0, "finished", 10.0, 20.0, 400.0),
        trial(tmp_path, 1, 1, "behind", 10.0),  # does not count, beside one that came to its end
        trial(tmp_path, 2, 0, "finished", 10.0, 20.0, 500.0, size=256),
        trial(tmp_path, 2, 1, "finished", 10.0, 20.0, 700.0, size=256),
        trial(tmp_path, 3, 0, "", 5.0),
        trial(tmp_path, 3, 1, "", 5.0),
        trial(tmp_path, 4, 0, ""),
        trial(tmp_path, 4, 1, ""),
    ]
    results = results_of(SweepConfig(), trials, {"3-0": "no room"})
    heads, *lines = table(results, AXES, "eval/return", "grad_steps")
    assert heads.split()[:4] == ["point", "temperature", "batch_size", "eval/return"]
    assert [line.split() for line in lines] == [
        ["2", "1.5", "256", "600", "500", "to", "700", "300", "2", "finished"],
        ["1", "1", "64", "400", "-", "300", "1", "finished,", "1", "behind"],
        ["0", "0.5", "64", "850", "800", "to", "900", "200", "2", "behind"],
        [
            "3",
            "2",
            "64",
            "5.00",
            "5.00",
            "to",
            "5.00",
            "100",
            "1",
            "failed,",
            "1",
            "to",
            "go",
            "on",
        ],
        ["4", "2.5", "64", "-", "-", "0", "2", "to", "begin"],
    ]
    write_csv(results, tmp_path / CSV)
    rows = list(csv.DictReader((tmp_path / CSV).open()))
    assert rows[6]["why"] == "no room"
    assert (rows[4]["eval/return"], rows[4]["learner.batch_size"]) == ("500.0", "256")
    assert (rows[9]["eval/return"], rows[9]["state"]) == ("", "to begin")


def test_success_is_told_in_percent(tmp_path: Path) -> None:
    sweep = SweepConfig(metric="eval/success_final")
    results = results_of(sweep, [trial(tmp_path, 0, 0, "finished", 300.0, 250.0)], {})
    heads, line = table(results, AXES, sweep.metric, "env_steps")
    assert heads.split()[3:] == ["eval/success_final", "env", "steps", "trials"]
    assert line.split() == ["0", "0.5", "64", "25", "%", "0", "finished"]


def test_the_ends_of_an_interval_are_written_as_its_middle_is(tmp_path: Path) -> None:
    ended = [trial(tmp_path, 0, seed, "finished", 400.0 + 100 * seed) for seed in range(2)]
    for metric, unit, scale in (("eval/return", "", 1.0), ("eval/success_final", " %", 0.1)):
        results = results_of(SweepConfig(metric=metric), ended, {})
        _, line = table(results, AXES, metric, "grad_steps")
        middle, low, high = (f"{scale * value:g}{unit}" for value in (450, 400, 500))
        assert line.split()[3:] == f"{middle} {low} to {high} 100 2 finished".split()


def test_a_picture_has_a_panel_for_the_curves_and_one_for_each_option(tmp_path: Path) -> None:
    rows = [evaluation(100, 5.0), evaluation(200, 6.0), evaluation(200, 7.0)]
    values = {"temperature": 0.5, "mode": "sync", "whole": True, "more": 2}
    scales = {
        "temperature": Scale("loguniform", (0.1, 10.0)),
        "mode": Scale("choice", ("sync", "async")),
        "whole": Scale("grid", (True, False)),
        "more": Scale("uniform", (1, 3)),
    }
    trials = [Tried(values, rows, True), Tried(values, rows[:1], False), Tried(values, [], False)]
    draw_sweep(trials, scales, "eval/success_final", "grad_steps", tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000


@pytest.mark.parametrize("ended", ["finished", ""])
def test_a_metric_that_no_run_tells_is_told_of(
    ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tried(sweep: SweepConfig, trials: Sequence[Trial], *_: Any) -> dict[str, str]:
        for its in trials:
            if not its.ended:
                row = evaluation(100, 5.0)
                row.pop("eval/success_final")
                write(its.folder, [row])
                its.end(ended)
        return {}

    monkeypatch.setattr(commands, "_try", tried)
    monkeypatch.chdir(tmp_path)
    out, file = tmp_path / "runs/sweep", Path("sweep.yaml")
    search = "search: {learner.batch_size: {grid: [64, 256]}}\n"
    file.write_text(f"{search}metric: eval/success_final")
    assert main(["sweep", "sweep.yaml"]) == (1 if ended else 130)
    shown = capsys.readouterr().out
    assert f"results: {out}/results.csv\n" in shown
    assert not (out / "results.png").exists()
    line = "no run tells eval/success_final: set another metric in sweep.yaml"
    assert (line in shown) == bool(ended)
    if ended:
        file.write_text(search)
        assert main(["sweep", "sweep.yaml"]) == 0
        shown = capsys.readouterr().out
        assert f"results: {out}/results.csv, {out}/results.png\n" in shown
        assert "no run" not in shown
