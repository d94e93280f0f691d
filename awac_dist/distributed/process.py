"""A process of a run: where it is, and whether somebody stopped it, which no answer tells."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import psutil
import ray

LOOKS = 6  # in a row that find a process stopped, until it is ended


class Process:
    """What is known of it.

    Args:
        name: Such as "rollout worker 1".
        pid: If it is on this machine already.
        needs: What it waits for, in words, while it has no place.
        actor: Ray's, if it is a component.

    Attributes:
        pid: None as long as it has no place.
    """

    def __init__(
        self, name: str, pid: int | None = None, needs: str = "", actor: Any = None
    ) -> None:
        self.name, self.needs, self.actor = name, needs, actor
        self.is_at(pid)
        self._stopped = 0

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})" if self.pid else self.name

    def is_at(self, pid: int | None, *, here: bool = True) -> None:
        """Take note of where it is; only on this machine can it be looked at."""
        self.pid, self._here = pid, None
        if pid is not None and here:
            with suppress(psutil.NoSuchProcess):
                self._here = psutil.Process(pid)

    @property
    def has_left(self) -> bool:
        """Whether it is not there any more: it died, or is somewhere else by now."""
        return self._here is not None and not self._here.is_running()

    def end_if_stopped(self) -> bool:
        """Whether it is ended, because it was found stopped too often: then it never goes on."""
        try:
            stopped = self._here is not None and self._here.status() == psutil.STATUS_STOPPED
            self._stopped = self._stopped + 1 if stopped else 0
        except psutil.NoSuchProcess:
            self._stopped = 0
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
