"""A sweep as a picture: every trial's curve, and what came of each value that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awac_dist.plotting.comparison import AXES, HEIGHT, WIDTH
from awac_dist.plotting.learning_curve import FRAME, RETURN, SUCCESS, TEXT, Row, dress, once_each
from awac_dist.plotting.pictures import write_picture

MEASURES = {measure.name: measure for measure in (RETURN, SUCCESS)}
ACROSS = 3  # panels in a row
HOW_TO_READ = (
    "Bright: better. Hollow: ended before its time, since it was behind, or not ended yet."
)


class Scale(NamedTuple):
    """The values of an option that are tried."""

    kind: str  # choice and grid stand side by side
    values: Sequence[Any]  # all of them; of uniform and loguniform, the ends


class Tried(NamedTuple):
    """A trial, as far as the picture shows it."""

    values: Mapping[str, Any]  # of the options that are tried
    rows: Sequence[Row]  # its evaluations
    whole: bool  # whether it came to its end


def draw_sweep(
    trials: Sequence[Tried], axes: Mapping[str, Scale], metric: str, counter: str, path: Path
) -> None:
    """Draw the trials that found something.

    Args:
        trials: All.
        axes: What is tried of each option.
        metric: What makes one the better.
        counter: By which their curves are drawn.
        path: Of the picture.
    """
    found = [its for its in trials if its.rows]
    trials = sorted(found, key=lambda its: (its.whole, float(its.rows[-1][metric])))
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, len(trials)))
    across = min(ACROSS, 1 + len(axes))
    down = -(-(1 + len(axes)) // across)
    figure = Figure((WIDTH * across, HEIGHT * down + 0.3), dpi=110, layout="constrained")
    curves, *panels = figure.subplots(down, across, squeeze=False).flat
    for its, colour in zip(trials, colours, strict=True):
        _draw_curve(curves, its, metric, counter, colour)
    curves.set_xlabel(AXES[counter], color=TEXT, fontsize=9)
    curves.xaxis.set_major_formatter("{x:,g}")
    for panel, (option, scale) in zip(panels, axes.items(), strict=False):
        _draw_values(panel, trials, option, scale, metric, colours)
    for panel in (curves, *panels[: len(axes)]):
        panel.yaxis.set_major_formatter(f"{{x:,g}}{MEASURES[metric].unit}")
        dress(panel)
    for panel in panels[len(axes) :]:
        panel.set_axis_off()
    curves.set_title(MEASURES[metric].axis, loc="left", color=TEXT, fontsize=10)
    figure.supxlabel(HOW_TO_READ, color=FRAME, fontsize=8)
    write_picture(figure, path)


def _draw_curve(axes: Axes, trial: Tried, metric: str, counter: str, colour: Any) -> None:
    rows = once_each(trial.rows)
    at = [row[counter] for row in rows]
    found = [MEASURES[metric].scale * row[metric] for row in rows]
    axes.plot(at, found, color=colour, linewidth=1.3)
    axes.plot(at[-1], found[-1], "o", color=colour, markerfacecolor=_inside(trial, colour), ms=5)


def _draw_values(
    axes: Axes, trials: Sequence[Tried], option: str, scale: Scale, metric: str, colours: Any
) -> None:
    """What each trial found last, by its value of one option."""
    values = [its.values[option] for its in trials]
    if scale.kind in ("grid", "choice"):
        names = [*scale.values]
        axes.set_xticks(range(len(names)), [str(name) for name in names], parse_math=False)
        axes.set_xlim(-0.5, len(names) - 0.5)
        values = [names.index(value) for value in values]
    else:
        axes.set_xscale("log" if scale.kind == "loguniform" else "linear")
        axes.set_xlim(*scale.values)
    for its, value, colour in zip(trials, values, colours, strict=True):
        found = MEASURES[metric].scale * its.rows[-1][metric]
        axes.plot(value, found, "o", color=colour, markerfacecolor=_inside(its, colour), ms=7)
    axes.set_xlabel(option, color=TEXT, fontsize=9)


def _inside(trial: Tried, colour: Any) -> Any:
    return colour if trial.whole else "white"
