"""The options of a run: words and YAML files in, a checked `RunConfig` out.

    files   in the order of their --config, later ones win
    words   win over all files, wherever they stand
    values  a word and a YAML value become the type of their field by the same rules

The dataclasses are the only list of options there is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from awac_dist.algorithms import METHODS, name_of
from awac_dist.cli.parser import Field, Parser, add_options, headline, parts, walk
from awac_dist.cli.settings import (
    METHOD,
    TASK,
    Setting,
    config_of,
    defaults_of,
    flattened,
    known_options,
    read_yaml,
)
from awac_dist.config import RunConfig
from awac_dist.errors import InputError, nearest

PROGRAM = "python -m awac_dist.launch"
EPILOG = """\
examples:
  python -m awac_dist.launch
      the main job on the embedded HalfCheetah demonstrations
  python -m awac_dist.launch --config paper-locomotion --seed 1 --run-dir runs/paper-1
      a preset, with one change
  python -m awac_dist.launch --env Walker2d-v5 --data runs/earlier my.parquet --dry-run
      other prior data; print the resolved config and the plan, and stop
  python -m awac_dist.launch --resume runs/paper-1 --override workers=8
      go on with a run that ended or died, with other workers

A YAML file holds the same names, nested: "algorithm: {temperature: 0.3}", and "env: ID" or
"env: {id: ID, kwargs: {...}}". None (or null) may be given where a text says what None means. Names
may be written with dashes for underscores, a list as 64 64 or [64, 64].
"""
if TYPE_CHECKING:
    from awac_dist.reporting.run_place import RunPlace

COMMON = ("env", "data", "workers", "seed", "run_dir")  # what the help shows first
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
    "learner.compile",
    "learner.gpus",
    "learner.updates_per_call",
    "learner.batches_per_request",
    "learner.keep_checkpoints",
    "evaluation.episodes",
    "evaluation.curve_episodes",
    "evaluation.every_updates",
    "reporting.track",
    "reporting.project",
)
"""What may differ in a run that is resumed: nothing here changes what is learned from what."""


@dataclass(frozen=True)
class Launch:
    """Train on prior data, then online while workers collect more.

    These are what may be said of a launch besides the run's own options.

    Attributes:
        algorithm: The method that learns, one of METHODS; --help shows its options. None is the
            one that a file names, else awac.
        config: YAML files of options, or presets by name, such as iql; may be repeated: later ones
            win, the command line over all.
        dry_run: Print the resolved config and the plan, and stop.
        resume: Go on with the run in this folder from its newest checkpoint, with its own options.
            With --data: learn from new data, too, or find there what has been moved.
        override: With --resume: change options that may change, such as workers=8.
    """

    algorithm: str | None = None
    config: tuple[str, ...] = ()
    dry_run: bool = False
    resume: str | None = None
    override: tuple[str, ...] = ()


class Options(NamedTuple):
    """What the command line asked for."""

    config: RunConfig  # checked
    words: Sequence[str]  # as they were given
    dry_run: bool
    resume: RunPlace | None  # the run to go on with; None begins a new one
    more_data: tuple[str, ...] = ()  # that a run goes on with: new, or where its data is by now
    without_preset: bool = False  # whether a method was named, and no file of options

    @property
    def module(self) -> str:
        """Which one of this room does it."""
        if self.resume is not None and not self.more_data:
            from awac_dist.learner.checkpoint import is_finished

            if is_finished(self.resume.shared, self.config.online.env_steps):
                return "finished"
        return "dry_run" if self.dry_run else "launch"


def parse(argv: Sequence[str]) -> Options:
    """Read a command line, without the program's name.

    Raises:
        InputError: An option, a value or a file is wrong; names it and what is legal.
        SystemExit: --help was asked for, and printed.
    """
    methods, known = known_options()
    parser, words = Parser(PROGRAM, ""), [word for word in argv if word not in ("-h", "--help")]
    add_options(parser, [*known.values(), *walk(Launch)])
    given = parser.read(words)
    own = [field for field in walk(Launch) if field.path in given]
    launch = Launch(**{its.path: its.typed(given.pop(its.path), its.option) for its in own})
    if launch.override and launch.resume is None:
        raise InputError("--override changes a run that is resumed: give --resume RUN")
    place = None if launch.resume is None else _place(launch, given)
    files = launch.config if place is None else [f"{place.shared}/{CONFIG_FILE}"]
    settings = [setting for file in files for setting in read_yaml(file, known)]
    stored = {setting.path: setting.value for setting in settings}
    if place is not None:
        _check_stored(files[0], stored, given, known)
    more = given.pop("data", ()) if place else ()
    more = known["data"].typed(more, "--data") if more else ()
    settings += [Setting(path, known[path].option, value) for path, value in given.items()]
    settings += _overrides(launch.override, known)
    method = launch.algorithm or str(stored.get(METHOD, "awac"))
    if len(words) < len(argv):
        _print_help(defaults_of(method))
        raise SystemExit(0)
    config, alone = config_of(method, methods, settings), bool(launch.algorithm and not files)
    return Options(config, argv, launch.dry_run, place, more, alone)


def by_code(base: RunConfig | str | None, content: Mapping[str, Any]) -> Options:
    """The options of a new run, as a program says them.

    Args:
        base: A config, or a file of options, or a preset by name; None is the defaults.
        content: Options over it, as in a file: nested, or by their dotted paths.

    Raises:
        InputError: As of `parse`.
    """
    methods, known = known_options()
    stored = read_yaml(base, known) if isinstance(base, str) else []
    given = flattened("", content, known)
    named = {setting.path: setting.value for setting in (*stored, *given)}
    config = base if isinstance(base, RunConfig) else None
    own = name_of(config.algorithm) if config else "awac"
    method = str(named.get(METHOD, own))
    if config:  # whose values nobody has looked at
        every = (Setting(its.path, its.path, its.default) for its in walk(config))
        stored = [its for its in every if method == own or not its.path.startswith("algorithm.")]
    words = ["awac_dist.train", *(f"{its.path}={its.value!r}" for its in given)]
    return Options(config_of(method, methods, [*stored, *given], config), words, False, None)


def by_code_of(part: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a part of a run, typed and by path, as a program says them.

    An InputError names what is wrong.
    """
    known = {field.path: field for field in walk(RunConfig())}
    found = flattened("", {part: content}, known)
    return {path: known[path].typed(value, path) for path, _, value in found}


