"""Runs by code: the same as `awac-dist launch` and `evaluate`, for a program or a notebook.

What calls keeps its output, its signal handlers and its interrupts: see docs/by-code.md.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from os.path import expanduser
from typing import TYPE_CHECKING, Any, TypeAlias

from awac_dist.cli import evaluate as evaluating
from awac_dist.cli import export as exporting
from awac_dist.cli import launch, plain_yaml
from awac_dist.cli.commands import Evaluate, Export
from awac_dist.cli.options import CONFIG_FILE, Options, by_code, parse
from awac_dist.config import RunConfig
from awac_dist.envs.registration import register_own
from awac_dist.errors import InputError
from awac_dist.evaluation.result import Evaluation
from awac_dist.files import read_file
from awac_dist.policies.acting import SavedPolicy
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.reporting.rows import COUNTERS, METRICS_FILE, read_table
from awac_dist.reporting.run_place import RunPlace
from awac_dist.reporting.screen import Caller, say
from awac_dist.reporting.wording import to_resume

if TYPE_CHECKING:
    import gymnasium
    import pandas as pd

Place: TypeAlias = "str | PathLike[str]"  # a path, where ~ is the home folder, or URI
Env: TypeAlias = "str | Mapping[str, Any] | Callable[..., gymnasium.Env[Any, Any]]"


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
        options["data"] = [*map(_path, [data] if isinstance(data, str | PathLike) else data)]
    if env is not None:
        options["env"] = env if isinstance(env, str | Mapping) else register_own(env)
    base = config if config is None or isinstance(config, RunConfig) else _path(config)
    plain = {name: fspath(x) if isinstance(x, PathLike) else x for name, x in options.items()}
    return _trained(by_code(base, plain), verbose)


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
    env_id, kwargs = _task(env)
    asked = Evaluate(
        policy=_path(policy),
        env=env_id,
        env_kwargs=kwargs,
        episodes=episodes,
        stochastic=stochastic,
        seed=seed,
    )
    _check(asked.problems())
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
        return by_code(None, plain_yaml.load(content)).config

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
        return evaluate(self.folder, **options)

    def export(self, out: Place) -> None:
        """Write its newest policy as FILE.npz, FILE.onnx, or FILE.pt for TorchScript."""
        asked = Export(policy=self.folder, out=_path(out))
        _check(asked.problems())
        exporting.export(asked)

    def resume(
        self,
        *,
        env: Env | None = None,
        data: Iterable[Place] = (),
        verbose: bool = False,
        **override: Any,
    ) -> Run:
        """Go on from its newest checkpoint, as `--resume` does; one that is finished stays.

        Args:
            env: The task again, where it is none that everybody knows.
            data: New data, or where what it learns from is by now.
            verbose: Print what the command prints.
            override: Options that may change: `run.resume(**{"online.env_steps": 40_000})`.
        """
        env_id, _ = _task(env)
        words = ["--resume", self.folder, *(["--env", env_id] if env_id else [])]
        for path, value in override.items():
            words += ["--override", f"{path}={value}"]
        options = parse([*words, *(["--data", *map(_path, data)] if data else [])])
        return self if options.module == "finished" else _trained(options, verbose)


def _trained(options: Options, verbose: bool) -> Run:
    with Caller(verbose=verbose) as caller, launch.StopRequest(caller) as stop:
        trained = launch.train(options, caller, stop)
    if verbose:
        say(trained.summary)
    run = Run(trained.folder)
    if stop.signal_number is not None:
        try:
            signal.raise_signal(stop.signal_number)  # it is the caller's, and the run has ended
        except KeyboardInterrupt as interrupt:
            again = to_resume(run.folder, options.config.env.by_code)
            interrupt.add_note(f"the run ended in order; {again} goes on with it")
            raise
    return run


def _path(place: Place) -> str:
    try:
        return expanduser(fspath(place))
    except TypeError:
        raise InputError(
            f"{place!r}: is no path or URI: give the folder of a run, or a file"
        ) from None


def _task(env: Env | None) -> tuple[str | None, dict[str, Any] | None]:
    """The id of a task and its arguments, as far as they were given."""
    if env is None or isinstance(env, str):
        return env, None
    if isinstance(env, Mapping):
        return env["id"], dict(env.get("kwargs", {}))
    return register_own(env), None


def _check(problems: Iterable[tuple[str, str]]) -> None:
    for path, problem in problems:
        raise InputError(f"{path}: {problem}")
