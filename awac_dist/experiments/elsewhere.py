"""Runs of an experiment on the machines of a Ray cluster, all of which see their folders."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError

from awac_dist.errors import told
from awac_dist.experiments.experiment import Run
from awac_dist.experiments.running import POLL_S, Going

STOP_S = 60.0  # in which a run has written its checkpoint


class Elsewhere:
    """A run that goes on where the cluster has a core for it, or waits for one."""

    def __init__(self, run: Run, out: Path) -> None:
        self.run, self.folder = run, run.folder(out)
        self._why = _complete.remote(run, out)

    def has_ended(self) -> bool:
        """Whether it has, or its machine is gone."""
        return bool(ray.wait([self._why], timeout=0)[0])

    def close(self) -> str:
        """Why it failed, or nothing; of a lost machine nothing is noted: it can go on."""
        try:
            return str(ray.get(self._why))
        except RayTaskError as error:
            return f"it could not be looked after, in {self.folder}: {told(error.cause)}"
        except RayError as error:
            return f"its machine is gone: {type(error).__name__}"

    def stop(self) -> None:
        """Ask it to end in order."""
        ray.cancel(self._why)

    def wait(self) -> None:
        """Wait until it has."""
        ray.wait([self._why], timeout=STOP_S)


@ray.remote(num_cpus=1, max_retries=0)
def _complete(run: Run, out: Path) -> str:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's "&" left it ignored
    going = Going(run, out)
    try:
        while not going.has_ended():
            time.sleep(POLL_S)
        return going.close()
    except KeyboardInterrupt:
        going.stop()
        going.wait()
        return "it was stopped"
