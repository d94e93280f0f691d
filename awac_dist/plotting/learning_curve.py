"""The learning curve of a run, offline and online: its returns, and successes where it has some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from awac_dist.plotting.pictures import write_picture

TEXT, FRAME, GRID, CLONE = "#222222", "#9a9a9a", "#e6e6e6", "#666666"
PANELS = {  # phase -> title, the counter that it goes by, in words, colour
    "offline": ("Offline: prior data only", "grad_steps", "updates", "#1f6fb4"),
    "online": ("Online: with new experience", "env_steps", "env steps", "#cf5a16"),
}
Row = Mapping[str, Any]


class Measure(NamedTuple):
    """What is drawn of an evaluation."""

    name: str  # in the rows
    axis: str
    scale: float = 1.0
    unit: str = ""
    half_width: str = ""  # of its 95 % interval, by its name in the rows
    loosely: str = ""  # the same by a looser definition


RETURN = Measure("eval/return", "return of an episode", half_width="eval/return_half_width")
SUCCESS = Measure(
    "eval/success_final", "solved in the last step", 100.0, " %", loosely="eval/success_any"
)


@dataclass(frozen=True)
class Curve:
    """Evaluations of one phase by one measure, in order; columns [n]."""

    measure: Measure
    at: NDArray[np.float64]  # updates of the whole run, or online env steps
    mean: NDArray[np.float64]
    half_width: NDArray[np.float64]  # of its 95 % interval, NaN where unknown
    loosely: NDArray[np.float64]  # NaN where there is nothing looser

    def __len__(self) -> int:
        return len(self.at)

    @property
    def last(self) -> str:
        """The last evaluation in words."""
        mean, half = self.mean[-1], self.half_width[-1]
        decimals = 0 if abs(mean) >= 100 or self.measure.unit else 2
        around = f" ± {half:,.{decimals}f}" if np.isfinite(half) else ""
        return f"{mean:,.{decimals}f}{around}{self.measure.unit}"


def plot_learning_curve(folder: Path | str, rows: Sequence[Row]) -> str:
    """Draw `learning_curve.png` into the folder of a run, a path or URI, from its metrics' rows.

    Bands are 95 % intervals of the mean return. Says where the picture is.
    """
    phases = [phase for phase in PANELS if len(read_curve(rows, phase))]
    measures = [SUCCESS, RETURN] if any(SUCCESS.name in row for row in rows) else [RETURN]
    shape = len(measures), max(len(phases), 1)
    size = (10 if len(phases) > 1 else 7), 1.4 + 3.4 * len(measures)
    figure = Figure(figsize=size, dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1))
    panels = figure.subplots(*shape, sharex="col", sharey="row", squeeze=False)
    for measure, columns in zip(measures, panels, strict=True):
        _draw_measure(columns, phases, rows, measure)
    for phase, top, bottom in zip(phases, panels[0], panels[-1], strict=False):
        title, _, unit, colour = PANELS[phase]
        top.set_title(title, loc="left", color=colour, fontsize=11, fontweight="bold")
        bottom.set_xlabel(unit)
    if not phases:
        panels[0, 0].set_xticks([])
        text = "no evaluation of the offline or the online policy yet"
        panels[0, 0].text(0.5, 0.9, text, transform=panels[0, 0].transAxes, ha="center", color=TEXT)
    name = Path(folder).resolve().name
    figure.suptitle(name, color=TEXT, fontsize=12, fontweight="bold", parse_math=False)
    path = f"{folder}/learning_curve.png"
    write_picture(figure, path)
    return path


def read_curve(rows: Sequence[Row], phase: str, measure: Measure = RETURN) -> Curve:
    """Pick the evaluations of a phase, the last one at each place.

    What a resumed run has done again counts once. The online phase goes on from where the offline
    one ended.
    """
    counter = PANELS.get(phase, PANELS["offline"])[1]
    known = [row for row in rows if row.get(measure.name) is not None]
    found = once_each((row for row in known if row["phase"] == phase), counter)
    if phase == "online" and found and found[0][counter] > 0:
        offline = [{**row, counter: 0} for row in known if row["phase"] == "offline"]
        found = [*offline[-1:], *found]
    names = (counter, measure.name, measure.half_width, measure.loosely)
    at, *columns = (np.array([row.get(name) for row in found], np.float64) for name in names)
    return Curve(measure, at, *(measure.scale * column for column in columns))


def once_each(rows: Iterable[Row], *counters: str) -> list[Row]:
    """Rows whose updates, and other counters, rise: of what was done again, the last."""
    found: list[Row] = []
    for row in rows:
        while found and any(found[-1][each] >= row[each] for each in ("grad_steps", *counters)):
            found.pop()
        found.append(row)
    return found


def dress(axes: Axes, grid: Literal["both", "y"] = "both") -> None:
    """What all our pictures have in common."""
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.tick_params(color=FRAME, labelcolor=TEXT, labelsize=9)


def _draw_measure(
    columns: Sequence[Axes], phases: Sequence[str], rows: Sequence[Row], measure: Measure
) -> None:
    """One row of panels: the clone, which every phase has to beat, and the curve of each."""
    clone = read_curve(rows, "clone", measure)
    for axes, phase in zip_longest(columns, phases):
        if len(clone):
            label, height = f"clone {clone.last}", clone.mean[-1]
            axes.axhline(height, color=CLONE, linestyle="--", linewidth=1.4, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter(f"{{x:,g}}{measure.unit}")
        dress(axes)
        if phase:
            _draw_curve(axes, phase, read_curve(rows, phase, measure))
            axes.margins(x=0)
            axes.set_xlim(left=0)
        if phase == "offline" and len(clone):
            axes.plot(clone.at[-1:], clone.mean[-1:], "o", color=CLONE, clip_on=False)
            axes.set_xlim(left=clone.at[-1])
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=9)
    columns[0].set_ylabel(measure.axis)
    if measure is SUCCESS:
        columns[0].set_ylim(-4, 104)


def _draw_curve(axes: Axes, phase: str, curve: Curve) -> None:
    colour = PANELS[phase][-1]
    low, high = curve.mean - curve.half_width, curve.mean + curve.half_width
    axes.fill_between(curve.at, low, high, color=colour, alpha=0.18, linewidth=0)
    if len(curve) == 1:  # a band of one point has no width
        axes.errorbar(curve.at, curve.mean, curve.half_width, color=colour, capsize=4)
    label = f"{phase}, last {curve.last}"
    axes.plot(curve.at, curve.mean, "o-", color=colour, markersize=3.5, label=label, clip_on=False)
    if (curve.loosely > curve.mean).any():
        axes.plot(curve.at, curve.loosely, ":", color=colour, linewidth=1.4, label="in any step")
