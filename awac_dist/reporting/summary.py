"""The closing words of a run: what each phase reached, and what it cost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise

from awac_dist.evaluation.result import Evaluation, Share
from awac_dist.reporting.wording import (
    aligned,
    definitions,
    duration,
    mean_and_half_width,
    number,
    percent,
)


def summary(
    evaluations: Sequence[Evaluation],
    folder: str,
    elapsed_s: float,
    env_steps: int,
    grad_steps: int,
    stopped_early: str | None,
) -> str:
    """Write the closing text of a run, without a line end after its last line.

    Args:
        evaluations: The last evaluation of each phase, in the order of the phases.
        folder: The run folder, a path or URI.
        elapsed_s: Of the whole run.
        env_steps: Of the online phase.
        grad_steps: Of all phases.
        stopped_early: Why the run ended before its time, None if it did not.
    """
    lines = ["Run finished" if stopped_early is None else f"Run stopped early: {stopped_early}"]
    if evaluations:
        solvable = all(evaluation.successes for evaluation in evaluations)
        lines += ["", *(_success_table(evaluations) if solvable else _table(evaluations))]
    if len(evaluations) > 1:
        lines += ["", *_differences(evaluations)]
    cost = f"{duration(elapsed_s)} in all, {env_steps:,} env steps online, {grad_steps:,} updates"
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
        interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(interval.high - interval.low) / 2


def _table(evaluations: Sequence[Evaluation]) -> list[str]:
    rows = [("return of", "mean", "", "95 % interval", "episodes")]
    for evaluation in evaluations:
        cells = _cells(evaluation.mean, evaluation.half_width)
        rows.append((evaluation.label, *cells, str(len(evaluation.returns))))
    return aligned(rows)


def _success_table(evaluations: Sequence[Evaluation]) -> list[str]:
    """Success first, each share with its 95 % interval; then the return. No wider than 80."""
    rows: list[tuple[str, ...]] = [("success in", *(each.label for each in evaluations))]
    rows += [(words, *map(_share, shares)) for words, shares in definitions(*evaluations).items()]
    rows.append(("return", *map(mean_and_half_width, evaluations)))
    rows.append(("episodes", *(str(len(each.returns)) for each in evaluations)))
    return [*aligned(rows), "in brackets: 95 % intervals; after ±: half of one"]


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{percent(share.value)} ({100 * low:.0f} to {100 * high:.0f})"


def _differences(evaluations: Sequence[Evaluation]) -> list[str]:
    what = "difference in return" if evaluations[0].successes else "difference"
    rows = [(what, "mean", "", "95 % interval")]
    for before, after in pairwise(evaluations):
        half = welch_half_width(after.returns, before.returns)
        cells = _cells(round(after.mean - before.mean, 9), half, signed=True)  # no rounding errors
        rows.append((f"{after.label} - {before.label}", *cells))
    return aligned(rows)


def _cells(mean: float, half: float, *, signed: bool = False) -> tuple[str, str, str]:
    def write(value: float) -> str:
        return ("+" if signed and value > 0 else "") + number(value, like=mean)

    if not math.isfinite(half):
        return write(mean), "", "unknown"
    interval = f"{write(mean - half)} to {write(mean + half)}"
    return write(mean), f"± {number(half, like=mean)}", interval
