"""The runs that `awac-dist compare` is given, read, and what there is to say of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from awac_dist.cli.begun import filled
from awac_dist.cli.parser import walk
from awac_dist.cli.settings import replaced
from awac_dist.config import CloneConfig, OfflineConfig, OnlineConfig, RunConfig
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import is_finished
from awac_dist.plain_yaml import config_of_run
from awac_dist.reporting.groups import Run, settings_of
from awac_dist.reporting.rows import METRICS_FILE, read_table
from awac_dist.reporting.wording import counted
from awac_dist.runs.phases import updates_of

PARTS = ("clone", "offline", "online")  # of a config, that say how far a run is to come
NOTHING = RunConfig(
    clone=CloneConfig(updates=0), offline=OfflineConfig(updates=0), online=OnlineConfig(env_steps=0)
)


def read_runs(names: Sequence[str]) -> tuple[list[Run], list[str]]:
    """The runs in some folders, paths or URIs, and a line for each thing to say of one.

    What is no run, or has nothing to compare yet, is left out, and a line says so.

    Raises:
        InputError: Nothing is left.
    """
    found, notes, why = list[Run](), list[str](), ""
    for name in _once_each(names):
        try:
            run, remarks = _read(name)
        except InputError as refusal:
            why = str(refusal)
            notes.append(f"{why}: left out")
        else:
            found.append(run)
            notes += remarks
    if not found:
        raise InputError(f"{why}: there is nothing to compare: give folders of runs")
    return found, notes


def _once_each(names: Sequence[str]) -> list[str]:
    """Names of different places, of each the first one."""
    places = dict[str, str]()
    for name in names:
        path = name.removeprefix("file://")
        place = path.rstrip("/") if "://" in path else os.path.realpath(path)
        places.setdefault(place, name.rstrip("/") or name)
    return list(places.values())


def _read(name: str) -> tuple[Run, list[str]]:
    """A run and what there is to say of it; InputError where there is nothing to compare."""
    config = config_of_run(name)
    if not config:
        raise InputError(f"{name}: has no config.yaml")
    rows, _, damaged = read_table(f"{name}/{METRICS_FILE}")
    if all(row.get("eval/return") is None for row in rows):
        raise InputError(f"{name}: nothing has been evaluated yet")
    run, remarks = Run(name, settings_of(config), rows), list[str]()
    if damaged:
        remarks.append(f"{name}: {counted(damaged, 'line')} of {METRICS_FILE} left out: damaged")
    settings = settings_of(filled(config))  # a run from before an option is as it is without it
    return run._replace(settings=settings), [*remarks, *_going_on(run)]


def _going_on(run: Run) -> Iterator[str]:
    """A line that says how far a run is that has not come to its end, or that nobody knows."""
    try:
        config = _lengths(run)
    except InputError as error:
        yield f"{error}: how far the run is to come is not known"
        return
    cloned = [run.name] if any(row["phase"] == "clone" for row in run.rows) else []
    goals = {
        "env_steps": (config.online.env_steps, "env steps"),
        "grad_steps": (updates_of(config, cloned), "updates"),
    }
    done = {counter: max(row[counter] for row in run.rows) for counter in goals}
    lacking = [
        f"{done[counter]:,} of {goal:,} {words}"
        for counter, (goal, words) in goals.items()
        if done[counter] < goal
    ]
    if lacking and not is_finished(run.name, config.online.env_steps):  # pauses may omit updates
        yield f"{run.name}: is at {', '.join(lacking)}"


def _lengths(run: Run) -> RunConfig:
    """What its config says of its phases; InputError names what cannot be."""
    config, file = NOTHING, f"{run.name}/config.yaml"
    for field in walk(NOTHING):
        if field.path in run.settings and field.path.partition(".")[0] in PARTS:
            value = field.typed(run.settings[field.path], f"{file}: {field.path}")
            config = replaced(config, field.at, value)
    for part in PARTS:
        for path, problem in getattr(config, part).problems():
            raise InputError(f"{file}: {part}.{path}: {problem}")
    return config
