"""`awac-dist plot`: the figures of a run, drawn again."""

from __future__ import annotations

from awac_dist.cli.commands import Plot
from awac_dist.errors import InputError, writable
from awac_dist.plotting.learning_curve import plot_learning_curve
from awac_dist.reporting.rows import METRICS_FILE, read_table
from awac_dist.reporting.screen import say
from awac_dist.reporting.wording import counted


def run(options: Plot) -> None:
    """Draw, and say where."""
    folder = options.folder.rstrip("/")
    rows, _, damaged = read_table(f"{folder}/{METRICS_FILE}")
    if not rows:
        raise InputError(f"{folder}/{METRICS_FILE}: holds no metrics: give the folder of a run")
    if damaged:
        say(f"{counted(damaged, 'line')} of {METRICS_FILE} left out: damaged")
    with writable(options.folder):
        say(plot_learning_curve(folder, rows))
