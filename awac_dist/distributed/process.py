"""A process of a run: seen by the driver, and components that know of the one they are in.

They must not need torch: it costs each process seconds.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray._private.state import actors  # the only place that tells how often

from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import RolloutWorker

LOOKS = 6  # in a row that find a process stopped, until it is ended


@dataclass(eq=False)
class Process:
    """Where it is, how it died, and whether somebody stopped it, which no answer tells."""

    name: str  # such as "rollout worker 1"
    pid: int | None = None  # as long as it has no place; one that is given is of this machine
    needs: str = ""  # what it waits for, in words, while it has no place
    actor: Any = None  # Ray's, if it is a component

    def __post_init__(self) -> None:
        self.is_at(self.pid)
        self._stopped = 0

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})" if self.pid else self.name

    def is_at(self, pid: int | None, *, here: bool = True) -> None:
        """Take note of where it is; only on this machine can it be looked at."""
        self.pid, self._here = pid, None
        self._is_here = here and pid is not None
        if self._is_here:
            with suppress(psutil.NoSuchProcess):
                self._here = psutil.Process(pid)

    @property
    def has_left(self) -> bool:
        """Whether it is not there any more: it died, or is somewhere else by now."""
        return self._is_here and not (self._here and self._here.is_running())

    def death(self) -> str:
        """How it died, of a child of this process; empty if it lives. Its parent may still wait."""
        if self._here is None:
            return ""
        try:
            end = os.waitid(os.P_PID, self._here.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody waited for it
            return "died"
        if end is None:
            return ""
        exited = end.si_code == os.CLD_EXITED
        how = f"exit code {end.si_status}" if exited else signal.Signals(end.si_status).name
        return f"died: {how}"

    def end_if_stopped(self) -> bool:
        """Whether it is ended, because it was found stopped too often: then it never goes on."""
        stopped = False
        with suppress(psutil.NoSuchProcess):
            stopped = self._here is not None and self._here.status() == psutil.STATUS_STOPPED
        self._stopped = self._stopped + 1 if stopped else 0
        if self._stopped < LOOKS:
            return False
        self._stopped = 0
        self.end()
        return True

    def end(self) -> None:
        """SIGKILL, if it is on this machine."""
        if self._here is not None:
            with suppress(psutil.NoSuchProcess):
                self._here.kill()


def whereabouts(component: object) -> tuple[int, str]:
    """To be called in a component's process: its pid, and Ray's name of its node."""
    return os.getpid(), ray.get_runtime_context().get_node_id()


class DurableShard(ReplayShard):
    """A shard that is whole again before it answers, when Ray starts it again after its death.

    Ray repeats the calls that were under way; those that were done already change nothing.
    """

    def __init__(self, index: int, *arguments: Any, **named: Any) -> None:
        self._index = index  # first: Ray asks for the name, too, where the rest fails
        super().__init__(index, *arguments, **named)
        actor = actors(actor_id=ray.get_runtime_context().get_actor_id())
        self._restarts = int(actor["NumRestarts"])
        if self._restarts:
            self.load()

    def __repr__(self) -> str:
        return f"shard {self._index}"  # before each line of its log

    def restarts(self) -> int:
        return self._restarts


class WatchedWorker(RolloutWorker):
    """A rollout worker that may end its process, where a step hangs."""

    owns_process = True

    def __init__(self, *arguments: Any, worker: int, **named: Any) -> None:
        self._number = worker  # as a shard's index
        super().__init__(*arguments, worker=worker, **named)

    def __repr__(self) -> str:
        return f"worker {self._number}"


class WatchedEvaluator(Evaluator):
    """An evaluator that may end its process, where a step hangs."""

    owns_process = True
