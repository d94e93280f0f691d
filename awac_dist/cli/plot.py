"""`awac-dist plot`: the figures of a run, drawn again."""

from __future__ import annotations

from pathlib import Path

from awac_dist.cli.commands import Plot
from awac_dist.plotting.learning_curve import plot_learning_curve


def run(options: Plot) -> None:
    """Draw, and say where."""
    print(plot_learning_curve(Path(options.folder)))
