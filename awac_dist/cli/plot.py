"""`awac-dist plot`: the figures of a run, drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from awac_dist.cli.fields import positional
from awac_dist.cli.parser import read
from awac_dist.ranges import Checked


@dataclass(frozen=True)
class Plot(Checked):
    """Draw the figures of a run again.

    Attributes:
        folder: Of the run; holds metrics.jsonl.
    """

    folder: str = positional()


def main(argv: Sequence[str]) -> int:
    """Draw, and say where."""
    options = read(Plot, argv, "awac-dist plot")
    from awac_dist.plotting.learning_curve import plot_learning_curve  # matplotlib is slow

    print(plot_learning_curve(Path(options.folder)))
    return 0
