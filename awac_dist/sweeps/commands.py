"""What `awac-dist sweep FILE` does."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from awac_dist.cli.commands import Sweep
from awac_dist.cli.dry_run import inputs
from awac_dist.cli.options import Options
from awac_dist.errors import writable
from awac_dist.experiments.running import LOG, beside
from awac_dist.reporting.run_place import only_one_at_a_time
from awac_dist.reporting.screen import Screen, say
from awac_dist.reporting.wording import counted
from awac_dist.sweeps.config import SweepConfig, read_sweep
from awac_dist.sweeps.points import Axis, axes_of
from awac_dist.sweeps.showing import CSV, PICTURE, draw, points_table, results_of, table, write_csv
from awac_dist.sweeps.trials import Trial, trials_of, write_down


def run(asked: Sweep) -> int:
    """Try all points; returns 0, 1 where trials failed, or 130 where it was interrupted."""
    sweep = read_sweep(asked.file)
    axes = axes_of(asked.file, sweep)
    out = Path(asked.out or _own_folder(asked.file)).resolve()
    trials = trials_of(asked.file, sweep, axes, out, asked.env)
    if asked.dry_run:
        say("\n".join(points_table(trials, axes)))
        say(f"{counted(len(trials), 'trial')} in all, in {out}")
        return 0
    with only_one_at_a_time(out):
        write_down(trials, out)
        failed = _try(sweep, trials, out)
        _show(sweep, axes, trials, failed, out)
    for name, why in failed.items():
        say(f"failed: {name}: {why} ({beside(out / name, LOG)})")
    if all(its.ended or its.name in failed for its in trials):
        return int(bool(failed))
    more = [
        word
        for name in ("out", "env")
        if (its := getattr(asked, name))
        for word in (f"--{name}", its)
    ]
    say(f"To go on:\n{shlex.join(['awac-dist', 'sweep', asked.file, *more])}")
    return 128 + signal.SIGINT


def _own_folder(file: str) -> str:
    return f"{os.environ.get('AWAC_DIST_RUNS', 'runs')}/{Path(file).stem}"


def _try(sweep: SweepConfig, trials: Sequence[Trial], out: Path) -> Mapping[str, str]:
    """Go on with what has not ended; why trials failed, by their names."""
    waiting = [its for its in trials if not its.ended]
    say(f"{counted(len(waiting), 'trial')} of {len(trials)} to do, in {out}")
    if not waiting:
        return {}
    with Screen() as screen:
        with writable(str(out)):
            screen.divert(out / "log.txt")
        for config in {
            (its.config.env.id, its.config.data): its.config for its in waiting
        }.values():
            inputs(Options(config, [], False, None))  # what all would fail of is said at once
        from awac_dist.distributed.session import Session
        from awac_dist.sweeps.tuning import tried

        with closing(Session()):
            return tried(sweep, trials, lambda line: say(line, screen.stream))


def _show(
    sweep: SweepConfig,
    axes: Sequence[Axis],
    trials: Sequence[Trial],
    failed: Mapping[str, str],
    out: Path,
) -> None:
    results = results_of(sweep, trials, failed)
    with writable(str(out)):
        write_csv(results, out / CSV)
        draw(sweep, axes, trials, out / PICTURE)
    say("\n".join(["", *table(results, axes, sweep.metric, sweep.asha.by), ""]))
    say(f"results: {out / CSV}, {out / PICTURE}")
