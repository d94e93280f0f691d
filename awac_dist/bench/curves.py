"""Returns of runs that learn, several seeds each: pictures, and when a return is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure

from awac_dist.cli.parser import positional
from awac_dist.plotting.bands import COLOURS, draw_seeds
from awac_dist.plotting.pictures import write_picture
from awac_dist.ranges import Checked, Count, Natural
from awac_dist.types import Array

Curve: TypeAlias = Array  # [n, 2] of evaluations: where (updates or seconds), mean return


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

    def options(self, seed: int, episodes: int) -> dict[str, object]:
        """Those of `awac_dist.launch`, without a clone, and with so many episodes evaluated."""
        return {
            "seed": seed,
            "clone.updates": 0,
            "offline.updates": self.offline,
            "online.env_steps": self.online,
            "evaluation.episodes": episodes,
            "evaluation.curve_episodes": episodes,
            "evaluation.every_updates": self.every,
        }


def learned(
    plan: Plan, ways: Mapping[str, Callable[[Plan, int], Curve]], unit: str
) -> dict[str, list[Curve]]:
    """Each way's curve of each seed, in turn, so that a slow hour slows all; prints them."""
    curves: dict[str, list[Curve]] = {name: [] for name in ways}
    for seed in range(plan.seeds):
        for name, way in ways.items():
            curves[name].append(way(plan, seed))
            reached = "; ".join(f"{x:,.0f} {unit} {value:,.0f}" for x, value in curves[name][-1])
            print(f"{name}, seed {seed}: {reached}", flush=True)
    return curves


def mean_curve(seeds: Sequence[Curve]) -> Curve:
    """The mean of all seeds' first, second, ... evaluation [n, 2], as far as all have one."""
    shortest = min(map(len, seeds))
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
    where, value = curve[max(above[0] - 1, 0) : above[0] + 1].T
    return float(np.interp(wanted, value, where))


def draw(
    path: str, curves: Mapping[str, Sequence[Curve]], *, title: str, where: str, what: str
) -> Any:
    """Write a picture, each seed thin, a way's mean thick, in a band; returns its axes."""
    figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (name, seeds), colour in zip(curves.items(), COLOURS, strict=False):
        draw_seeds(axes, [(its[:, 0], its[:, 1]) for its in seeds], colour, name)
    axes.set(xlabel=where, ylabel=what, title=title)
    axes.legend()
    write_picture(figure, path)
    return axes
