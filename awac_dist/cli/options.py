"""The options of a run: words and YAML files in, a checked `RunConfig` out.

    files   in the order of their --config, later ones win
    words   win over all files, wherever they stand
    values  a word and a YAML value become the type of their field by the same rules

The dataclasses are the only list of options there is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from awac_dist.algorithms import METHODS, config_class, name_of
from awac_dist.cli.fields import Field, headline, walk
from awac_dist.cli.parser import Parser
from awac_dist.cli.yaml_file import METHOD, Setting, read_yaml
from awac_dist.config import RunConfig
from awac_dist.errors import InputError, did_you_mean

PROGRAM = "python -m awac_dist.launch"
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
if TYPE_CHECKING:
    from awac_dist.reporting.run_place import RunPlace

COMMON = dict.fromkeys(("env", "data", "workers", "seed", "run_dir"), "common")
CONFIG_FILE = "config.yaml"  # of a run's folder
CHANGEABLE = (
    "workers",
    "shards",
    "runtime",
    "address",
    "online.env_steps",
    "online.error_buffer",
    "online.stop_at_return",
    "online.max_minutes",
    "rollout.envs_per_worker",
    "rollout.fragment_steps",
    "rollout.step_timeout_s",
    "rollout.cpus",
    "learner.threads",
    "learner.gpus",
    "learner.updates_per_call",
    "learner.batches_per_request",
    "learner.keep_checkpoints",
    "evaluation.episodes",
    "evaluation.curve_episodes",
    "evaluation.every_updates",
)
"""What may differ in a run that is resumed: nothing here changes what is learned from what."""

Config = TypeVar("Config")


@dataclass(frozen=True)
class Launch:
    """Train: offline on prior data, then online while rollout workers collect more.

    These are what may be said of a launch besides the run's own options.

    Attributes:
        algorithm: The method that learns, one of METHODS; --help shows its options. None is the
            one that a file names, else awac.
        config: YAML files of options; may be repeated: later ones win, the command line over all.
        dry_run: Print the resolved config and the plan, and stop.
        resume: Go on with the run in this folder from its newest checkpoint, with its own options.
        override: With --resume: change options that may change, such as workers=8.
    """

    algorithm: str | None = None
    config: tuple[str, ...] = ()
    dry_run: bool = False
    resume: str | None = None
    override: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Attributes:
        config: The run, checked.
        words: As they were given.
        dry_run: Print the config and the plan, and stop.
        resume: The run to go on with; None begins a new one.
    """

    config: RunConfig
    words: Sequence[str]
    dry_run: bool
    resume: RunPlace | None = None


def parse(argv: Sequence[str]) -> Options:
    """Read a command line, without the program's name.

    Raises:
        InputError: An option, a value or a file is wrong; names it and what is legal.
        SystemExit: --help was asked for, and printed.
    """
    known = {path: field for name in METHODS for path, field in _fields(_defaults(name)).items()}
    words = [word for word in argv if word not in ("-h", "--help")]
    given = _parser(RunConfig(), known).read(words)
    launch = Launch(**{path: given.pop(path) for path in _own() if path in given})
    fixed = [path for path in given if path != "env"]  # which may be typed again, to trust it
    fixed += [name for name in ("algorithm", "config") if getattr(launch, name)]
    if launch.resume is not None and fixed:
        raise InputError(f"--{fixed[0]}: a run that is resumed keeps its options; see --override")
    if launch.override and launch.resume is None:
        raise InputError("--override changes a run that is resumed: give --resume RUN")
    place = None if launch.resume is None else _place(launch.resume)
    files = launch.config if place is None else [f"{place.shared}/{CONFIG_FILE}"]
    settings = [setting for file in files for setting in read_yaml(file, known)]
    stored = {setting.path: setting.value for setting in settings}
    if place is not None and given.get("env", stored.get("env")) != stored.get("env"):
        raise InputError(f"--env: the run is of {stored.get('env')}, and keeps its options")
    settings += [Setting(path, f"--{path}", value) for path, value in given.items()]
    settings += _overrides(launch.override, known)
    defaults = _defaults(launch.algorithm or _named(settings))
    if len(words) < len(argv):
        _parser(defaults, _fields(defaults)).print_help()
        raise SystemExit(0)
    return Options(_config(defaults, settings), argv, launch.dry_run, place)


