"""Runs by code: the same as `awac-dist launch` and `evaluate`, for a program or a notebook.

What calls keeps its output, its signal handlers and its interrupts: see docs/by-code.md.
"""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from os.path import expanduser
from typing import TYPE_CHECKING, Any, TypeAlias

from awac_dist.cli import evaluate as evaluating
from awac_dist.cli import export as exporting
from awac_dist.cli import launch
from awac_dist.cli.commands import Evaluate, Export
from awac_dist.cli.options import CONFIG_FILE, Options, by_code, by_code_of, overridden, parse
from awac_dist.cli.parser import built
from awac_dist.config import RunConfig
from awac_dist.envs.registration import Maker, meaning, own_id
from awac_dist.errors import InputError
from awac_dist.evaluation.result import Evaluation
from awac_dist.files import read_file
from awac_dist.plain_yaml import load_yaml
from awac_dist.policies.acting import SavedPolicy
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.reporting.rows import COUNTERS, METRICS_FILE, read_table
from awac_dist.reporting.run_place import RunPlace
from awac_dist.reporting.screen import Caller, say
from awac_dist.reporting.wording import to_resume

if TYPE_CHECKING:
    import pandas as pd

Place: TypeAlias = "str | PathLike[str]"  # a path, where ~ is the home folder, or URI
Env: TypeAlias = "str | Mapping[str, Any] | Maker"


def train(
    config: RunConfig | Place | None = None,
    /,
    *,
    env: Env | None = None,
    data: Place | Iterable[Place] | None = None,
    verbose: bool = False,
    **options: Any,
) -> Run:
    """Train as `awac-dist launch` does, by the same options, and return what it left.

    Args:
        config: A config, or a file of options, or a preset by name; None is the defaults.
        env: The task: an id, module:Id, its class, or a function that makes it.
        data: Prior data, as `--data` names it: one or several; [] is none.
        verbose: Print what the command prints.
        options: Over the config: algorithm="iql", seed=1, offline={"updates": 200}, or
            **{"offline.updates": 200}.

    Raises:
        InputError: Something that was given is wrong; nothing has run.
        RunFailed: The run cannot go on; names its folder.
        KeyboardInterrupt: By Ctrl-C, once the run has ended in order; `Run(folder).resume()` goes
            on.
    """
    if data is not None:
        options["data"] = _paths(data)
    if env is not None:
        options["env"] = _named(env)
    base = config if config is None or isinstance(config, RunConfig) else _path(config)
    return _trained(by_code(base, _plain(options)), verbose, _maker(env))


def evaluate(
    policy: Place,
    *,
    env: Env | None = None,
    episodes: int = 100,
    stochastic: bool = False,
    seed: int | None = None,
) -> Evaluation:
    """Play whole episodes with a policy, as `awac-dist evaluate` does, and say how it did.

    Args:
        policy: A run, a checkpoint, or a policy file (.npz).
        env: The task, as of `train`; None is that of the run.
        episodes: How many.
        stochastic: Sample actions, rather than act by the mean.
        seed: Decides where episodes start; None is that of the run, or 0.
    """
    given = {"episodes": episodes, "stochastic": stochastic, "seed": seed, **_task(env)}
    asked = built(Evaluate, {"policy": _path(policy), **given}, lambda field: field.path)
    with meaning(_maker(env)):
        return evaluating.evaluation(asked, io.StringIO())


