"""A trial as Ray Tune knows it: a run in a process of its own; its evaluations are results."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ray import tune

from awac_dist.experiments.processes import launch, stop
from awac_dist.experiments.running import LOG, beside, has_begun, last_line, make_free
from awac_dist.reporting.rows import COUNTERS, METRICS_FILE, Row, Tail
from awac_dist.sweeps.trials import CONFIG, counts

POLL_S = 0.5
TRIAL = "trial"  # what a process is told, in the config that Tune hands it
METRIC, FAILED = "metric", "failed"  # of a result: what was found; in the last, why it failed


class Launched(tune.Trainable):
    """Starts a run, or goes on with it; a step is an evaluation, or a moment without one."""

    def setup(self, config: dict[str, Any]) -> None:  # as Tune calls it
        """Begin.

        Args:
            config: Of the trial its `name`, `folder` and `metric`; the updates of the last
                evaluation that is `known`; the `words` that no file may say; where to `work`, with
                which `variables` of the environment.
        """
        its = config[TRIAL]
        self._held = dict[str, Any]()  # an evaluation from which the run has not gone on yet
        os.chdir(its["work"])
        folder, self._metric, self._known = Path(its["folder"]), its["metric"], its["known"]
        make_free(folder)
        words = ["--config", str(beside(folder, CONFIG)), "--run-dir", str(folder)]
        if has_begun(folder):
            words = ["--resume", str(folder)]
        self._log, self._tail = beside(folder, LOG), Tail(folder / METRICS_FILE)
        self._log.unlink(missing_ok=True)  # of a session before
        self._run = launch([*words, *its["words"]], self._log, **its["variables"])

    def step(self) -> dict[str, Any]:
        """The next evaluation, or the end, or nothing yet: whoever stops it waits for a step.

        The last evaluation comes with the end, at which a trial is behind nobody: the others once
        the run has gone on from there.
        """
        over = self._run.poll() is not None  # first, so that its last rows are there
        for row in self._tail.new():
            if found := self._taken(row):
                return found
        if over:
            why = last_line(self._log) if self._run.returncode else ""
            return {**self._held, "done": True, FAILED: why}
        time.sleep(POLL_S)
        return {}

    def _taken(self, row: Row) -> dict[str, Any]:
        """The evaluation before, if it is known by this row not to be the last."""
        found, updates = dict[str, Any](), row["grad_steps"]
        if self._held and updates > self._held["grad_steps"]:
            found, self._held = self._held, found
        if counts(row, self._metric) and updates > self._known:
            self._known = updates
            self._held = {METRIC: row[self._metric], **{name: row[name] for name in COUNTERS}}
        return found

    def cleanup(self) -> None:
        """End the run in order."""
        stop(self._run)
