"""Metrics for Weights & Biases, MLflow or trackio, each by its own package.

Where they go is what its own settings say, offline modes included. A run that is resumed goes on
with what it began there; what was forgotten of it stays there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from awac_dist.errors import InputError, told
from awac_dist.reporting.config import ReportingConfig
from awac_dist.reporting.groups import flat
from awac_dist.reporting.rows import METRICS_FILE

STEP = "grad_steps"
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
PARAMETERS = 100  # that MLflow takes at once


class Subject(NamedTuple):
    """The run that is tracked."""

    project: str
    folder: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def id(self) -> str:
        """The same each time that the run is started, and no other's."""
        return sha256((self.folder / "provenance.json").read_bytes()).hexdigest()[:12]


class Tracker(NamedTuple):
    """Where rows of metrics go, each with its counters, and what follows the last."""

    log: Callable[[Mapping[str, float]], object]
    finish: Callable[[], object]


def check(reporting: ReportingConfig) -> None:
    """Raise InputError where the package is missing."""
    if (name := reporting.track) and find_spec(name) is None:
        raise InputError(
            f"--reporting.track {name} needs a package: pip install 'awac_dist[{name}]'"
        )


class Tracking:
    """Takes the rows of a run's metrics; once it fails it says so by `note`, and takes no more.

    Raises:
        InputError: It cannot begin.
    """

    def __init__(
        self,
        reporting: ReportingConfig,
        folder: Path,
        config: Mapping[str, Any],
        note: Callable[[str], object],
    ) -> None:
        self._name, self._note = reporting.track, note
        self._tracker: Tracker | None = None
        if self._name is not None:
            try:
                self._tracker = TRACKERS[self._name](Subject(reporting.project, folder, config))
            except Exception as error:  # whatever comes of a network, or of somebody else's package
                why = f"{told(error)}: mend that, or leave it out"
                raise InputError(f"--reporting.track {self._name}: {why}") from error

    def log(self, values: Mapping[str, float]) -> None:
        """Take a row, with its counters."""
        if self._tracker is not None:
            self._try(partial(self._tracker.log, values))

    def finish(self) -> None:
        """Take the last that is under way."""
        if self._tracker is not None:
            self._try(self._tracker.finish)

    def _try(self, do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:
            self._tracker = None
            self._note(f"{self._name} takes no more: {told(error)}; {METRICS_FILE} has everything")


def _wandb(run: Subject) -> Tracker:
    import wandb

    its = wandb.init(
        project=run.project,
        name=run.name,
        id=run.id,
        resume="allow",
        config=dict(run.config),
        dir=str(run.folder),
        settings=wandb.Settings(console="off", silent=True),
    )
    its.define_metric("*", step_metric=STEP)  # its own step cannot go back, as evaluations do
    return Tracker(lambda values: its.log(dict(values)), its.finish)


def _mlflow(run: Subject) -> Tracker:
    for variable, value in PATIENCE.items():  # the run waits meanwhile
        os.environ.setdefault(variable, value)
    import mlflow
    from mlflow.entities import Metric, Param

    client = mlflow.MlflowClient()
    known = client.get_experiment_by_name(run.project)
    experiment = known.experiment_id if known else client.create_experiment(run.project)
    found = client.search_runs([experiment], f"tags.awac_dist = '{run.id}'")
    its = (
        found[0]
        if found
        else client.create_run(experiment, run_name=run.name, tags={"awac_dist": run.id})
    )
    if not found:
        params = [Param(path, str(value)) for path, value in flat(run.config).items()]
        for first in range(0, len(params), PARAMETERS):
            client.log_batch(its.info.run_id, params=params[first : first + PARAMETERS])

    def log(values: Mapping[str, float]) -> None:
        now, step = int(time.time() * 1000), int(values[STEP])
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        client.log_batch(its.info.run_id, metrics)

    return Tracker(log, lambda: client.set_terminated(its.info.run_id))


def _trackio(run: Subject) -> Tracker:
    import trackio

    its = trackio.init(
        project=run.project,
        name=f"{run.name}-{run.id}",
        config=dict(run.config),
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    return Tracker(lambda values: its.log(dict(values), step=int(values[STEP])), trackio.finish)


TRACKERS: Mapping[str, Callable[[Subject], Tracker]] = {
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}
