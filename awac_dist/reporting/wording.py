"""How figures read on the screen: returns, counts, durations."""

from __future__ import annotations

import math

from awac_dist.evaluation.result import Evaluation


def number(value: float, *, like: float | None = None) -> str:
    """Write a figure with about three digits, and thousands set apart.

    Args:
        value: What to write.
        like: The figure whose decimals to share, such as the mean that an interval belongs to.
    """
    if value == 0:
        return "0"
    size = abs(value if like is None else like)
    if 0 < size < 0.1:
        return f"{value:.2g}"
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{decimals}f}"


def duration(seconds: float) -> str:
    """Write a time span as 0:42, 9:41 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def mean_and_half_width(evaluation: Evaluation) -> str:
    """Write the mean return and half of its 95 % interval, "?" where one episode gives none."""
    mean, half = evaluation.mean, evaluation.half_width
    return f"{number(mean)} ± {number(half, like=mean) if math.isfinite(half) else '?'}"
