"""Surveys as a picture: returns, lengths, and the figures of each source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from awac_dist.cli.survey import Survey, share_outside
from awac_dist.errors import InputError, writable
from awac_dist.plotting.bands import COLOURS
from awac_dist.plotting.learning_curve import FRAME, GRID, TEXT, dress
from awac_dist.plotting.pictures import write_picture
from awac_dist.reporting.wording import number, percent

WIDTHS = (0.27, 0.08, 0.11, 0.12, 0.07, 0.08, 0.11, 0.05, 0.11)
BINS, LONGEST_NAME = 30, 32


def draw(surveys: Sequence[Survey], path: str) -> None:
    """Draw surveys, one colour each, into a picture whose ending tells its format.

    Raises InputError where there is nothing to draw, or it cannot be written.
    """
    surveys = [found for found in surveys if found.episodes]
    if not surveys:
        raise InputError(f"--plot {path}: there is no episode to draw")
    height, layout = 0.45 + 0.3 * len(surveys), ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(10, 4.15 + height), dpi=150, layout=layout)
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2], height_ratios=[4.0, height])
    returns, lengths = (figure.add_subplot(grid[0, column]) for column in (0, 1))
    _draw_histogram(returns, [found.returns for found in surveys], "Return of an episode")
    _draw_histogram(lengths, [found.lengths for found in surveys], "Length of an episode")
    lengths.set_xlabel("steps", color=TEXT)
    returns.set_ylabel("episodes", color=TEXT)
    _draw_table(figure.add_subplot(grid[1, :]), surveys)
    with writable(f"--plot {path}"):
        write_picture(figure, path, "--plot")


def _draw_histogram(axes: Axes, columns: Sequence[np.ndarray], title: str) -> None:
    """Bars of each source with its median as a dashed line; infinite values are left out."""
    columns = [values[np.isfinite(values)] for values in columns]
    edges = _edges(np.concatenate(columns)).tolist()
    alone = len(columns) == 1
    alpha = 0.85 if alone else 0.5
    for place, values in enumerate(columns):
        colour = COLOURS[place % len(COLOURS)]
        axes.hist(values, edges, color=colour, alpha=alpha, edgecolor="white", linewidth=0.6)
        if len(values):
            line = TEXT if alone else colour  # to stand out from its bars
            axes.axvline(float(np.median(values)), color=line, linestyle="--", linewidth=1.4)
    axes.set_title(title, loc="left", color=TEXT, fontsize=11, fontweight="bold")
    axes.set_title("dashed: median", loc="right", color=FRAME, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    dress(axes, grid="y")


def _edges(values: np.ndarray) -> np.ndarray:
    """At most 30 equal bins over all values; one bin of its own where they are all the same."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    if low == high:
        half = 0.05 * abs(low) or 0.5
        return np.linspace(low - 5 * half, low + 5 * half, 12)
    return np.linspace(low, high, min(BINS, max(8, len(values) // 2)) + 1)


def _draw_table(axes: Axes, surveys: Sequence[Survey]) -> None:
    """One line of figures a source, in its colour; the same that the text gives."""
    axes.set_axis_off()
    lines = [_figures(found) for found in surveys]
    cells, heads = [list(line.values()) for line in lines], list(lines[0])
    table = axes.table(
        cells, colLabels=heads, colWidths=WIDTHS, bbox=Bbox.unit(), edges="horizontal"
    )
    table.auto_set_font_size(False)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor(GRID)
        cell.PAD = 0.02 if column == 0 else 0.1
        cell.set_text_props(
            color=FRAME if row == 0 else TEXT,
            fontsize=9,
            ha="left" if column == 0 else "right",
            parse_math=False,
        )
        if column == 0 and row > 0:
            cell.set_text_props(color=COLOURS[(row - 1) % len(COLOURS)], fontweight="bold")


def _figures(found: Survey) -> dict[str, str]:
    """A source's line of the table, by what stands above."""
    mean, row = float(found.returns.mean()), found.reference
    short, success = found.name, found.solved_last
    if len(short) > LONGEST_NAME:
        short = f"…{short[1 - LONGEST_NAME :]}"
    return {
        "": short,
        "episodes": f"{len(found.episodes):,}",
        "transitions": f"{found.transitions:,}",
        "mean return": number(mean),
        "D4RL": "-" if row is None else f"{row.score(mean):.1f}",
        "success": "-" if success is None else percent(success),
        "out of range": percent(share_outside(found.episodes)),
        "unusable": f"{sum(found.unusable.values()):,}",
        "duplicates": f"{found.duplicates:,}",
    }
