"""`awac-dist launch --resume RUN` of a run that came to its end: says so, and starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awac_dist.config import RunConfig
from awac_dist.reporting.screen import say
from awac_dist.reporting.wording import to_go_on

if TYPE_CHECKING:
    from awac_dist.cli.options import Options


def run(options: Options) -> None:
    """Say that there is nothing left to do, and how there would be."""
    assert options.resume is not None
    folder, config = options.resume.shared, options.config
    more = f"online.env_steps={max(2 * config.online.env_steps, RunConfig().online.env_steps)}"
    go_on = to_go_on(folder, *config.env.to_type, "--override", more, what="To collect more")
    say(f"{folder}: this run is finished, nothing is left to do\n{go_on}")