def overridden(content: Mapping[str, Any]) -> list[str]:
    """Words for `parse` of options that a program overrides, nested or by path."""
    _, known = known_options()
    changed = ((its.path, its.value) for its in flattened("", content, known))
    return [word for path, value in changed for word in ("--override", f"{path}={value}")]


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """The config as plain dicts, lists and scalars, which --config reads back as YAML."""
    mapping: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    mapping["algorithm"] = {"name": name_of(config.algorithm), **mapping["algorithm"]}
    return mapping if config.env.kwargs else {**mapping, "env": config.env.id}


def _print_help(config: RunConfig) -> None:
    usage = "%(prog)s [--config FILE] [--OPTION VALUE ...]"
    parser = Parser(PROGRAM, headline(Launch), usage=usage, epilog=EPILOG)
    fields = {field.path: field for field in walk(config)}
    methods = ", ".join(METHODS)
    own = [field._replace(help=field.help.replace("METHODS", methods)) for field in walk(Launch)]
    common = [fields.pop(path) for path in COMMON]
    add_options(parser.add_argument_group("common"), [*common, *own])
    for path, part in parts(config):
        group = parser.add_argument_group(path or "run", headline(type(part)))
        add_options(group, (f for f in fields.values() if f.path.rpartition(".")[0] == path))
    parser.print_help()


def _place(launch: Launch, given: Iterable[str]) -> RunPlace:
    """Where the run is that is to go on, with nothing changed but by --override."""
    from awac_dist.reporting.run_place import RunPlace  # it reads object stores: slow to import

    # a task may be typed again, to trust it; data is new, or has been moved
    fixed = [path for path in given if path not in (*TASK, "data")]
    fixed += [name for name in ("algorithm", "config") if getattr(launch, name)]
    if fixed:
        raise InputError(f"--{fixed[0]}: a run that is resumed keeps its options; see --override")
    place = RunPlace.at(str(launch.resume))
    if not place.holds(CONFIG_FILE):
        raise InputError(f"--resume: {launch.resume} holds no run: there is no {CONFIG_FILE}")
    return place


def _check_stored(
    file: str, stored: Mapping[str, Any], given: Mapping[str, Any], known: Mapping[str, Field]
) -> None:
    """Refuse a run's config that lost a part, for which defaults would stand, or another task."""
    there, whole = {path.partition(".")[0] for path in stored}, vars(RunConfig())
    lost = [name for name, value in whole.items() if value is not None and name not in there]
    if lost:
        raise InputError(
            f"{file}: says nothing of {lost[0]}: it is damaged, or of an older version: bring back "
            f"a copy, or add what {lost[0]} was; provenance.json beside it holds the version and "
            "the words that began this run"
        )
    for path in TASK:
        was = stored.get(path, known[path].default)
        if path in given and known[path].typed(given[path], f"--{path}") != was:
            raise InputError(f"--{path}: the run is of {was}, and keeps its options")


def _overrides(words: Iterable[str], known: Mapping[str, Field]) -> Iterator[Setting]:
    """What --override changes: words such as workers=8."""
    for word in words:
        name, equals, value = word.partition("=")
        path = name.replace("-", "_")
        if not equals:
            raise InputError(f"--override {word}: is not OPTION=VALUE, such as workers=8")
        if path not in known and path != METHOD:
            raise InputError(f"--override: no option {name}; {nearest(path, known)}")
        if path not in CHANGEABLE:
            raise InputError(
                f"--override {name}: cannot change in a run that goes on, which would be another "
                f"run; these can: {', '.join(CHANGEABLE)}"
            )
        yield Setting(path, f"--override {name}", value)
