"""Command lines read strictly: words in, the options of a dataclass out.

argparse splits the words and writes the help. What it would guess is an error here, of one line
that says what is wrong and names the nearest option; nothing is abbreviated.
"""

from __future__ import annotations

import json
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

from awac_dist.cli.fields import REQUIRED, Field, headline, walk
from awac_dist.errors import InputError, did_you_mean
from awac_dist.ranges import Checked

METAVARS = {
    int: "N",
    float: "X",
    bool: "{true,false}",
    tuple[int, ...]: "N",
    dict[str, float]: "JSON",
}
Command = TypeVar("Command", bound=Checked)


class Parser(ArgumentParser):
    """Reads words; their values stay text.

    Args:
        program: How the command is called.
        description: What it does.
        fields: Its options.
        groups: Headings of the help, in order, each with a line of its own or none.
        options: Of argparse's own parser.
    """

    def __init__(
        self,
        program: str,
        description: str,
        fields: Iterable[Field],
        groups: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            program,
            description=description,
            formatter_class=partial(RawDescriptionHelpFormatter, width=100, max_help_position=32),
            allow_abbrev=False,
            argument_default=SUPPRESS,
            add_help=False,
            **options,
        )
        titles = groups or {"options": None}
        places = {name: self.add_argument_group(name, text) for name, text in titles.items()}
        for field in fields:
            _add(places[field.group], field)
        places[next(iter(places))].add_argument(
            "-h", "--help", action="help", help="Print this text, and stop."
        )

    def read(self, argv: Sequence[str]) -> dict[str, Any]:
        """The values that were given, by the paths of their fields.

        Raises:
            InputError: A word belongs to no option, or something is missing.
            SystemExit: --help was asked for, and printed.
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
            return format(Decimal(word), "f")  # argparse would take -1e3 for an option
        name, equals, value = word.partition("=")
        for option in self._option_string_actions:
            if option.replace("-", "_") == name.replace("-", "_"):
                return option + equals + value
        raise InputError(f"no option {name}; {did_you_mean(name, self._option_string_actions)}")


def read(command: type[Command], argv: Sequence[str], program: str) -> Command:
    """The options of a command, typed and within their ranges.

    Args:
        command: A dataclass whose docstring is the help.
        argv: The words behind the command's name.
        program: How it is called.

    Raises:
        InputError: A word, a value, or two of them together are wrong.
        SystemExit: --help was asked for, and printed.
    """
    fields = {field.path: field for field in walk(command)}
    words = Parser(program, headline(command), fields.values()).read(argv)
    given = {path: fields[path].typed(word, fields[path].option) for path, word in words.items()}
    options = command(**given)
    for path, problem in options.problems():
        raise InputError(f"{fields[path].option}: {problem}")
    return options


def _add(group: Any, field: Field) -> None:
    text = (field.help + _shown(field)).replace("%", "%%")
    if field.is_flag:
        group.add_argument(field.option, dest=field.path, action="store_true", help=text)
        return
    several = get_origin(field.hint) is tuple
    options: dict[str, Any] = {"metavar": _metavar(field), "help": text}
    if several:
        options["nargs"] = "*" if field.positional and field.default == () else "+"
        if field.default == ():
            options["action"] = "extend"  # what is empty by default may be given again and again
    if field.positional:
        group.add_argument(field.path, **options)
    else:
        required = field.default is REQUIRED
        group.add_argument(field.option, dest=field.path, required=required, **options)


def _metavar(field: Field) -> str:
    if get_origin(field.hint) is Literal:
        return "{" + ",".join(map(str, get_args(field.hint))) + "}"
    return METAVARS.get(field.hint, field.path.upper())


def _shown(field: Field) -> str:
    """The default, as the help ends with it."""
    default = field.default
    if default is REQUIRED or default == () or field.is_flag:
        return ""
    if isinstance(default, tuple):
        text = " ".join(map(str, default))
    else:
        text = json.dumps(default) if isinstance(default, bool | dict) else str(default)
    return f" (default: {text})"
