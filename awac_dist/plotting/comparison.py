"""Runs side by side: what each group of seeds reached, by steps, by updates and by wall time."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from awac_dist.plotting.bands import COLOURS, Curve, draw_seeds
from awac_dist.plotting.learning_curve import (
    FRAME,
    GRID,
    RETURN,
    SUCCESS,
    TEXT,
    Measure,
    Row,
    dress,
    once_each,
)
from awac_dist.plotting.pictures import write_picture

AXES = {"grad_steps": "updates", "env_steps": "env steps", "elapsed_s": "wall time"}
OFFLINE, ONLINE = "offline", "online"
STYLES = {OFFLINE: ":", ONLINE: "-"}
HOW_TO_READ = (
    "Dotted: offline. From the circle on: online. Thick: the interquartile mean of a group's seeds "
    "(of fewer than four: their mean). Band: its 95 % interval, by a bootstrap over seeds."
)
TIMES = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0}
FEW = 3  # of a unit are told in the next smaller one
WIDTH, HEIGHT = 5.0, 3.3  # inches of a panel
THEMED = {TEXT: "var(--text)", FRAME: "var(--frame)", GRID: "var(--grid)"}
FONTS = re.compile(r"font-family: [^;\"]*|(?<=px )'[^;\"]*")
PATHS, DIGITS = re.compile(r' d="[^"]*"'), re.compile(r"(\.\d)\d+")  # that nobody sees
Runs: TypeAlias = Mapping[str, Sequence[Row]]  # the rows of each run of a group, by its name
Groups: TypeAlias = Mapping[str, Runs]  # by their labels


class Panel(NamedTuple):
    """What is drawn of which runs."""

    task: str
    measure: Measure
    groups: Groups
    colours: Mapping[str, str]  # of the groups


def panels_of(tasks: Mapping[str, Groups], metrics: Sequence[str] = ()) -> list[Panel]:
    """Success where a task tells it, then the return, then other metrics that were asked for."""
    labels = list(dict.fromkeys(label for groups in tasks.values() for label in groups))
    colours = dict(zip(labels, colours_of(len(labels)), strict=True))
    own = {measure.name: measure for measure in (SUCCESS, RETURN)}
    asked = {name: Measure(name, name) for name in metrics if name != "phase"}  # that is a word
    wanted = {**own, **asked, **own}.values()  # each once, ours as we have them
    return [
        Panel(task, measure, groups, colours)
        for task, groups in tasks.items()
        for measure in wanted
        if any(
            measure.name in row for runs in groups.values() for its in runs.values() for row in its
        )
    ]


def colours_of(count: int) -> list[str]:
    """So many colours that can be told apart, as far as there are."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [to_hex(colour) for colour in colormaps["turbo"](np.linspace(0.05, 0.95, count))]


def curves_of(rows: Sequence[Row], measure: Measure, axis: str) -> dict[str, Curve]:
    """What a run reached offline, and online from there on, by a counter.

    An evaluation stands where its policy was made: it is written later. Env steps are those of
    the online phase, which leave the offline one no room.
    """
    made = {
        row["grad_steps"]: row
        for row in rows
        if "learner/updates_per_s" in row and row.get(axis) is not None
    }
    known = [row for row in rows if None not in (row.get(measure.name), row.get(axis))]
    found = once_each(known)
    before = [row for row in found if row["phase"] == OFFLINE]
    after = [row for row in found if row["phase"] == ONLINE]
    parts = {OFFLINE: before, ONLINE: [*(before[-1:] if after else ()), *after]}
    if axis == "env_steps":
        parts = {OFFLINE: [], ONLINE: parts[ONLINE] or before[-1:]}
    return {
        phase: (
            np.array([made.get(row["grad_steps"], row)[axis] for row in part], np.float64),
            np.array([measure.scale * row[measure.name] for row in part], np.float64),
        )
        for phase, part in parts.items()
    }


def draw_panel(axes: Axes, panel: Panel, axis: str) -> None:
    """The curves of all groups, each marked by its number for whoever styles the picture."""
    measure = panel.measure
    found = {
        label: [curves_of(rows, measure, axis) for rows in runs.values()]
        for label, runs in panel.groups.items()
    }
    unit, scale = _unit(axis, found)
    for label, seeds in found.items():
        colour = panel.colours[label]
        for phase, style in STYLES.items():
            curves = [(its[phase][0] / scale, its[phase][1]) for its in seeds]
            at, over = draw_seeds(axes, curves, colour, label, style)
            if phase == ONLINE:
                axes.plot(at[:1], over.middle[:1], "o", color=colour, markersize=5)
        for artist in (*axes.lines, *axes.collections):
            artist.set_gid(artist.get_gid() or f"g{list(panel.colours).index(label)}")
    dress(axes)
    longest = max(1.0, axes.dataLim.x1 / 0.98)
    axes.set_xlim(-0.02 * longest, longest)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter(f"{{x:,g}}{measure.unit}")
    axes.set_xlabel(unit, color=TEXT, fontsize=9)
    title = f"{panel.task}: {measure.axis}"
    axes.set_title(title, loc="left", color=TEXT, fontsize=10, parse_math=False)
    if measure is SUCCESS:
        axes.set_ylim(-4, 104)


def _unit(axis: str, found: Mapping[str, Sequence[Mapping[str, Curve]]]) -> tuple[str, float]:
    """The words of an axis, and how many of its counter are one on it."""
    if axis != "elapsed_s":
        return AXES[axis], 1.0
    ends = [
        at[-1] for seeds in found.values() for its in seeds for at, _ in its.values() if len(at)
    ]
    longest = max(ends, default=0.0)
    name, size = [each for each in TIMES.items() if each[0] == "s" or longest >= FEW * each[1]][-1]
    return f"{AXES[axis]}, {name}", size


def draw_picture(panels: Sequence[Panel], path: str) -> None:
    """Draw all panels into a file whose ending tells its format, one row each, by every counter."""
    size = WIDTH * len(AXES), HEIGHT * len(panels) + 0.7
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    for panel, row in zip(
        panels, figure.subplots(len(panels), len(AXES), squeeze=False), strict=True
    ):
        for axes, axis in zip(row, AXES, strict=True):
            draw_panel(axes, panel, axis)
    lines = [Line2D([], [], color=colour, linewidth=2.0) for colour in panels[0].colours.values()]
    names = list(panels[0].colours)
    legend = figure.legend(
        lines, names, loc="outside upper left", ncols=4, frameon=False, fontsize=9
    )
    for text in legend.texts:
        text.set_parse_math(False)
    figure.supxlabel(HOW_TO_READ, color=FRAME, fontsize=8)
    write_picture(figure, path, "--plot")


def svg(panel: Panel, axis: str) -> str:
    """A panel as a part of a page, which gives it its colours of text, frame and grid."""
    figure, text = Figure(figsize=(WIDTH, HEIGHT), layout="constrained"), io.StringIO()
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    draw_panel(axes, panel, axis)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{panel.task}{panel.measure}{axis}"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = PATHS.sub(lambda path: DIGITS.sub(r"\1", path[0]), text.getvalue())
    drawn = FONTS.sub("", drawn.partition("<svg")[2])
    for colour, variable in THEMED.items():
        drawn = drawn.replace(colour, variable)
    drawn = re.sub(r'<g id="(g\d+)">', r'<g class="\1">', drawn)
    return f"<svg{re.sub(r'<metadata>.*?</metadata>', '', drawn, flags=re.S)}"
