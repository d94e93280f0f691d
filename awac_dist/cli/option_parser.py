"""The options of the command line, read off the dataclasses, and the words that were given."""

from __future__ import annotations

import dataclasses
import json
from argparse import SUPPRESS, ArgumentError, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import docstring_parser

from awac_dist.config import RunConfig
from awac_dist.errors import InputError

COMMON = ("env", "data", "workers", "seed", "run_dir")

OWN = ("--config", "--dry-run", "--resume", "--override")  # no fields of a config

DESCRIPTION = "Train AWAC: offline on prior data, then online while rollout workers collect more."
EPILOG = """\
examples:
  python -m awac_dist.launch
      the main job on the embedded HalfCheetah demonstrations
  python -m awac_dist.launch --config configs/paper-locomotion.yaml --seed 1 --run-dir runs/paper-1
      a preset, with one change
  python -m awac_dist.launch --env Walker2d-v5 --data runs/earlier my/episodes.parquet --dry-run
      other prior data; print the resolved config and the plan, and stop
  python -m awac_dist.launch --resume runs/paper-1 --override workers=8
      go on with a run that ended or died, with other workers

A YAML file holds the same names, nested: "algorithm: {temperature: 0.3}". None (or null) may be
given where a text says what None means. Names may be written with dashes for underscores.
"""

METAVARS = {
    int: "N",
    float: "X",
    bool: "{true,false}",
    tuple[int, ...]: "N",
    dict[str, float]: "JSON",
}
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of texts",
    dict[str, float]: 'a mapping of names to numbers, such as {"offline": 0.5, "online": 0.5}',
}


class Field(NamedTuple):
    """One field of a `RunConfig`, as an option."""

    path: str  # dotted
    hint: Any  # its type, None aside
    optional: bool  # whether None is legal
    default: Any
    help: str

    @property
    def legal(self) -> str:
        """What may be given, in words."""
        if get_origin(self.hint) is Literal:
            words = "one of " + ", ".join(map(str, get_args(self.hint)))
        else:
            words = WORDS[self.hint]
        return words + (" or None" if self.optional else "")


def walk(config: Any, prefix: str = "") -> Iterator[Field]:
    """Every field of a config, with its parts' fields by dotted path."""
    hints = get_type_hints(type(config))
    texts = {p.arg_name: p.description for p in docstring_parser.parse(config.__doc__).params}
    for field in dataclasses.fields(config):
        path, value = prefix + field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from walk(value, path + ".")
        else:
            choices = get_args(hints[field.name])
            optional = type(None) in choices
            hint = choices[0] if optional else hints[field.name]
            yield Field(path, hint, optional, value, " ".join((texts[field.name] or "").split()))


def _parser(fields: Iterable[Field]) -> ArgumentParser:
    parser = ArgumentParser(
        "python -m awac_dist.launch",
        usage="%(prog)s [--config FILE] [--OPTION VALUE ...] [--dry-run]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=partial(RawDescriptionHelpFormatter, width=100, max_help_position=32),
        allow_abbrev=False,
        exit_on_error=False,
        argument_default=SUPPRESS,
        add_help=False,
    )
    common, run = parser.add_argument_group("common"), parser.add_argument_group("run")
    groups = {"": run}
    for part in dataclasses.fields(RunConfig):
        value = getattr(RunConfig(), part.name)
        if dataclasses.is_dataclass(value):
            text = docstring_parser.parse(value.__doc__ or "").short_description
            groups[part.name] = parser.add_argument_group(part.name, text)
    for field in fields:
        group = common if field.path in COMMON else groups[field.path.rpartition(".")[0]]
        _add(group, field)
    common.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help="YAML file of options; may be repeated: later files win, the command line over all.",
    )
    common.add_argument(
        "--dry-run", action="store_true", help="Print the resolved config and the plan, and stop."
    )
    common.add_argument(
        "--resume",
        metavar="RUN",
        help="Go on with the run in this folder from its newest checkpoint, with its own options.",
    )
    common.add_argument(
        "--override",
        nargs="+",
        action="extend",
        metavar="OPTION=VALUE",
        help="With --resume: change an option that may change, such as workers=8.",
    )
    common.add_argument("-h", "--help", action="help", help="Print this text, and stop.")
    return parser


def _option(field: Field) -> str:
    """The option's name: the path of the field, with a dash where no dot tells it from prose."""
    return f"--{field.path}" if "." in field.path else f"--{field.path.replace('_', '-')}"


def _add(group: Any, field: Field) -> None:
    metavar = METAVARS.get(field.hint, field.path.upper())
    if get_origin(field.hint) is Literal:
        metavar = "{" + ",".join(map(str, get_args(field.hint))) + "}"
    several = {"nargs": "+"} if get_origin(field.hint) is tuple else {}
    text = f"{field.help} (default: {_shown(field.default)})".replace("%", "%%")
    group.add_argument(_option(field), dest=field.path, metavar=metavar, help=text, **several)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return json.dumps(value) if isinstance(value, bool | dict) else str(value)


def read_words(argv: Sequence[str], fields: Iterable[Field]) -> dict[str, Any]:
    """The options given, by path, their values still text.

    Raises:
        InputError: A word belongs to no option; names the nearest one.
        SystemExit: --help was asked for, and printed.
    """
    options = [*map(_option, fields), *OWN, "--help", "-h"]
    parser = _parser(fields)
    try:
        known, rest = parser.parse_known_args([_spelled(word, options) for word in argv])
    except ArgumentError as error:
        raise InputError(f"{error.argument_name}: {error.message}; see --help") from None
    if rest:
        raise InputError(f"{rest[0]!r} belongs to no option; see --help")
    return vars(known)


def _spelled(word: str, options: Sequence[str]) -> str:
    """The word, an option's name spelled as the parser knows it."""
    if not word.startswith("-"):
        return word
    with suppress(InvalidOperation):
        return format(Decimal(word), "f")  # argparse would take -1e3 for an option
    name, equals, value = word.partition("=")
    for option in options:
        if option.replace("-", "_") == name.replace("-", "_"):
            return option + equals + value
    raise InputError(f"no option {name}{did_you_mean(name, options)}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """What to add to an error about a name that nobody knows."""
    nearest = get_close_matches(name, list(names), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else "; see --help"
