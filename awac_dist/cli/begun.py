"""Configs of runs that earlier versions began: options that came since are as they were without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from awac_dist.algorithms import METHODS
from awac_dist.cli.parser import Field, walk
from awac_dist.cli.settings import METHOD, defaults_of
from awac_dist.config import RunConfig
from awac_dist.reporting.groups import flat

Flat: TypeAlias = dict[str, bool | float | str]  # a config's values by dotted path
UNSET = "unset"


def filled(config: Mapping[str, Any]) -> Flat:
    """What a run's config says, and for options that it lacks the defaults of its method."""
    said = flat(config)
    found = dict(said)
    for option in _options(said):
        if not any(_is_of(path, option.path) for path in said):
            found |= flat({option.path: option.default})
    return found


def changes(
    begun: Mapping[str, Any], told: Mapping[str, Any]
) -> Iterator[tuple[str, bool | float | str, bool | float | str]]:
    """Where a config is another one than that of a run that was begun: path, was, is now.

    The folder aside, and options that there are no more.
    """
    was, now = filled(begun), flat(told)
    known = {METHOD, *(option.path for option in _options(now))} - {"run_dir"}
    for path in {**now, **was}:
        its = was.get(path, UNSET), now.get(path, UNSET)
        if its[0] != its[1] and any(_is_of(path, option) for option in known):
            yield path, *its


def _options(said: Flat) -> Iterator[Field]:
    """Those of a run of the method that it says; of one that is not known here, of any run."""
    method = str(said.get(METHOD))
    if method in METHODS:
        yield from walk(defaults_of(method))
    else:
        yield from (its for its in walk(RunConfig()) if not its.path.startswith("algorithm."))


def _is_of(path: str, option: str) -> bool:
    """Whether a value is an option's, or one of the mapping that it is."""
    return f"{path}.".startswith(f"{option}.")
