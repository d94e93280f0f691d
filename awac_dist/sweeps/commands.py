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
from awac_dist.errors import InputError, writable
from awac_dist.experiments.running import LOG, beside
from awac_dist.reporting.run_place import only_one_at_a_time
from awac_dist.reporting.screen import Screen, say
from awac_dist.reporting.wording import counted, program
from awac_dist.sweeps.config import SweepConfig, read_sweep
from awac_dist.sweeps.points import Axis, axes_of
from awac_dist.sweeps.showing import CSV, PICTURE, draw, points_table, results_of, table, write_csv
from awac_dist.sweeps.trials import FINISHED, Trial, trials_of, write_down


def run(asked: Sweep) -> int:
    """Try all points.

    Returns:
        0, or 1 where trials failed or none tells the metric, or 130 where it was interrupted.
    """
    sweep = read_sweep(asked.file)
    axes = axes_of(asked.file, sweep)
    out = _folder(asked)
    trials = trials_of(asked.file, sweep, axes, out, asked.env)
    if asked.dry_run:
        say("\n".join(points_table(trials, axes)))
        say(f"{counted(len(trials), 'trial')} in all, in {out}")
        return 0
    with only_one_at_a_time(out):
        write_down(trials, out)
        failed = _try(sweep, trials, out, _again(asked))
        found = _show(sweep, axes, trials, failed, out)
    untold = not found and any(its.ended == FINISHED for its in trials)
    if untold:
        told = f"set another metric in {asked.file}, and repeat the command: no run is repeated"
        say(f"no run tells {sweep.metric}: {told}")
    for name, why in failed.items():
        say(f"failed: {name}: {why} ({beside(out / name, LOG)})")
    if all(its.ended or its.name in failed for its in trials):
        return int(untold or bool(failed))
    say(_again(asked))
    return 128 + signal.SIGINT


def _folder(asked: Sweep) -> Path:
    runs = os.environ.get("AWAC_DIST_RUNS") or "runs"  # as of a single run
    out = asked.out or f"{runs}/{Path(asked.file).stem}"
    if "://" in out:
        raise InputError(f"--out: {out} is no folder of this machine, and a sweep needs one")
    return Path(out).resolve()


def _again(asked: Sweep) -> str:
    given = {"--out": asked.out, "--env": asked.env}
    more = [word for option, value in given.items() if value for word in (option, value)]
    return f"To go on:\n{shlex.join([*program('sweep'), asked.file, *more])}"


def _try(sweep: SweepConfig, trials: Sequence[Trial], out: Path, again: str) -> Mapping[str, str]:
    """Go on with what has not ended; why trials failed, by their names."""
    waiting = [its for its in trials if not its.ended]
    say(f"{counted(len(waiting), 'trial')} of {len(trials)} to do, in {out}")
    if not waiting:
        return {}
    with Screen() as screen:
        with writable(str(out)):
            screen.divert(out / "log.txt")
        for config in {(its.env.id, its.data): its for its in (t.config for t in waiting)}.values():
            inputs(Options(config, [], False, None))  # what all would fail of is said at once
        from awac_dist.distributed.session import Session  # Ray is slow to import
        from awac_dist.sweeps.tuning import tried

        last_word = screen.last_word
        session = Session(last_word=lambda why: last_word(f"awac_dist: {why}\n{again}"))
        with closing(session):
            return tried(sweep, trials, lambda line: say(line, screen.stream))


def _show(
    sweep: SweepConfig,
    axes: Sequence[Axis],
    trials: Sequence[Trial],
    failed: Mapping[str, str],
    out: Path,
) -> bool:
    """Say and write what came of it; whether some trial tells the metric."""
    results = results_of(sweep, trials, failed)
    with writable(str(out)):
        write_csv(results, out / CSV)
        drawn = draw(sweep, axes, trials, out / PICTURE)
    say("\n".join(["", *table(results, axes, sweep.metric, sweep.asha.by), ""]))
    say(f"results: {out / CSV}" + f", {out / PICTURE}" * drawn)
    return drawn
