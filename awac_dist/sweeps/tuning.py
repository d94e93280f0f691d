"""Trials on Ray Tune: as many at once as find room; those that are behind are ended."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from awac_dist.algorithms import for_children
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import is_finished
from awac_dist.sweeps.config import SweepConfig
from awac_dist.sweeps.trainable import FAILED, METRIC, TRIAL, Launched
from awac_dist.sweeps.trials import BEHIND, FINISHED, Trial, shortest

SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the folders of the runs have it all
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # most steps find nothing
}


class Halving(ASHAScheduler):
    """Ray's, but trials go by their names, so that it can be told what earlier sessions found."""

    @classmethod
    def of(cls, sweep: SweepConfig, trials: Sequence[Trial]) -> Halving:
        """That of a sweep, which knows every evaluation that there is already."""
        its = cls(
            time_attr=sweep.asha.by,
            metric=METRIC,
            mode="max",
            grace_period=sweep.asha.first or 1,
            reduction_factor=sweep.asha.factor,
            max_t=shortest(sweep, trials) - 1,  # a trial at its end is behind nobody
            stop_last_trials=False,
        )
        for trial in trials:
            name = SimpleNamespace(config={TRIAL: {"name": trial.name}})
            its.on_trial_add(None, name)
            for row in trial.evaluations(sweep.metric):
                its.on_trial_result(None, name, {METRIC: row[sweep.metric], **row})
        return its

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, _named(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return str(super().on_trial_result(tune_controller, _named(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, _named(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_remove(tune_controller, _named(trial))


def _named(trial: Any) -> Any:
    return SimpleNamespace(trial_id=trial.config[TRIAL]["name"])


class Progress(tune.Callback):
    """Says what begins and ends, notes it beside the runs, and remembers what failed."""

    def __init__(self, trials: Sequence[Trial], say: Callable[[str], object]) -> None:
        self._trials, self._say = {its.name: its for its in trials}, say
        self.failed: dict[str, str] = {}  # trial -> why

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._say(f"begun: {trial.config[TRIAL]['name']}")

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        name, why = trial.config[TRIAL]["name"], trial.last_result.get(FAILED)
        if why:
            self._fail(name, why)
            return
        its = self._trials[name]
        stopped = why is None and not is_finished(str(its.folder))  # it may have ended meanwhile
        how = BEHIND if stopped else FINISHED
        its.end(how)
        self._say(f"{how}: {name}")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._fail(trial.config[TRIAL]["name"], "Ray lost it")

    def _fail(self, name: str, why: str) -> None:
        self.failed[name] = why
        self._say(f"failed: {name}")


def tried(
    sweep: SweepConfig, trials: Sequence[Trial], say: Callable[[str], object]
) -> dict[str, str]:
    """Try what has not ended, in a session of Ray that there is; Ctrl-C ends all runs in order.

    Returns:
        Why trials failed, by their names.
    """
    room = max(node["Resources"].get("CPU", 0.0) for node in ray.nodes())
    if sweep.cpus > room:
        raise InputError(
            f"cpus: a trial takes {sweep.cpus:g}, and no machine has more than {room:g}"
        )
    waiting = [its for its in trials if not its.ended]
    progress = Progress(waiting, say)
    halves = sweep.asha.first is not None
    with _quiet(), TemporaryDirectory(prefix="awac_dist-") as aside:  # runs are their own record
        tune.run(
            Launched,
            config={TRIAL: tune.grid_search([_told(sweep, its) for its in waiting])},
            resources_per_trial={"cpu": sweep.cpus},
            scheduler=Halving.of(sweep, trials) if halves else FIFOScheduler(),
            callbacks=[progress],
            storage_path=aside,
            verbose=0,
            raise_on_failed_trial=False,
        )
    return progress.failed


def _told(sweep: SweepConfig, trial: Trial) -> dict[str, Any]:
    """What a process is told of a trial."""
    found = trial.evaluations(sweep.metric)
    return {
        "name": trial.name,
        "folder": str(trial.folder),
        "metric": sweep.metric,
        "known": max((row["grad_steps"] for row in found), default=-1),
        "words": trial.config.env.to_type,
        "work": os.getcwd(),
        "variables": for_children(),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune as it is wanted: it says nothing itself, and SIGTERM is heard as Ctrl-C is."""
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update(SETTINGS)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    handler = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
