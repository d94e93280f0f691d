"""Returns of runs that learn, several seeds each: pictures, and when a return is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from awac_dist.cli.parser import positional
from awac_dist.ranges import Checked, Count, Natural
from awac_dist.types import Array

COLOURS = ("#1f6fb4", "#cf5a16")
Curve = Array  # [n, 2] of evaluations: where (updates or seconds), mean return


@dataclass(frozen=True, kw_only=True)
class Plan(Checked):
    """How long, and how often evaluated: in updates, one for each step online.

    Attributes:
        picture: Where the picture goes.
        seeds: Runs of each.
        offline: Updates on prior data.
        online: Steps, and updates, online.
        every: Updates between evaluations.
    """

    picture: str = positional()
    seeds: Count = 3
    offline: Natural = 2_000
    online: Natural
    every: Count


def mean_curve(seeds: Sequence[Curve]) -> Curve:
    """The mean of all seeds' first, second, ... evaluation [n, 2], as far as all have one."""
    shortest = min(len(curve) for curve in seeds)
    mean: Curve = np.mean([curve[:shortest] for curve in seeds], axis=0)
    return mean


def reached_at(curve: Curve, wanted: float) -> float:
    """Where a curve is at a return for the first time, on the line between evaluations.

    Raises:
        ValueError: Nowhere.
    """
    above = np.flatnonzero(curve[:, 1] >= wanted)
    if not len(above):
        raise ValueError(f"a return of {wanted:,.0f} is never reached")
    there = curve[above[0]]
    before = curve[above[0] - 1] if above[0] else there
    gained = there[1] - before[1]
    share = (wanted - before[1]) / gained if gained else 1.0
    return float(before[0] + share * (there[0] - before[0]))


def draw(
    path: str, curves: Mapping[str, Sequence[Curve]], *, title: str, where: str, what: str
) -> Any:
    """Write a picture, each seed thin, the mean of a way thick; returns its axes."""
    figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (name, seeds), colour in zip(curves.items(), COLOURS, strict=True):
        for curve in seeds:
            axes.plot(*curve.T, colour, linewidth=0.8, alpha=0.5)
        axes.plot(*mean_curve(seeds).T, colour, linewidth=2.5, label=name)
    axes.set_xlabel(where)
    axes.set_ylabel(what)
    axes.set_title(title)
    axes.legend()
    figure.savefig(path)
    return axes
