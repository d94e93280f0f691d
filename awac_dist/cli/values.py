"""Words, values of YAML files and those of a program, in the types of options."""

from __future__ import annotations

import json
import os
from typing import Any, Literal, get_args, get_origin

import numpy as np

from awac_dist.plain_yaml import load_yaml

NUMPY = np.generic, np.ndarray  # what a program computed


def typed(hint: Any, value: Any) -> Any:
    """The value as `hint`, the type of an option; an error of any kind where it is another one."""
    if isinstance(value, NUMPY):
        value = value.tolist()
    kind = get_origin(hint) or hint
    if kind is Literal:
        return {str(choice): choice for choice in get_args(hint)}[str(value)]
    if kind in (bool, dict) and isinstance(value, str):
        value = load_yaml(value)
    if hint == tuple[int, ...]:
        value = _split(value)
    if hint == tuple[str, ...] and isinstance(value, str):
        value = [value]  # of a file, where one is none
    legal = {tuple: list | tuple, float: int | float | str, int: int | str}.get(kind, kind)
    if not isinstance(value, legal) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    if kind is tuple:
        return tuple(typed(get_args(hint)[0], item) for item in value)
    if kind is dict and get_args(hint)[1] is Any:
        named = {typed(str, name): item for name, item in value.items()}
        return json.loads(json.dumps(named, default=_plain))
    if kind is dict:
        return {typed(str, name): typed(float, number) for name, number in value.items()}
    return _text(value) if kind is str else kind(value)


def _plain(value: Any) -> Any:
    """A value inside of a mapping that a program gave, as JSON knows it."""
    if isinstance(value, NUMPY):
        return value.tolist()
    raise TypeError


def _split(value: Any) -> Any:
    """A list as words have it, 64 64 or 64,64 or [64, 64]; what is no words stays as it is."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return value
    whole = " ".join(words)
    inside = whole[1:-1] if whole[:1] + whole[-1:] == "[]" else whole
    return inside.replace(",", " ").split()


def _text(value: str) -> str:
    """A text of a file or a word, where ~ is the home folder, whoever had to expand it."""
    if not value.strip() or "\0" in value:
        raise ValueError
    return os.path.expanduser(value.encode().decode())  # no bytes that config.yaml could not hold
