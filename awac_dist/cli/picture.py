"""Surveys as a picture: returns, lengths, and the figures of each source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from matplotlib.transforms import Bbox

from awac_dist.cli.survey import Survey
from awac_dist.errors import InputError
from awac_dist.reporting.wording import number

TEXT, FRAME, GRID = "#222222", "#9a9a9a", "#e6e6e6"
COLOURS = ("#1f6fb4", "#cf5a16", "#2f8f4e", "#8a4fb0", "#b8860b", "#c2306b", "#4a4a4a")
WIDTHS = (0.27, 0.08, 0.11, 0.12, 0.07, 0.08, 0.11, 0.05, 0.11)
BINS, LONGEST_NAME = 30, 32
HEADS = (
    "episodes",
    "transitions",
    "mean return",
    "D4RL",
    "success",
    "out of range",
    "NaN",
    "duplicates",
)


def draw(surveys: Sequence[Survey], path: Path) -> Path:
    """Draw surveys, one colour each, into a picture whose ending tells its format.

    Raises:
        InputError: There is nothing to draw, or it cannot be written.
    """
    surveys = [found for found in surveys if found.episodes]
    if not surveys:
        raise InputError(f"--plot {path}: there is no episode to draw")
    rows = len(surveys)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(10, 4.6 + 0.3 * rows), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    shares = [4.0, 0.45 + 0.3 * rows]
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2], height_ratios=shares)
    returns, lengths = (figure.add_subplot(grid[0, column]) for column in (0, 1))
    _draw_histogram(returns, [found.returns for found in surveys], "Return of an episode")
    _draw_histogram(lengths, [found.lengths for found in surveys], "Length of an episode")
    lengths.set_xlabel("steps", color=TEXT)
    returns.set_ylabel("episodes", color=TEXT)
    _draw_table(figure.add_subplot(grid[1, :]), surveys)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--plot {path}: cannot be written: {error}") from error
    return path


def _draw_histogram(axes: Axes, columns: Sequence[np.ndarray], title: str) -> None:
    """Bars of each source with its median as a dashed line; infinite values are left out."""
    columns = [values[np.isfinite(values)] for values in columns]
    edges = _edges(np.concatenate(columns))
    alpha = 0.85 if len(columns) == 1 else 0.5
    for place, values in enumerate(columns):
        colour = COLOURS[place % len(COLOURS)]
        axes.hist(
            values, edges.tolist(), color=colour, alpha=alpha, edgecolor="white", linewidth=0.6
        )
        if len(values):
            line = TEXT if len(columns) == 1 else colour  # to stand out from its bars
            axes.axvline(float(np.median(values)), color=line, linestyle="--", linewidth=1.4)
    axes.set_title(title, loc="left", color=TEXT, fontsize=11, fontweight="bold")
    axes.set_title("dashed: median", loc="right", color=FRAME, fontsize=8)
    _dress(axes)


def _edges(values: np.ndarray) -> np.ndarray:
    """At most 30 equal bins over all values; one bin of its own where they are all the same."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    if low == high:
        half = 0.05 * abs(low) or 0.5
        return np.linspace(low - 5 * half, low + 5 * half, 12)
    return np.linspace(low, high, min(BINS, max(8, len(values) // 2)) + 1)


def _dress(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.tick_params(color=FRAME, labelcolor=TEXT, labelsize=9)


def _draw_table(axes: Axes, surveys: Sequence[Survey]) -> None:
    """One line of figures a source, in its colour; the same that the text gives."""
    axes.set_axis_off()
    cells = [[_short(found.name), *_figures(found)] for found in surveys]
    box = Bbox.from_extents(0, 0, 1, 1)
    table = axes.table(
        cells, colLabels=["", *HEADS], colWidths=WIDTHS, bbox=box, edges="horizontal"
    )
    table.auto_set_font_size(False)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor(GRID)
        cell.PAD = 0.02 if column == 0 else 0.1
        cell.set_text_props(
            color=FRAME if row == 0 else TEXT, fontsize=9, ha="left" if column == 0 else "right"
        )
        if column == 0 and row > 0:
            cell.set_text_props(color=COLOURS[(row - 1) % len(COLOURS)], fontweight="bold")


def _figures(found: Survey) -> list[str]:
    mean, row = float(found.returns.mean()), found.reference
    success = found.solved_last
    return [
        f"{len(found.episodes):,}",
        f"{found.transitions:,}",
        number(mean),
        "-" if row is None else f"{row.score(mean):.1f}",
        "-" if success is None else f"{100 * success:.3g} %",
        f"{100 * found.outside:.3g} %",
        f"{sum(found.nans.values()):,}",
        f"{found.duplicates:,}",
    ]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
