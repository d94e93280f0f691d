"""YAML files of options, flattened into one setting an option."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from awac_dist.cli.fields import Field
from awac_dist.errors import InputError, did_you_mean

METHOD = "algorithm.name"  # in a file; on the command line it is --algorithm


class Setting(NamedTuple):
    """A value that somebody gave."""

    path: str
    where: str  # how an error names it
    value: Any  # as YAML or the command line had it


def read_yaml(file: str, fields: Mapping[str, Field]) -> list[Setting]:
    """The settings in a file.

    Raises:
        InputError: It cannot be read, or names what is no option.
    """
    from awac_dist.files import read_file  # it knows object stores: slow to import

    try:
        content = yaml.safe_load(read_file(file))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"--config: cannot read {file}: {reason}") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "")
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{file}{line}: not YAML: {problem or 'not text'}") from None
    return list(_flattened(file, "", content, fields))


def _flattened(
    file: str, part: str, content: Any, fields: Mapping[str, Field]
) -> Iterator[Setting]:
    """The settings in one mapping of a file: the whole, or one part of the config."""
    parts = {path[:at] for path in fields for at, letter in enumerate(path) if letter == "."}
    if not isinstance(content, dict | None):
        place = f"{file}: {part}" if part else file
        raise InputError(f"{place}: {content!r} is not a mapping of options to values")
    for key, value in (content or {}).items():
        path = f"{part}.{key}" if part else str(key)
        if path in parts and (isinstance(value, dict) or path not in fields):
            yield from _flattened(file, path, value, fields)  # an option's name may be a part's
        elif path in fields or path == METHOD:
            yield Setting(path, f"{file}: {path}", value)
        else:
            raise InputError(f"{file}: no option {path}; {did_you_mean(path, {*fields, *parts})}")
