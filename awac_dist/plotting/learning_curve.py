"""The learning curve of a run: its offline and its online phase side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from awac_dist.errors import InputError, reason

TEXT, FRAME, GRID, CLONE = "#222222", "#9a9a9a", "#e6e6e6", "#666666"
PANELS = {  # phase -> title, axis, colour
    "offline": ("Offline: prior data only", "updates", "#1f6fb4"),
    "online": ("Online: with new experience", "env steps", "#cf5a16"),
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """Evaluations of one phase, in order; columns [n]."""

    at: NDArray[np.float64]  # updates since the phase began, or online env steps
    mean: NDArray[np.float64]  # return
    half_width: NDArray[np.float64]  # of its 95 % interval, NaN where unknown

    def __len__(self) -> int:
        return len(self.at)

    @property
    def last(self) -> str:
        """The last evaluation in words."""
        mean, half = self.mean[-1], self.half_width[-1]
        decimals = 0 if abs(mean) >= 100 else 2
        around = f" ± {half:,.{decimals}f}" if np.isfinite(half) else ""
        return f"{mean:,.{decimals}f}{around}"


def plot_learning_curve(folder: Path) -> Path:
    """Draw `learning_curve.png` into a run folder from its `metrics.jsonl`.

    Bands are 95 % intervals of the mean return.

    Raises:
        InputError: The table is missing, empty or broken.
    """
    rows = read_rows(folder / "metrics.jsonl")
    curves = {phase: read_curve(rows, phase) for phase in ("clone", "offline", "online")}
    phases = [phase for phase in PANELS if len(curves[phase])]
    figure = Figure(figsize=(10 if len(phases) > 1 else 7, 4.8), dpi=150, layout="constrained")
    columns = figure.subplots(1, max(len(phases), 1), sharey=True, squeeze=False)[0]
    _draw_references(columns, curves)
    for phase, axes in zip(phases, columns, strict=False):
        _draw_curve(axes, phase, curves[phase])
    for axes in columns:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,g}")
        dress(axes)
    if not phases:
        columns[0].set_xticks([])
        text = "no evaluation of the offline or the online policy yet"
        columns[0].text(0.5, 0.9, text, transform=columns[0].transAxes, ha="center", color=TEXT)
    columns[0].set_ylabel("return of an episode")
    figure.suptitle(folder.resolve().name, color=TEXT, fontsize=12, fontweight="bold")
    labels = sum(len(axes.get_legend_handles_labels()[1]) for axes in columns)
    if labels:
        figure.legend(loc="outside lower center", ncols=labels, frameon=False, fontsize=9)
    path = folder / "learning_curve.png"
    figure.savefig(path)
    return path


def read_rows(path: Path) -> list[Row]:
    """Read the metrics of a run; a last row that is still being written is left out.

    Raises:
        InputError: The file is missing, empty or broken.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {reason(error)}; give the folder of a run"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is no table of metrics: {error}") from error
    if not rows:
        raise InputError(f"{path} is empty: the run has written no metrics yet")
    return rows


def read_curve(rows: Sequence[Row], phase: str) -> Curve:
    """Pick the evaluations of a phase, less those that a resumed run has done again."""
    found: list[Row] = []
    for row in rows:
        if row["phase"] == phase and row.get("eval/return") is not None:
            while found and found[-1]["grad_steps"] >= row["grad_steps"]:
                found.pop()
            found.append(row)
    begin = _updates_before(rows, phase)
    at = [row["env_steps"] if phase == "online" else row["grad_steps"] - begin for row in found]
    return Curve(
        np.array(at, dtype=np.float64),
        np.array([row["eval/return"] for row in found], dtype=np.float64),
        np.array([row.get("eval/return_half_width") for row in found], dtype=np.float64),
    )


def _updates_before(rows: Sequence[Row], phase: str) -> int:
    """Updates that earlier phases count already; 0 if the phase counts from 0 itself."""
    first = next((place for place, row in enumerate(rows) if row["phase"] == phase), 0)
    before = int(rows[first - 1]["grad_steps"]) if first else 0
    return before if before <= rows[first]["grad_steps"] else 0


def dress(axes: Axes, grid: Literal["both", "y"] = "both") -> None:
    """What all our pictures have in common."""
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.tick_params(color=FRAME, labelcolor=TEXT, labelsize=9)


def _draw_curve(axes: Axes, phase: str, curve: Curve) -> None:
    title, unit, colour = PANELS[phase]
    low, high = curve.mean - curve.half_width, curve.mean + curve.half_width
    axes.fill_between(curve.at, low, high, color=colour, alpha=0.18, linewidth=0)
    if len(curve) == 1:  # a band of one point has no width
        axes.errorbar(curve.at, curve.mean, curve.half_width, color=colour, capsize=4)
    label = f"{phase}, last {curve.last}"
    axes.plot(curve.at, curve.mean, "o-", color=colour, markersize=3.5, label=label)
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left", color=colour, fontsize=11, fontweight="bold")


def _draw_references(columns: Sequence[Axes], curves: dict[str, Curve]) -> None:
    """Draw what a phase has to beat: the clone everywhere, the offline policy online."""
    if len(curves["clone"]):
        for place, axes in enumerate(columns):
            label = f"clone {curves['clone'].last}" if place == 0 else None
            height = curves["clone"].mean[-1]
            axes.axhline(height, color=CLONE, linestyle="--", linewidth=1.4, label=label)
    if len(columns) > 1:
        label, (_, _, colour) = "where offline ended", PANELS["offline"]
        height = curves["offline"].mean[-1]
        columns[1].axhline(height, color=colour, linestyle=":", linewidth=1.4, label=label)
