"""Options as dataclasses say them, and command lines that are read strictly into them.

Name, type, default and help text of an option are read off a field. argparse splits the words and
writes the help. What it would guess is an error here, of one line that says what is wrong and
names the nearest option; nothing is abbreviated.
"""

from __future__ import annotations

import dataclasses
import json
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
import yaml
from docstring_parser import DocstringStyle

from awac_dist.cli.layout import Layout
from awac_dist.cli.values import typed
from awac_dist.errors import InputError, nearest
from awac_dist.ranges import Checked, in_words

PLACES = {  # what the help shows in place of a value, but for names and paths
    bool: "{true,false}",
    int: "N",
    float: "X",
    tuple[int, ...]: "N",
    dict[str, float]: "JSON",
    dict[str, Any]: "JSON",
}
NONE = (None, "None", "null")
DIGITS = 400  # more than any float has
LONGEST = 200  # letters of a wrong value that are told
LONGEST_CHOICES = 40  # letters, of which an option's own text need not speak
REQUIRED = dataclasses.MISSING
Command = TypeVar("Command", bound=Checked)


class Field(NamedTuple):
    """One field of a dataclass, as an option."""

    path: str  # dotted, as it is given
    hint: Any  # its type, None aside
    optional: bool  # whether None is legal
    default: Any  # REQUIRED where there is none
    help: str
    positional: bool  # a word without the option's name before it
    at: str  # dotted, as the dataclasses have it
    bare: bool = False  # a list that may be given without a word

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
        return in_words(self.hint | None if self.optional else self.hint)

    @property
    def metavar(self) -> str:
        """What stands for a value in the help."""
        if get_origin(self.hint) is Literal:
            choices = "{" + ",".join(map(str, get_args(self.hint))) + "}"
            return choices if len(choices) <= LONGEST_CHOICES else self.path.upper()
        return PLACES.get(self.hint, self.path.upper())

    def typed(self, value: Any, where: str) -> Any:
        """A word of the command line, or a value of a YAML file, in the field's own type.

        Raises InputError where it is of another one: says where it was given, and what is legal.
        """
        if self.optional and isinstance(value, str | None) and value in NONE:
            return None
        try:
            return typed(self.hint, value)
        except (TypeError, ValueError, LookupError, OverflowError, yaml.YAMLError):
            shown = repr(value)
            shown = shown if len(shown) < LONGEST else f"{shown[:LONGEST]}..."
            raise InputError(f"{where}: {shown} is not {self.legal}") from None


def positional(*, help: str = "", **options: Any) -> Any:  # noqa: A002 - as argparse calls it
    """A field whose value is a word without the option's name before it."""
    return dataclasses.field(metadata={"positional": True, "help": help}, **options)


