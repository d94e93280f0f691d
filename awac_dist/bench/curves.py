"""Returns of runs that learn, several seeds each: pictures, and when a return is reached."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from awac_dist.cli.arguments import Parser
from awac_dist.errors import InputError
from awac_dist.types import Array

COLOURS = ("#1f6fb4", "#cf5a16")
Curve = Array  # [n, 2] of evaluations: where (updates or seconds), mean return


@dataclass(frozen=True)
class Plan:
    """How long, and how often evaluated: in updates, one for each step online."""

    offline: int
    online: int
    every: int


def run_tool(name: str, tool: Callable[[Sequence[str]], int]) -> int:
    """Call a tool with the words of its command line; wrong ones are told in one line."""
    try:
        return tool(sys.argv[1:])
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2


def plan_parser(name: str, what: str, *, online: int, every: int) -> Parser:
    """A parser of a picture's path, a number of seeds and a plan, with defaults of the last two."""
    parser = Parser(f"python -m awac_dist.bench.{name}", what)
    parser.add_argument("picture", help="where the picture goes")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each")
    parser.add_argument("--offline", type=int, default=2_000, help="updates on prior data")
    parser.add_argument("--online", type=int, default=online, help="steps, and updates, online")
    parser.add_argument("--every", type=int, default=every, help="updates between evaluations")
    return parser


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
