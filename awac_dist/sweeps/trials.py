"""The trials of a sweep: one run each, a point with a seed, in folders of the sweep's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from awac_dist.cli.begun import changes
from awac_dist.cli.options import to_mapping
from awac_dist.cli.settings import METHOD, Setting, config_of, flattened, known_options, read_yaml
from awac_dist.config import RunConfig
from awac_dist.data.sources import demonstrates, find
from awac_dist.errors import InputError, writable
from awac_dist.experiments.running import beside
from awac_dist.files import write_file
from awac_dist.plain_yaml import dump_yaml, load_yaml
from awac_dist.reporting.rows import METRICS_FILE, Row, read_table
from awac_dist.runs.phases import updates_of
from awac_dist.sweeps.config import HalvingConfig, SweepConfig
from awac_dist.sweeps.points import OURS, Axis, Point, points_of

CONFIG, ENDED = ".yaml", ".ended"  # beside the folder of a trial's run
FINISHED, BEHIND = "finished", "behind"  # how a trial ended
ALONE = {"runtime": "inline", "workers": 1}  # a trial is one process, unless options say else


class Trial(NamedTuple):
    """One run of a sweep."""

    name: str
    point: int
    values: Point
    config: RunConfig
    folder: Path

    @property
    def ended(self) -> str:
        """How it did; empty as long as it is to be begun, or gone on with."""
        note = beside(self.folder, ENDED)
        return note.read_text() if note.exists() else ""

    def end(self, how: str) -> None:
        """Note for later calls that nothing is left to do."""
        write_file(str(beside(self.folder, ENDED)), how.encode())

    def evaluations(self, metric: str) -> list[Row]:
        """What was found of its policies, as far as it is."""
        path = self.folder / METRICS_FILE
        rows = read_table(path).rows if path.exists() else []
        return [row for row in rows if counts(row, metric)]


def counts(row: Row, metric: str) -> bool:
    """Whether it is an evaluation of what learns, which the clone is not."""
    return row.get(metric) is not None and row["phase"] != "clone"


def trials_of(
    file: str, sweep: SweepConfig, axes: Sequence[Axis], out: Path, env: str | None = None
) -> list[Trial]:
    """All trials, one seed of each point after the other.

    Args:
        file: The sweep's, for errors.
        sweep: What it says.
        axes: The options that it tries.
        out: The sweep's folder.
        env: The task, as it was typed; None is what the file says.

    Raises:
        InputError: A run could not begin so; names the option and what is legal.
    """
    methods, known = known_options()
    alone = {**ALONE, "learner.threads": max(1, int(sweep.cpus))}
    base = [Setting(path, "", value) for path, value in alone.items()]
    base += [setting for name in sweep.config for setting in read_yaml(name, known)]
    base += flattened(f"{file}: options", sweep.options, known)
    base += [Setting("env", "--env", env)] if env else []
    for path, where, _ in base:
        if path in OURS:
            raise InputError(f"{where}: cannot be said of all: {OURS[path]}")
    trials = []
    for seed in range(sweep.seeds):
        for number, point in enumerate(points_of(sweep, axes)):
            name = f"point-{number:03d}-seed-{seed}"
            tried = [Setting(path, f"{file}: search.{path}", its) for path, its in point.items()]
            settings = [*base, *tried, Setting("seed", "", seed)]
            named = {setting.path: setting.value for setting in settings}
            config = config_of(str(named.get(METHOD, "awac")), methods, settings)
            trials.append(Trial(name, number, point, config, out / name))
    _check(file, sweep, trials)
    return trials


def shortest(sweep: SweepConfig, trials: Sequence[Trial]) -> int:
    """The length of the shortest trial, in what halving goes by.

    Updates depend on the data, which is asked. Raises InputError where it cannot be read.
    """
    return min(_lengths(sweep, [its.config for its in trials]))


def _lengths(sweep: SweepConfig, configs: Sequence[RunConfig]) -> list[int]:
    if sweep.asha.by == "env_steps":
        return [its.online.env_steps for its in configs]
    arguments = {its.data for its in configs if its.clones}
    known = {its: [each for each in its if demonstrates(find(each))] for its in arguments}
    return [updates_of(its, known.get(its.data, ())) for its in configs]


def _check(file: str, sweep: SweepConfig, trials: Sequence[Trial]) -> None:
    configs, first, by = [its.config for its in trials], sweep.asha.first, sweep.asha.by
    if not all(its.evaluation.episodes for its in configs):
        raise InputError(f"{file}: evaluation.episodes is 0: {sweep.metric} would not be known")
    if first is None:
        return
    lengths = _lengths(sweep, configs)
    if first >= min(lengths):
        told = f"{first} is not below the {min(lengths)} {by} of the shortest trial"
        raise InputError(f"{file}: asha.first: {told}")
    if not any(_is_looked_at(*its, sweep.asha) for its in zip(configs, lengths, strict=True)):
        raise InputError(
            f"{file}: asha.first: no evaluation is due from {first} {by} on before the end of a "
            "trial: take a smaller evaluation.every_updates"
        )


def _is_looked_at(config: RunConfig, length: int, asha: HalvingConfig) -> bool:
    """Whether a trial may be evaluated from the first look on, before its end.

    It is after so many updates of a phase, and between the phases.
    """
    offline, online = config.offline.updates, config.online.updates
    if asha.by == "env_steps":
        return online > config.evaluation.every_updates
    between = length - online if offline and online else 0
    return (online or offline) > config.evaluation.every_updates or between >= (asha.first or 1)


def write_down(trials: Sequence[Trial], out: Path) -> None:
    """Write the config of each trial beside its folder.

    Raises InputError where one was begun with another, or the folder cannot be written.
    """
    for its in trials:
        told, file = to_mapping(its.config), beside(its.folder, CONFIG)
        begun = load_yaml(file.read_text()) if file.exists() else told
        for path, was, now in changes(begun, told):
            raise InputError(
                f"{its.name} was begun with {path} {was}, and is now {now}: take another folder "
                f"with --out, or move {out} away"
            )
    with writable(str(out)):
        for its in trials:
            text = dump_yaml(to_mapping(its.config))
            write_file(str(beside(its.folder, CONFIG)), text.encode())
