"""The processes of a run, as this machine's process table shows them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

ACTORS = {
    "worker": "WatchedWorker",
    "shard": "DurableShard",
    "learner": "Learner",
    "evaluator": "WatchedEvaluator",
    "weights": "SharedWeightStore",
}
DRIVER = "driver"
KINDS = (*ACTORS, DRIVER)
STARTING = ".__init__"


class RunProcesses:
    """One launcher and everything that it started.

    Args:
        arguments: Of `python -m awac_dist.launch`.
        log: What the launcher prints is appended here.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        command = [sys.executable, "-m", "awac_dist.launch", *arguments]
        with log.open("ab") as output:
            self._launcher = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for who watches, and ends the run in order
            )

    @property
    def exit_code(self) -> int | None:
        """Of the launcher, None while it lives."""
        return self._launcher.poll()

    def of_kind(self, kind: str, *, ready: bool = False) -> list[psutil.Process]:
        """Those of a kind, by process id.

        Args:
            kind: One of `KINDS`.
            ready: Leave out those that are still being built.
        """
        launcher = psutil.Process(self._launcher.pid)
        if kind == DRIVER:
            return [launcher]
        name = f"ray::{ACTORS[kind]}"
        found = []
        for process in launcher.children(recursive=True):
            title = _title(process)
            if title.split(".")[0] == name and not (ready and STARTING in title):
                found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def kill(self, process: psutil.Process) -> bool:
        """Send SIGKILL to one process, and wait for the launcher if it was that.

        Returns:
            Whether it was still there.
        """
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        if process.pid == self._launcher.pid:
            self._launcher.wait()
        return True

    def stop(self) -> None:
        """End the run in order, as a cluster does that takes its machine back."""
        if self._launcher.poll() is None:
            self._launcher.terminate()
            self._launcher.wait()


def _title(process: psutil.Process) -> str:
    """What Ray calls it, such as ray::Learner.update; empty if it is gone."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    return words[0].strip() if words else ""
