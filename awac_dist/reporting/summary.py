"""The closing words of a run: what each phase reached, and what it cost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise

from awac_dist.evaluation.result import Evaluation
from awac_dist.reporting.recorder import Recorder
from awac_dist.reporting.wording import (
    aligned,
    definitions,
    duration,
    interval,
    mean_and_half_width,
    number,
    percent,
    percent_interval,
)


def summary(run: Recorder, folder: str, stopped_early: str | None) -> str:
    """Write the closing text of a run in a folder, a path or URI, without a last line end.

    It tells why the run was stopped early, if it was.
    """
    evaluations = list(run.evaluations.values())
    lines = ["Run finished" if stopped_early is None else f"Run stopped early: {stopped_early}"]
    if evaluations:
        solvable = all(evaluation.successes for evaluation in evaluations)
        lines += ["", *(_success_table(evaluations) if solvable else _table(evaluations))]
    if len(evaluations) > 1:
        lines += ["", *_differences(evaluations)]
    steps = f"{run.env_steps:,} env steps online, {run.grad_steps:,} updates"
    cost = f"{duration(run.elapsed_s)} in all, {steps}"
    return "\n".join([*lines, "", cost, f"Run folder: {folder}"])


def welch_half_width(a: Sequence[float], b: Sequence[float]) -> float:
    """Half of the 95 % interval of mean(a) - mean(b), variances unequal (Welch, 1947).

    Infinite where a side has a single value.
    """
    if min(len(a), len(b)) < 2:
        return math.inf
    if len(set(a)) == len(set(b)) == 1:
        return 0.0
    from scipy.stats import ttest_ind  # slow to import, and the last that a run needs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of returns that are nearly all the same
        low, high = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(high - low) / 2


def _table(evaluations: Sequence[Evaluation]) -> list[str]:
    rows = [("return of", "mean", "", "95 % interval", "episodes")]
    for evaluation in evaluations:
        cells = _cells(evaluation.mean, evaluation.half_width)
        rows.append((evaluation.label, *cells, str(len(evaluation.returns))))
    return aligned(rows)


def _success_table(evaluations: Sequence[Evaluation]) -> list[str]:
    """Success first, each share with its 95 % interval; then the return. No wider than 80."""
    rows: list[tuple[str, ...]] = [("success in", *(each.label for each in evaluations))]
    for words, shares in definitions(*evaluations).items():
        rows.append((words, *(f"{percent(it.value)} ({percent_interval(it)})" for it in shares)))
    rows.append(("return", *map(mean_and_half_width, evaluations)))
    rows.append(("episodes", *(str(len(each.returns)) for each in evaluations)))
    return [*aligned(rows), "in brackets: 95 % intervals; after ±: half of one"]


def _differences(evaluations: Sequence[Evaluation]) -> list[str]:
    what = "difference in return" if evaluations[0].successes else "difference"
    rows = [(what, "mean", "", "95 % interval")]
    for before, after in pairwise(evaluations):
        half = welch_half_width(after.returns, before.returns)
        cells = _cells(round(after.mean - before.mean, 9), half, "+")  # no rounding errors
        rows.append((f"{after.label} - {before.label}", *cells))
    return aligned(rows)


def _cells(mean: float, half: float, sign: str = "") -> tuple[str, str, str]:
    around = f"± {number(half, like=mean)}" if math.isfinite(half) else ""
    ends = interval(mean - half, mean + half, like=mean, sign=sign)
    return number(mean, sign=sign), around, ends
