"""What came of a sweep: a table of its points, a csv of its trials, and a picture."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from awac_dist.experiments.running import has_begun
from awac_dist.files import write_file
from awac_dist.plotting.bands import Interval, interquartile
from awac_dist.plotting.comparison import AXES
from awac_dist.plotting.learning_curve import SUCCESS
from awac_dist.plotting.sweep import Scale, Tried, draw_sweep
from awac_dist.reporting.groups import short
from awac_dist.reporting.rows import COUNTERS, Row
from awac_dist.reporting.wording import aligned, interval, number, percent, percents
from awac_dist.sweeps.config import SweepConfig
from awac_dist.sweeps.points import Axis
from awac_dist.sweeps.trials import FINISHED, Trial

CSV, PICTURE = "results.csv", "results.png"
FAILED, CUT, WAITING = "failed", "to go on", "to begin"
Result = dict[str, Any]  # a line of the csv


def results_of(
    sweep: SweepConfig, trials: Sequence[Trial], failed: Mapping[str, str]
) -> list[Result]:
    """One line a trial."""
    return [_result(its, its.evaluations(sweep.metric), sweep.metric, failed) for its in trials]


def _result(trial: Trial, rows: Sequence[Row], metric: str, failed: Mapping[str, str]) -> Result:
    last = rows[-1] if rows else {}
    open_ = CUT if has_begun(trial.folder) else WAITING
    return {
        "trial": trial.name,
        "point": trial.point,
        "seed": trial.config.seed,
        "state": FAILED if trial.name in failed else trial.ended or open_,
        metric: last.get(metric),
        **{name: last.get(name) for name in (*COUNTERS, "elapsed_s")},
        **{path: _plain(value) for path, value in trial.values.items()},
        "why": failed.get(trial.name, ""),
    }


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | tuple | list) else value


def write_csv(results: Sequence[Result], path: Path) -> None:
    """Write them, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, results[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(results)
    write_file(str(path), text.getvalue().encode())


def draw(sweep: SweepConfig, axes: Sequence[Axis], trials: Sequence[Trial], path: Path) -> bool:
    """Draw the picture, where something was found; whether it was."""
    tried = [
        Tried(its.values, its.evaluations(sweep.metric), its.ended == FINISHED) for its in trials
    ]
    if found := any(its.rows for its in tried):
        scales = {axis.path: Scale(axis.kind, axis.values) for axis in axes}
        draw_sweep(tried, scales, sweep.metric, sweep.asha.by, path)
    return found


def points_table(trials: Sequence[Trial], axes: Sequence[Axis]) -> list[str]:
    """One line a point."""
    points = {its.point: its.values for its in trials}
    lines = [(str(point), *map(_value, values.values())) for point, values in points.items()]
    return aligned([("point", *(axis.path for axis in axes)), *lines])


class Reached(NamedTuple):
    """What a point's trials found: those that came to their end, else all."""

    point: int
    values: Sequence[Any]  # of the options
    metric: Interval  # over the trials; NaN where nothing is known
    at: int  # how far they came
    states: str
    whole: bool  # whether some came to their end

    @property
    def order(self) -> tuple[bool, bool, int, float]:
        """The best first; who was behind is behind, and nearer to the front who came further."""
        middle = float(self.metric.middle)
        return np.isnan(middle), not self.whole, 0 if self.whole else -self.at, -middle


def table(results: Sequence[Result], axes: Sequence[Axis], metric: str, counter: str) -> list[str]:
    """One line a point, the best first."""
    points: dict[int, list[Result]] = {}
    for result in results:
        points.setdefault(result["point"], []).append(result)
    paths = [axis.path for axis in axes]
    reached = [_reached(runs, paths, metric, counter) for runs in points.values()]
    seeds = ["95 % interval"] * any(len(runs) > 1 for runs in points.values())
    heads = ("point", *(short(path, paths) for path in paths), metric, *seeds, AXES[counter])
    lines = [(*heads, "trials")]
    share = metric == SUCCESS.name
    for its in sorted(reached, key=lambda its: its.order):
        middle, low, high = map(float, its.metric)
        told = percent(middle) if share else number(middle)
        ends = percents(low, high) if share else interval(low, high, like=middle)
        around = ["-" if np.isnan(low) else ends] * len(seeds)
        found = ["-" if np.isnan(middle) else told, *around, f"{its.at:,}"]
        lines.append((str(its.point), *map(_value, its.values), *found, its.states))
    return aligned(lines)


def _reached(results: Sequence[Result], paths: Sequence[str], metric: str, counter: str) -> Reached:
    whole = [its for its in results if its["state"] == FINISHED]
    known = [its for its in whole or results if its[metric] is not None]
    states = Counter(its["state"] for its in results)
    alone = len(results) == 1
    return Reached(
        results[0]["point"],
        [results[0][path] for path in paths],
        interquartile(np.array([its[metric] for its in known] or [np.nan], np.float64)),
        max((its[counter] for its in known), default=0),
        ", ".join(state if alone else f"{count} {state}" for state, count in states.items()),
        bool(whole),
    )


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
