"""`awac-dist data inspect`: what some data holds, in words, bars and a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from awac_dist.cli import report
from awac_dist.cli.fields import OfSources
from awac_dist.cli.parser import read
from awac_dist.cli.survey import survey, together
from awac_dist.data import sources


@dataclass(frozen=True, kw_only=True)
class Inspect(OfSources):
    """Say what some data holds.

    Attributes:
        plot: Draw the same as a picture, FILE.png.
    """

    plot: str | None = None


def main(argv: Sequence[str]) -> int:
    """Tell of each source, and of all together."""
    options, stream = read(Inspect, argv, "awac-dist data inspect"), sys.stdout
    width, blocks = report.width_of(stream), report.draws_blocks(stream)
    surveys = []
    for argument in options.sources:
        surveys.append(survey(sources.find(argument)))
        print(report.text(surveys[-1], width=width, blocks=blocks), "\n", sep="")
    if len(surveys) > 1:
        print(report.text(together(surveys), width=width, blocks=blocks), "\n", sep="")
    if options.plot:
        from awac_dist.cli.picture import draw  # matplotlib is slow to import

        print(f"drawn: {draw(surveys, Path(options.plot))}")
    return 0
