"""`awac-dist data inspect`: what some data holds, in words, bars and a picture."""

from __future__ import annotations

import sys
from pathlib import Path

from awac_dist.cli import report
from awac_dist.cli.commands import Inspect
from awac_dist.cli.survey import survey, together
from awac_dist.data import sources


def run(options: Inspect) -> None:
    """Tell of each source, and of all together."""
    stream = sys.stdout
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