def parts(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A dataclass, or an instance of one, and the parts that it consists of, by dotted path."""
    yield path, config
    for field in dataclasses.fields(config):
        part = getattr(config, field.name, None)
        if dataclasses.is_dataclass(part):
            yield from parts(part, f"{path}.{field.name}".lstrip("."))


def walk(config: Any) -> Iterator[Field]:
    """Every field of a dataclass or an instance of one, and of its parts."""
    for path, part in parts(config):
        kind = part if isinstance(part, type) else type(part)
        hints, texts = _hints(kind), _texts(kind)
        for field in dataclasses.fields(kind):
            default = getattr(part, field.name, REQUIRED)
            if not dataclasses.is_dataclass(default):
                choices = get_args(hints[field.name])
                optional = type(None) in choices
                hint = choices[0] if optional else hints[field.name]
                text = field.metadata.get("help") or texts.get(field.name, "")
                at = f"{path}.{field.name}".lstrip(".")
                said = field.metadata
                name, alone, bare = said.get("path", at), "positional" in said, "bare" in said
                yield Field(name, hint, optional, default, text, alone, at, bare)


def headline(kind: type) -> str:
    """The first line of a dataclass's docstring."""
    return docstring_parser.parse(kind.__doc__ or "").short_description or ""


class Parser(ArgumentParser):
    """Reads words; their values stay text."""

    def __init__(self, program: str, description: str, **options: Any) -> None:
        super().__init__(
            program,
            description=description,
            formatter_class=Layout,
            allow_abbrev=False,
            argument_default=SUPPRESS,
            **options,
        )

    def read(self, argv: Sequence[str]) -> dict[str, Any]:
        """The values that were given, by the paths of their fields; ends where help is asked for.

        Raises InputError where a word belongs to no option, or something is missing.
        """
        known, rest = self.parse_known_args([self._spelled(word) for word in argv])
        if rest:
            raise InputError(f"{rest[0]!r} belongs to no option; see --help")
        return vars(known)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; see --help")

    def _spelled(self, word: str) -> str:
        """The word, an option's name or a number spelled as argparse knows it."""
        if not word.startswith("-"):
            return word
        with suppress(InvalidOperation):
            number = Decimal(word)
            if abs(number.adjusted()) < DIGITS:
                return format(number, "f")  # argparse would take -1e3 for an option
        name, equals, value = word.partition("=")
        for option in self._option_string_actions:
            if option.replace("-", "_") == name.replace("-", "_"):
                return option + equals + value
        raise InputError(f"no option {name}; {nearest(name, self._option_string_actions)}")


class _Gather(Action):
    """An option that may be given again and again: its words together; without one it is empty."""

    def __call__(self, parser: Any, given: Any, words: Any, option: str | None = None) -> None:
        before = getattr(given, self.dest, []) if words else []
        setattr(given, self.dest, [*before, *words])


def add_options(group: Any, fields: Iterable[Field]) -> None:
    """Tell a parser, or a group of its help, of options."""
    for field in fields:
        options: dict[str, Any] = {"help": (field.help + _shown(field)).replace("%", "%%")}
        if field.is_flag:
            options["action"] = "store_true"
        else:
            options["metavar"] = field.metavar
        if get_origin(field.hint) is tuple:
            bare = field.bare or (field.positional and field.default == ())
            options["nargs"] = "*" if bare else "+"
            if field.hint == tuple[str, ...]:
                options["action"] = _Gather
        if field.positional:
            group.add_argument(field.path, **options)
        else:
            required = field.default is REQUIRED
            group.add_argument(field.option, dest=field.path, required=required, **options)


def read(command: type[Command], argv: Sequence[str], program: str) -> Command:
    """The options of a command, whose docstring is the help, typed and within their ranges.

    Raises:
        InputError: A word, a value, or two of them together are wrong.
        SystemExit: --help was asked for, and printed.
    """
    parser = Parser(program, headline(command))
    add_options(parser, walk(command))
    return built(command, parser.read(argv), lambda field: field.option)


def built(
    command: type[Command], given: Mapping[str, Any], where: Callable[[Field], str]
) -> Command:
    """The options of a command of what was given, by path; `where` names one in an error.

    An InputError says which is wrong.
    """
    fields = {field.path: field for field in walk(command)}
    values = [(fields[path], value) for path, value in given.items()]
    options = command(**{field.at: field.typed(value, where(field)) for field, value in values})
    for path, problem in options.problems():
        raise InputError(f"{where(fields[path])}: {problem}")
    return options


_hints = cache(get_type_hints)  # many configs share their parts


@cache
def _texts(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of those that it extends say of each field."""
    documents = [
        docstring_parser.parse(each.__doc__ or "", DocstringStyle.GOOGLE)
        for each in reversed(kind.__mro__)
    ]
    return {
        entry.arg_name: " ".join((entry.description or "").split())
        for document in documents
        for entry in document.params
    }


def _shown(field: Field) -> str:
    """The default, as the help ends with it."""
    default = field.default
    if default in (REQUIRED, ()) or field.is_flag:
        return ""
    if isinstance(default, bool | dict):
        default = json.dumps(default)
    words = default if isinstance(default, tuple) else (default,)
    return f" (default: {' '.join(map(str, words))})"
