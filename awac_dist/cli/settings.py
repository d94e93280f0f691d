"""Values that somebody gave, in a file, as words or by code, and the config that they make."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_origin

import yaml

from awac_dist.algorithms import METHODS, config_class, name_of, no_method
from awac_dist.cli.parser import Field, walk
from awac_dist.cli.presets import find, presets
from awac_dist.config import RunConfig
from awac_dist.errors import InputError, did_you_mean, nearest, reason
from awac_dist.plain_yaml import LONGEST_BYTES, load_yaml, not_yaml
from awac_dist.ranges import KINDS

TASK = ("env", "env.kwargs")  # may be typed again where a run is resumed, to trust it
METHOD = "algorithm.name"  # in a file; on the command line it is --algorithm
TYPES = (
    "take a Literal, bool, int, float or str, tuple[int, ...], tuple[str, ...], dict[str, float], "
    "or one of these or None"
)


class Setting(NamedTuple):
    """A value that somebody gave."""

    path: str
    where: str  # how an error names it
    value: Any  # as YAML or the command line had it


def known_options() -> tuple[dict[str, dict[str, Field]], dict[str, Field]]:
    """The options of a run of each method, and of any, by path.

    An InputError names a method whose options cannot be read.
    """
    methods = {name: _options_of(name) for name in METHODS}
    return methods, {path: its for fields in methods.values() for path, its in fields.items()}


def _options_of(method: str) -> dict[str, Field]:
    found = {field.path: field for field in walk(defaults_of(method))}
    for path, field in found.items():
        if get_origin(field.hint) is not Literal and field.hint not in KINDS:
            what = f"{path} is of type {field.hint}, which no word can be read as"
            raise InputError(f"algorithm {method}: {what}: {TYPES}: see docs/add-a-method.md")
    return found


def defaults_of(method: str) -> RunConfig:
    """A run of a method of which nothing else is said."""
    return RunConfig(algorithm=config_class(method)())


def read_yaml(file: str, known: Mapping[str, Field], said: str = "--config") -> list[Setting]:
    """The settings in a file or preset, which is `said` by an option.

    An InputError if it cannot be read, or holds no options.
    """
    from awac_dist.files import read_file  # it knows object stores: slow to import

    try:
        content = load_yaml(read_file(find(file), LONGEST_BYTES + 1))
    except OSError as error:
        why = "; ".join(filter(None, (reason(error), did_you_mean(file, presets(), ""))))
        raise InputError(f"{said}: cannot read {file}: {why}") from None
    except yaml.YAMLError as error:
        raise not_yaml(file, error) from None
    return flattened(file, content, known)


def flattened(file: str, content: Any, known: Mapping[str, Field]) -> list[Setting]:
    """The settings in a mapping of a file, or of a program; none may be in it twice."""
    found = list(_flattened(file, "", content, known))
    counts = Counter(setting.path for setting in found)
    if counts.total() > len(counts):
        told = f"{counts.most_common(1)[0][0]} is given twice: leave one out"
        raise InputError(f"{file}: {told}" if file else told)
    return found


def _flattened(file: str, part: str, content: Any, known: Mapping[str, Field]) -> Iterator[Setting]:
    """The settings in the whole, or in one part of it."""
    inner = {path[:at] for path in known for at, letter in enumerate(path) if letter == "."}
    given = {field.at: path for path, field in known.items()}
    if not isinstance(content, dict | None):
        whole = ": ".join(filter(None, (file, part)))
        raise InputError(f"{whole}: {content!r} is not a mapping of options to values")
    place = f"{file}: " if file else ""
    for key, value in (content or {}).items():
        path = f"{part}.{key}" if part else str(key)
        path = given.get(path, path)
        if path == "algorithm" and isinstance(value, str):  # the short form
            path = METHOD
        if path in inner and (isinstance(value, dict) or path not in known):
            yield from _flattened(file, path, value, known)  # an option's name may be a part's
        elif path == METHOD and str(value) not in METHODS:
            raise no_method(str(value), place)
        elif path in known or path == METHOD:
            yield Setting(path, f"{file}: {path}" if file else path, value)
        else:
            beside = {its for its in inner if its.count(".") == path.count(".")}
            raise InputError(f"{place}no option {path}; {nearest(path, {*known, *beside})}")


def config_of(
    method: str,
    methods: Mapping[str, Mapping[str, Field]],
    settings: Iterable[Setting],
    base: RunConfig | None = None,
) -> RunConfig:
    """The config of a method with these settings, later ones over earlier ones.

    Args:
        method: Its name.
        methods: The options of a run of each method.
        settings: What was given.
        base: What holds where nothing was; None is the defaults.

    Raises:
        InputError: A value is wrong, or two of them together; names it and what is legal.
    """
    config, where = base or defaults_of(method), dict[str, str]()
    if name_of(config.algorithm) != method:
        config = dataclasses.replace(config, algorithm=config_class(method)())
    for path, place, value in settings:
        if path in methods[method]:
            where[path], field = place, methods[method][path]
            config = replaced(config, field.at, field.typed(value, place))
        elif path != METHOD:
            owners = [name for name, known in methods.items() if path in known]
            whose = " and ".join(f"{name}'s" for name in owners[:3])
            more = f" and of {len(owners) - 3} more" if len(owners) > 3 else ""
            raise InputError(f"{place} is {whose}{more}; this run's algorithm is {method}")
    typed = {path: (path, f"--{path}") for path in TASK}  # by a program, or as a word
    in_files = {path: where[path] for path in TASK if where.get(path, path) not in typed[path]}
    if in_files:
        from awac_dist.envs.make import kwargs_in_file, named_in_file  # Gymnasium: slow to import

        if "env" in in_files:
            named_in_file(config.env.id, in_files["env"])
        if "env.kwargs" in in_files:
            kwargs_in_file(config.env.kwargs, in_files["env.kwargs"])
    for path, problem in config.problems():
        raise InputError(f"{where.get(path, path)}: {problem}")
    return config


def replaced(part: Any, path: str, value: Any) -> Any:
    """A part of a config with another value at a path."""
    name, _, rest = path.partition(".")
    inner = replaced(getattr(part, name), rest, value) if rest else value
    return dataclasses.replace(part, **{name: inner})
