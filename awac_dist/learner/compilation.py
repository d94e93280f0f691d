"""Who has a method's gradients compiled, and when: aside, while the learner goes on as it was."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, NamedTuple

import torch

from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.algorithms.world import Task
from awac_dist.learner.compile import CompiledGradients
from awac_dist.learner.config import Coming, Precision
from awac_dist.learner.device import autocast
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.tensors import Batch

PATIENCE = 1000, 10.0  # updates and seconds of them: what ends sooner is not worth it
WORTH_IT = 10_000  # updates that are to come, before which it begins without waiting for those
CACHE = Path("~/.cache/awac_dist/compiled")  # what was compiled once is read in the next run
COMMAND = (sys.executable, "-m", __name__)


class Job(NamedTuple):
    """What is to be compiled."""

    config: MethodConfig
    task: Task
    wishes: Wishes
    batch_size: int
    precision: Precision
    threads: Sequence[int]

    def warm(self, method: Method) -> None:
        """Compile a method's gradients for each number of threads, and leave all as it was.

        Offline and online, where its losses know a difference, and in a pause.
        """
        layout, threads = Layout.of(self.task.spec, self.wishes), torch.get_num_threads()
        before, online, alone = method.training_state(), method.online, method.critics_alone
        stages = {online, online or method.knows_online}
        for count, stage, pauses in product(self.threads, stages, {False, method.pauses}):
            torch.set_num_threads(count)
            method.online, method.critics_alone = stage, pauses
            block = torch.zeros(self.batch_size, layout.width, device=method.device)
            batches = [Batch.from_block(block, layout)] * method.batches_per_update
            with autocast(self.precision, method.device):
                method.update(batches)
        method.load_training_state(before)
        method.online, method.critics_alone = online, alone
        torch.set_num_threads(threads)

    def build(self) -> Method:
        """A method of the same shapes."""
        return self.config.method(self.config, self.task, seed=0, device=torch.device("cpu"))


class Compilation:
    """Of one method's gradients, in a process of its own that fills a cache on the disk.

    Once it is done they are read from there. Without a C++ compiler all stays as it is.
    """

    def __init__(self, method: Method, job: Job, *, wanted: bool = True) -> None:
        self.method, self.job, self.wanted = method, job, wanted
        self._updates, self._seconds, self._began = 0, 0.0, 0.0
        self._untold = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] | None = None  # of the process; a pipe could be full
        compiler = shutil.which(os.environ.get("CXX", "g++"))
        self._over = not (wanted and compiler and method.device.type == "cpu")

    def updated(self, updates: int, seconds: float) -> str:
        """So many were done since the last call, in so long; returns what to tell of it."""
        self._updates, self._seconds = self._updates + updates, self._seconds + seconds
        if self._updates >= PATIENCE[0] and self._seconds >= PATIENCE[1]:
            self.start()
        self.look()
        told, self._untold = self._untold, ""
        return told

    def start(self) -> None:
        """Start the process, if nobody did."""
        if not self._over and self._process is None:
            self._words = TemporaryFile()  # noqa: SIM115 closed where the process is over
            self._began, self._process = time.monotonic(), _start(self.job, self._words)

    @property
    def goes_on(self) -> bool:
        """Whether the process is at work."""
        return self._process is not None and self._process.poll() is None

    def look(self) -> None:
        """Take over what it compiled, once it has."""
        if not self._over and self._process is not None and not self.goes_on:
            self._untold = self._take_over(self._process)

    def stop(self) -> None:
        """Give up."""
        self._over = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._words is not None:
            self._words.close()

    def _take_over(self, process: subprocess.Popen[bytes]) -> str:
        aside_s, self._over = time.monotonic() - self._began, True
        assert self._words is not None
        with self._words as words:
            if process.returncode:
                words.seek(0)
                said = words.read().decode(errors="replace").splitlines() or ["no word"]
                return f"updates stay as they are: torch.compile failed: {said[-1]}"
        began = time.monotonic()
        self.method.differentiate = CompiledGradients(self.method)
        self.job.warm(self.method)
        here_s = time.monotonic() - began
        return f"updates are compiled now: {aside_s:.0f} s aside, {here_s:.0f} s of the learner's"


class Compilations:
    """Those of the method in training and of the one after it, one at a time.

    Args:
        make: Makes that of a new method with such options, for batches of such a size.
    """

    def __init__(self, make: Callable[[MethodConfig, int], Compilation]) -> None:
        self._make = make
        self.now: Compilation | None = None
        self.coming: Compilation | None = None

    def begin(self, config: MethodConfig, batch_size: int) -> Compilation:
        """That of a method, from before where it was foreseen; all others are given up."""
        coming, self.coming = self.coming, None
        if self.now is not None:
            self.now.stop()
        if coming is None or (coming.job.config, coming.job.batch_size) != (config, batch_size):
            if coming is not None:
                coming.stop()
            coming = self._make(config, batch_size)
        self.now = coming
        return coming

    def foresee(self, then: Coming) -> None:
        """Have compiled what comes next, if enough updates are to come."""
        if then.updates >= WORTH_IT:
            self.coming = self._make(then.method, then.batch_size)
            self.coming.start()

    def look_ahead(self) -> None:
        """Take over what was compiled for later."""
        if self.coming is not None:
            self.coming.look()

    def updated(self, updates: int, seconds: float) -> str:
        """So many were done since the last call, in so long; returns what to tell of it."""
        if self.now is None or (self.coming is not None and self.coming.goes_on):
            return ""
        return self.now.updated(updates, seconds)


def use_cache() -> None:
    """Have torch keep what it compiles where nobody else can put anything, unless it is told where.

    To be called before torch makes a place of its own.
    """
    folder = CACHE.expanduser()
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        with suppress(OSError):  # a home that cannot be written to: torch has its own place
            folder.mkdir(0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def _start(job: Job, words: IO[bytes]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        COMMAND,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=words,
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(job))
    process.stdin.flush()  # and stays open, so that the process ends where its starter does
    return process


def _end_with_the_starter() -> None:
    while os.read(sys.stdin.fileno(), 1):  # nothing comes but the end
        pass
    os._exit(1)


def main() -> None:
    """Compile the job that comes on standard input."""
    use_cache()
    job: Job = pickle.load(sys.stdin.buffer)
    Thread(target=_end_with_the_starter, daemon=True).start()
    method = job.build()
    method.differentiate = CompiledGradients(method)
    job.warm(method)


if __name__ == "__main__":
    main()
