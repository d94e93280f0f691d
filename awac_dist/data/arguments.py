"""`--data` arguments: a name, and what the user says of it behind commas."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, get_args

from awac_dist.errors import InputError, did_you_mean
from awac_dist.types import Kind

OPTION = re.compile(r",([a-z_]+)=([^,]*)$")
KEYS = re.compile(r"[^+]+(\+[^+]+)*")
STEPS = re.compile(r"[1-9]\d+|[2-9]")


def split(argument: str, folder: str = "") -> tuple[str, str]:
    """The name in an argument, and its options; commas of a path that exists are part of it."""
    name = argument
    while (found := OPTION.search(name)) and not there(name, folder):
        name = name[: found.start()]
    if not name:
        raise InputError(f"{argument!r}: names no data: put its path before the comma")
    return name, argument[len(name) :]


def there(name: str, folder: str = "") -> list[str]:
    """What there is by a name that was given in a folder: a path or URI, or a glob's paths.

    Paths are absolute, so that a process with another working folder finds them.
    """
    if "://" in name:
        return [name] if exists(name) else []
    root, name = os.path.abspath(folder), os.path.expanduser(name)
    path = os.path.normpath(os.path.join(root, name))
    if os.path.exists(path):
        return [path]
    return sorted(glob.glob(os.path.join(glob.escape(root), name), recursive=True))


def apart(paths: Collection[str], is_whole: Callable[[str], bool]) -> list[str]:
    """Those of a glob's matches, in order, of which none lies in another one.

    A folder with others in it counts where it is a dataset as a whole; else they do.
    """
    matched = set(map(Path, paths))
    around = matched & {folder for path in matched for folder in path.parents}
    whole = {folder for folder in around if is_whole(str(folder))}
    left = {path for path in matched - around | whole if whole.isdisjoint(path.parents)}
    return sorted(path for path in paths if Path(path) in left)


def exists(name: str) -> bool:
    """Whether there is something at a path or URI."""
    if "://" not in name:
        return os.path.exists(name)
    from pyarrow import fs  # slow to import

    from awac_dist.files import resolve

    filesystem, path = resolve(name)
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def typed(argument: str, options: str, columns: Collection[str]) -> dict[str, Any]:
    """The fields of a source that its options set; `columns` may be made up of other keys."""
    fields: dict[str, Any] = {}
    for option, _, value in (word.partition("=") for word in options.split(",")[1:]):
        if options.count(f",{option}=") > 1:
            raise InputError(f"{argument}: {option}= is given twice: leave one out")
        if option == "kind" and value in get_args(Kind):
            fields["kind"] = value
        elif option == "weight" and _is_weight(value):
            fields["weight"] = float(value)
        elif option == "task" and value == "any":
            fields["any_task"] = True
        elif option == "episode_steps" and STEPS.fullmatch(value):
            fields["episode_steps"] = int(value)
        elif option in columns and KEYS.fullmatch(value):
            fields.setdefault("keys", {})[option] = tuple(value.split("+"))
        else:
            raise InputError(f"{argument}: {_wrong(option, value, columns)}")
    return fields


def _wrong(option: str, value: str, columns: Collection[str]) -> str:
    legal = {"kind": "|".join(get_args(Kind)), "weight": "NUMBER above 0", "task": "any"}
    legal |= {"episode_steps": "STEPS, 2 or more", **dict.fromkeys(columns, "KEY+KEY+...")}
    if option in legal:
        return f"{option}={value} is not {option}={legal[option]}"
    known = ", ".join(f"{name}={form}" for name, form in legal.items())
    return f"no option {option}; {did_you_mean(option, legal, f'there are {known}')}"


def _is_weight(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