class Run:
    """What a run left in its folder, which may be an earlier one's: `Run("runs/mine")`.

    Args:
        folder: A path or URI.

    Attributes:
        folder: The same; whole, if it is a path.

    Raises:
        InputError: There is no run.
    """

    _make: Maker | None = None  # its task, where this program trained it and gave one

    def __init__(self, folder: Place) -> None:
        place = RunPlace.at(_path(folder))
        if not place.holds(CONFIG_FILE):
            raise InputError(f"{folder}: holds no run: there is no {CONFIG_FILE}")
        self.folder = place.shared

    def __repr__(self) -> str:
        return f"Run({self.folder!r})"

    @property
    def config(self) -> RunConfig:
        """Its options."""
        content = read_file(f"{self.folder}/{CONFIG_FILE}")
        return by_code(None, load_yaml(content)).config

    @property
    def policy(self) -> SavedPolicy:
        """Its newest policy: `action = run.policy(observation)`."""
        return SavedPolicy(read_policy(find_policy(self.folder)))

    @property
    def metrics(self) -> pd.DataFrame:
        """Everything that it measured: a row each time, NaN where a row says nothing."""
        import pandas as pd  # slow to import

        rows = read_table(f"{self.folder}/{METRICS_FILE}").rows
        return pd.DataFrame(rows, columns=None if rows else ["phase", *COUNTERS])

    def evaluate(self, **options: Any) -> Evaluation:
        """As `evaluate`, its newest policy."""
        with meaning(None if options.get("env") is not None else self._make):
            return evaluate(self.folder, **options)

    def export(self, out: Place) -> None:
        """Write its newest policy as FILE.npz, FILE.onnx, or FILE.pt for TorchScript."""
        given = {"policy": self.folder, "out": _path(out)}
        exporting.export(built(Export, given, lambda field: field.path))

    def resume(
        self,
        *,
        env: Env | None = None,
        data: Place | Iterable[Place] = (),
        verbose: bool = False,
        **override: Any,
    ) -> Run:
        """Go on from its newest checkpoint, as `--resume` does; one that is finished stays.

        Args:
            env: The task again, where it is none that everybody knows.
            data: New data, or where what it learns from is by now.
            verbose: Print what the command prints.
            override: Options that may change, nested or by path: online={"env_steps": 40_000}.
        """
        words = ["--resume", self.folder, *overridden(_plain(override))]
        for path, value in _task(env).items():
            words += [f"--{path}", value if isinstance(value, str) else json.dumps(value)]
        options = parse([*words, *(["--data", *paths] if (paths := _paths(data)) else [])])
        if options.module == "finished":
            return self
        return _trained(options, verbose, self._make if env is None else _maker(env))


def _trained(options: Options, verbose: bool, make: Maker | None) -> Run:
    with Caller(verbose=verbose) as caller, launch.StopRequest(caller) as stop, meaning(make):
        trained = launch.train(options, caller, stop)
    if verbose:
        say(trained.summary)
    run = Run(trained.folder)
    run._make = make
    if stop.signal_number is not None:
        try:
            signal.raise_signal(stop.signal_number)  # it is the caller's, and the run has ended
        except KeyboardInterrupt as interrupt:
            again = to_resume(run.folder, options.config.env.by_code)
            interrupt.add_note(f"the run ended in order; {again} goes on with it")
            raise
    return run


def _path(place: Place) -> str:
    if not isinstance(place, str | PathLike):
        raise InputError(f"{place!r}: is no path or URI: give the folder of a run, or a file")
    return expanduser(fspath(place))


def _paths(places: Place | Iterable[Place]) -> list[str]:
    if isinstance(places, str | PathLike) or not isinstance(places, Iterable):
        return [_path(places)]  # which refuses what is none
    return [*map(_path, places)]


def _plain(value: Any) -> Any:
    """Options as a file has them: dicts and texts for mappings and paths of any class."""
    if isinstance(value, Mapping):
        return {name: _plain(its) for name, its in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_plain, value)]
    return fspath(value) if isinstance(value, PathLike) else value


def _task(env: Env | None) -> dict[str, Any]:
    """The options of a task, as far as they were given: `env` and `env.kwargs`."""
    if env is None:
        return {}
    return by_code_of("env", _plain(_named(env)))


def _named(env: Env) -> str | Mapping[str, Any]:
    """A task as options say it."""
    return env if isinstance(env, str | Mapping) else own_id(env)


def _maker(env: Env | None) -> Maker | None:
    """What makes it, where that was given."""
    return None if env is None or isinstance(env, str | Mapping) else env
