"""Runs that are compared: which of them differ in the seed alone, and what tells others apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from awac_dist.reporting.rows import Row

ASIDE = ("seed", "run_dir", "address", "reporting.")  # what says where and not what
METHOD = "algorithm.name"
Settings: TypeAlias = Mapping[str, str]  # by dotted path, in words


class Run(NamedTuple):
    """A run that is compared."""

    name: str  # its folder
    settings: Settings  # but for those that are `ASIDE`
    rows: Sequence[Row]

    @property
    def task(self) -> str:
        return self.settings.get("env", "")


class Group(NamedTuple):
    """Runs of one task that differ in the seed alone."""

    task: str
    label: str  # what tells it from the others of its task
    settings: Settings
    runs: Sequence[Run]


def settings_of(config: Mapping[str, Any]) -> Settings:
    """What a config says, flat and in words, without what makes no other group."""
    return {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, value in flat(config).items()
        if not path.startswith(ASIDE)
    }


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, bool | float | str]:
    """A config's values by dotted path: numbers and truth as such, all else in words."""
    found: dict[str, bool | float | str] = {}
    for name, value in config.items():
        path = f"{above}{name}"
        if path == "env" and isinstance(value, Mapping):
            found["env"], value = str(value.get("id")), {"kwargs": value.get("kwargs") or {}}
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}.")
        elif isinstance(value, bool | int | float | str):
            found[path] = value
        else:
            found[path] = "None" if value is None else json.dumps(value, sort_keys=True)
    return found


def groups_of(runs: Sequence[Run]) -> list[Group]:
    """Put runs together, task by task, in the order in which they come."""
    groups = []
    for task in dict.fromkeys(run.task for run in runs):
        its = [run for run in runs if run.task == task]
        kinds = list({frozenset(run.settings.items()): run.settings for run in its}.values())
        for label, kind in zip(labels(kinds), kinds, strict=True):
            alike = [run for run in its if run.settings == kind]
            groups.append(Group(task, label, kind, alike))
    return groups


def labels(kinds: Sequence[Settings]) -> list[str]:
    """A few words that tell settings apart; the method's name where they are alone.

    What the method is told comes before what all are, and that before how it is run.
    """
    paths = list(dict.fromkeys(path for kind in kinds for path in kind))
    paths.sort(
        key=lambda path: (path != METHOD, not path.startswith("algorithm."), "." not in path)
    )
    words: list[tuple[str, ...]] = [() for _ in kinds]
    for path in paths:
        for said in dict.fromkeys(words):
            alike = [number for number, its in enumerate(words) if its == said]
            values = [kinds[number].get(path, "-") for number in alike]
            if len(set(values)) > 1:
                for number, value in zip(alike, values, strict=True):
                    words[number] += (value if path == METHOD else f"{short(path, paths)} {value}",)
    return [
        ", ".join(its) or kind.get(METHOD, "runs") for its, kind in zip(words, kinds, strict=True)
    ]


def short(path: str, paths: Sequence[str]) -> str:
    """The end of a path that no other one has; the whole path where another ends as it."""
    parts = path.split(".")
    ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
    alone = (e for e in ends if sum(f".{its}".endswith(f".{e}") for its in paths) == 1)
    return next(alone, path)


def differences(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Every setting in which some groups differ, with the value of each, "" where it has none."""
    paths = dict.fromkeys(path for group in groups for path in group.settings)
    found = {path: [group.settings.get(path, "") for group in groups] for path in paths}
    return {path: values for path, values in found.items() if len(set(values)) > 1}