def _defaults(method: str) -> RunConfig:
    return RunConfig(algorithm=config_class(method)())


def _fields(config: RunConfig) -> dict[str, Field]:
    return {field.path: field for field in walk(config)}


def _own() -> dict[str, Field]:
    fields = {field.path: field for field in walk(Launch)}
    method = fields["algorithm"]
    fields["algorithm"] = method._replace(help=method.help.replace("METHODS", ", ".join(METHODS)))
    return fields


def _named(settings: Iterable[Setting]) -> str:
    """The method that the last file names."""
    names = [setting.value for setting in settings if setting.path == METHOD]
    return str(names[-1]) if names else "awac"


def _parser(config: RunConfig, fields: Mapping[str, Field]) -> Parser:
    groups: dict[str, str | None] = {"common": None, "run": None}
    groups |= {name: headline(type(part)) for name, part in _parts(config)}
    part = {path: path.rpartition(".")[0] or "run" for path in fields} | COMMON
    placed = [field._replace(group=part[path]) for path, field in fields.items()]
    groups |= {field.group: None for field in placed if field.group not in groups}
    placed += [field._replace(group="common") for field in _own().values()]
    usage = "%(prog)s [--config FILE] [--OPTION VALUE ...] [--dry-run]"
    return Parser(PROGRAM, headline(Launch), placed, groups, usage=usage, epilog=EPILOG)


def _parts(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of a config, and theirs, by dotted path."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield prefix + field.name, value
            yield from _parts(value, f"{prefix}{field.name}.")


def _place(run: str) -> RunPlace:
    from awac_dist.reporting.run_place import RunPlace  # it reads object stores: slow to import

    place = RunPlace.at(run)
    if not place.holds(CONFIG_FILE):
        raise InputError(f"--resume: {run} holds no run: there is no {CONFIG_FILE}")
    return place


def _config(defaults: RunConfig, settings: Sequence[Setting]) -> RunConfig:
    fields, values, where = _fields(defaults), {}, {}
    for setting in settings:
        if setting.path == METHOD:
            continue
        if setting.path not in fields:
            raise InputError(f"{setting.where} {_whose(setting.path, defaults)}")
        values[setting.path] = fields[setting.path].typed(setting.value, setting.where)
        where[setting.path] = setting.where
    if where.get("env", "--env") != "--env":
        from awac_dist.envs.make import named_in_file  # with Gymnasium: slow to import

        named_in_file(values["env"], where["env"])
    config = _replaced(defaults, values)
    for path, problem in config.problems():
        raise InputError(f"{where.get(path, path)}: {problem}")
    return config


def _whose(path: str, defaults: RunConfig) -> str:
    """What to say of an option that only other methods have."""
    owners = " and ".join(f"{name}'s" for name in METHODS if path in _fields(_defaults(name)))
    return f"is {owners}; this run's algorithm is {name_of(defaults.algorithm)}"


def _overrides(words: Iterable[str], fields: Mapping[str, Field]) -> Iterator[Setting]:
    """What --override changes: words such as workers=8."""
    for word in words:
        name, equals, value = word.partition("=")
        path = name.replace("-", "_")
        if not equals:
            raise InputError(f"--override {word}: is not OPTION=VALUE, such as workers=8")
        if path not in fields:
            raise InputError(f"--override: no option {name}; {did_you_mean(path, fields)}")
        if path not in CHANGEABLE:
            raise InputError(
                f"--override {name}: cannot change in a run that goes on, which would be another "
                f"run; these can: {', '.join(CHANGEABLE)}"
            )
        yield Setting(path, f"--override {name}", value)


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """The config as plain dicts, lists and scalars, which --config reads back as YAML."""
    mapping = {name: _plain(value) for name, value in dataclasses.asdict(config).items()}
    mapping["algorithm"] = {"name": name_of(config.algorithm), **mapping["algorithm"]}
    return mapping


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
