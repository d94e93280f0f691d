"""Options as dataclasses say them: names, types, defaults and help texts, read off the fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import docstring_parser
import yaml

from awac_dist.errors import InputError

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of texts",
    dict[str, float]: 'a mapping of names to numbers, such as {"offline": 0.5, "online": 0.5}',
}
NONE = (None, "None", "null")
REQUIRED = dataclasses.MISSING


class Field(NamedTuple):
    """One field of a dataclass, as an option."""

    path: str  # dotted
    hint: Any  # its type, None aside
    optional: bool  # whether None is legal
    default: Any  # REQUIRED where there is none
    help: str
    positional: bool = False  # a word without the option's name before it
    group: str = "options"  # under which the help shows it

    @property
    def option(self) -> str:
        """The option's name: its path, with a dash where no dot tells it from prose."""
        if self.positional:
            return self.path.upper()
        return f"--{self.path}" if "." in self.path else f"--{self.path.replace('_', '-')}"

    @property
    def is_flag(self) -> bool:
        """Whether its name alone says true: of a command, not of a part that files hold, too."""
        return self.hint is bool and "." not in self.path

    @property
    def legal(self) -> str:
        """What may be given, in words."""
        if get_origin(self.hint) is Literal:
            words = "one of " + ", ".join(map(str, get_args(self.hint)))
        else:
            words = WORDS[self.hint]
        return words + (" or None" if self.optional else "")

    def typed(self, value: Any, where: str) -> Any:
        """A word of the command line, or a value of a YAML file, in the field's own type.

        Raises:
            InputError: It is of another type; says where it was given, and what is legal.
        """
        if self.optional and (value in NONE):
            return None
        try:
            return _typed(self.hint, value)
        except (TypeError, ValueError, yaml.YAMLError):
            raise InputError(f"{where}: {value!r} is not {self.legal}") from None


def positional(*, help: str = "", **options: Any) -> Any:  # noqa: A002 - as argparse calls it
    """A field whose value is a word without the option's name before it."""
    return dataclasses.field(metadata={"positional": True, "help": help}, **options)


def walk(config: Any, prefix: str = "") -> Iterator[Field]:
    """Every field of a dataclass or an instance of one, with its parts' by dotted path."""
    kind = config if isinstance(config, type) else type(config)
    hints, texts = get_type_hints(kind), _texts(kind)
    for field in dataclasses.fields(kind):
        path = prefix + field.name
        value = getattr(config, field.name, REQUIRED)
        if dataclasses.is_dataclass(value):
            yield from walk(value, path + ".")
        else:
            choices = get_args(hints[field.name])
            optional = type(None) in choices
            hint = choices[0] if optional else hints[field.name]
            text = field.metadata.get("help") or texts.get(field.name, "")
            yield Field(path, hint, optional, value, text, "positional" in field.metadata)


def headline(kind: type) -> str:
    """The first line of a dataclass's docstring."""
    return docstring_parser.parse(kind.__doc__ or "").short_description or ""


def _texts(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of those that it extends say of each field."""
    documents = [docstring_parser.parse(each.__doc__ or "") for each in reversed(kind.__mro__)]
    return {
        entry.arg_name: " ".join((entry.description or "").split())
        for document in documents
        for entry in document.params
    }


def _typed(hint: Any, value: Any) -> Any:
    """The value as `hint`; TypeError or ValueError where it is something else."""
    if get_origin(hint) is Literal:
        return _choice(get_args(hint), value)
    if get_origin(hint) is tuple:
        return tuple(_typed(get_args(hint)[0], item) for item in _of(list | tuple, value))
    if get_origin(hint) is dict:
        pairs = _of(dict, yaml.safe_load(value) if isinstance(value, str) else value).items()
        return {_of(str, key): _typed(float, share) for key, share in pairs}
    if hint is bool:
        return _of(bool, yaml.safe_load(value) if isinstance(value, str) else value)
    if hint is str or isinstance(value, str):
        return hint(_of(str, value))
    if isinstance(value, bool) or (hint is int and not isinstance(value, int)):
        raise TypeError
    return hint(_of(int | float, value))


def _choice(choices: tuple[Any, ...], value: Any) -> Any:
    """The choice that a value, or a word, names."""
    for choice in choices:
        if value in (choice, str(choice)):
            return choice
    raise ValueError


def _of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value
