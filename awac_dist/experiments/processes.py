"""Runs as processes: started, looked after, ended in order."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

END_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def launch(arguments: Sequence[str], log: Path, **environment: str) -> psutil.Popen:
    """Start `python -m awac_dist.launch`; what it prints is appended to a log.

    The run ends in order when the thread that started it does, whatever ends that. It hears of
    that by SIGHUP, once for each thread of the process: a second SIGTERM would interrupt it.
    """
    with log.open("ab") as output:
        return psutil.Popen(
            [sys.executable, "-m", "awac_dist.launch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C is for who watches, and ends the run in order
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who was started by nohup ignores it
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGHUP)


def stop(launcher: psutil.Popen) -> None:
    """End a run in order, as a cluster does that takes its machine back."""
    if launcher.poll() is None:
        launcher.terminate()
        launcher.wait()


def of_children_s() -> float:
    """Processor time of all children that have ended and were waited for."""
    its = resource.getrusage(resource.RUSAGE_CHILDREN)
    return its.ru_utime + its.ru_stime


class Meter:
    """What a run's processes take together, memory and processor time.

    Memory counts each page that they share once. Processor time says the same beside other work,
    unlike a clock.
    """

    def __init__(self, peak_bytes: int = 0, cpu_s: float = 0.0) -> None:
        """What sessions before took."""
        self.peak_bytes, self._before_s = peak_bytes, cpu_s
        self._cpu_s: dict[int, float] = {}  # process -> its own, when last seen
        self._whole_s = 0.0  # of the launcher and what it waited for, once it has ended

    @property
    def cpu_s(self) -> float:
        """Of all sessions."""
        return self._before_s + max(self._whole_s, sum(self._cpu_s.values()))

    def has_ended(self, launcher: psutil.Popen) -> bool:
        """Whether the launcher has; then what it took since the last look is known, too."""
        with self._reaping():
            return launcher.poll() is not None

    def wait(self, launcher: psutil.Popen) -> None:
        """Wait for its end."""
        with self._reaping():
            launcher.wait()

    @contextmanager
    def _reaping(self) -> Iterator[None]:
        before_s = of_children_s()
        yield
        self._whole_s += of_children_s() - before_s

    def look(self, launcher: psutil.Popen) -> None:
        """Look at them once."""
        total = 0
        with suppress(psutil.Error):  # it is gone
            for process in (launcher, *launcher.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
                    its = process.cpu_times()
                    self._cpu_s[process.pid] = its.user + its.system
        self.peak_bytes = max(self.peak_bytes, total)
