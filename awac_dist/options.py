"""The command line and YAML files of a run: words in, a checked `RunConfig` out.

    files   in the order of their --config, later ones win
    words   win over all files, wherever they stand
    values  argparse splits the command line; jsonargparse turns each word or YAML value into
            the type of its field, by the same rules for both

The dataclasses are the only list of options there is: names, types, defaults and help texts are
read off them.
"""

from __future__ import annotations

import dataclasses
import json
from argparse import SUPPRESS, ArgumentError, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
import jsonargparse
import yaml

from awac_dist.config import RunConfig, problems
from awac_dist.errors import InputError

COMMON = ("env", "data", "workers", "seed", "run_dir")

DESCRIPTION = "Train AWAC: offline on prior data, then online while rollout workers collect more."
EPILOG = """\
examples:
  python -m awac_dist.launch
      the main job on the embedded HalfCheetah demonstrations
  python -m awac_dist.launch --config configs/paper-locomotion.yaml --seed 1 --run-dir runs/paper-1
      a preset, with one change
  python -m awac_dist.launch --env Walker2d-v5 --data runs/earlier my/episodes.parquet --dry-run
      other prior data; print the resolved config and the plan, and stop

A YAML file holds the same names, nested: "algorithm: {temperature: 0.3}". None (or null) may be
given where a text says what None means. Names may be written with dashes for underscores.
"""

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of texts",
    dict[str, float]: 'a mapping of names to numbers, such as {"offline": 0.5, "online": 0.5}',
}
METAVARS = {
    int: "N",
    float: "X",
    bool: "{true,false}",
    tuple[int, ...]: "N",
    dict[str, float]: "JSON",
}

Config = TypeVar("Config")


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Attributes:
        config: The run, checked.
        dry_run: Print the config and the plan, and stop.
    """

    config: RunConfig
    dry_run: bool


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


class Setting(NamedTuple):
    """A value that somebody gave."""

    path: str
    where: str  # how an error names it
    value: Any  # as YAML or the command line had it


def parse(argv: Sequence[str]) -> Options:
    """Read a command line, without the program's name.

    Raises:
        InputError: An option, a value or a file is wrong; names it and what is legal.
        SystemExit: --help was asked for, and printed.
    """
    fields = {field.path: field for field in walk(RunConfig())}
    words = _read_words(argv, fields.values())
    files, dry_run = words.pop("config", []), words.pop("dry_run", False)
    settings = [setting for file in files for setting in _read_yaml(file, fields)]
    settings += [Setting(path, f"--{path}", value) for path, value in words.items()]
    values = {setting.path: _checked(fields[setting.path], setting) for setting in settings}
    config = _replaced(RunConfig(), values)
    where = {setting.path: setting.where for setting in settings}
    for path, problem in problems(config):
        raise InputError(f"{where.get(path, path)}: {problem}")
    return Options(config, dry_run)


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """The config as plain dicts, lists and scalars, which --config reads back as YAML."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


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


def _read_words(argv: Sequence[str], fields: Iterable[Field]) -> dict[str, Any]:
    """The options given, by path, their values still text."""
    options = [*map(_option, fields), "--config", "--dry-run", "--help", "-h"]
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
    raise InputError(f"no option {name}{_did_you_mean(name, options)}")


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    nearest = get_close_matches(name, list(names), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else "; see --help"


def _read_yaml(file: str, fields: Mapping[str, Field]) -> list[Setting]:
    try:
        content = yaml.safe_load(Path(file).read_bytes())
    except OSError as error:
        raise InputError(f"--config: cannot read {file}: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "")
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{file}{line}: not YAML: {problem or 'not text'}") from None
    return list(_flattened(file, "", content, fields))


def _flattened(
    file: str, part: str, content: Any, fields: Mapping[str, Field]
) -> Iterator[Setting]:
    """The settings in one mapping of a file: the whole, or one part of the config."""
    parts = {path.partition(".")[0] for path in fields if "." in path}
    if not isinstance(content, dict | None):
        place = f"{file}: {part}" if part else file
        raise InputError(f"{place}: {content!r} is not a mapping of options to values")
    for key, value in (content or {}).items():
        path = f"{part}.{key}" if part else str(key)
        if path in fields:
            yield Setting(path, f"{file}: {path}", value)
        elif path in parts:
            yield from _flattened(file, path, value, fields)
        else:
            raise InputError(f"{file}: no option {path}{_did_you_mean(path, {*fields, *parts})}")


def _checked(field: Field, setting: Setting) -> Any:
    """The value in the field's own type."""
    value = setting.value
    if field.optional and (value is None or value in ("None", "null")):
        return None
    try:
        if value is None:  # jsonargparse would let it pass
            raise TypeError("None given")
        return _typed(field.hint, value)
    except (ArgumentError, TypeError):
        raise InputError(f"{setting.where}: {value!r} is not {field.legal}") from None


def _typed(hint: Any, value: Any) -> Any:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    return parser.parse_object({"value": value}).value


def _replaced(config: Config, values: Mapping[str, Any], prefix: str = "") -> Config:
    """The config with the values at the given paths."""
    changes = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        path, value = prefix + field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _replaced(value, values, path + ".")
        elif path in values:
            changes[field.name] = values[path]
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
