"""`--data` arguments: a name, and what the user says of it behind commas."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, get_args

from pyarrow import fs

from awac_dist.errors import InputError, did_you_mean
from awac_dist.files import resolve
from awac_dist.types import Kind

OPTION = re.compile(r",([a-z_]+)=([^,]*)$")
KEYS = re.compile(r"[^+]+(\+[^+]+)*")


def split(argument: str) -> tuple[str, dict[str, str]]:
    """The name in an argument, and its options; commas of a path that exists are part of it."""
    name, options = argument, dict[str, str]()
    while (found := OPTION.search(name)) and not exists(name):
        name, options = name[: found.start()], {found[1]: found[2], **options}
    return name, options


def exists(name: str) -> bool:
    """Whether there is something at a path or URI."""
    filesystem, path = resolve(name)
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def typed(argument: str, options: dict[str, str], columns: Collection[str]) -> dict[str, Any]:
    """The fields of a source that its options set; `columns` may be made up of other keys."""
    fields: dict[str, Any] = {}
    for option, value in options.items():
        if option == "kind" and value in get_args(Kind):
            fields["kind"] = value
        elif option == "weight" and _is_weight(value):
            fields["weight"] = float(value)
        elif option in columns and KEYS.fullmatch(value):
            fields.setdefault("keys", {})[option] = tuple(value.split("+"))
        else:
            raise InputError(f"{argument}: {_wrong(option, value, columns)}")
    return fields


def _wrong(option: str, value: str, columns: Collection[str]) -> str:
    legal = {"kind": "|".join(get_args(Kind)), "weight": "NUMBER above 0"}
    legal |= dict.fromkeys(columns, "KEY+KEY+... of the file")
    if option in legal:
        return f"{option}={value} is not {option}={legal[option]}"
    known = ", ".join(f"{name}={form}" for name, form in legal.items())
    return f"no option {option}; {did_you_mean(option, legal, f'there are {known}')}"


def _is_weight(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
