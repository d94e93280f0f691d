"""Runs of an experiment, side by side: what is finished is skipped, what was stopped goes on."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from psutil import Popen

from awac_dist.cli.begun import changes
from awac_dist.cli.options import parse, to_mapping
from awac_dist.errors import InputError
from awac_dist.experiments.experiment import Run
from awac_dist.experiments.processes import Meter, launch
from awac_dist.files import write_file
from awac_dist.learner.checkpoint import is_finished
from awac_dist.plain_yaml import config_of_run
from awac_dist.reporting.run_place import only_one_at_a_time

POLL_S, LOOK_EVERY_S = 0.5, 5.0
ENDING_S = 120.0  # that a run of a session before may take to end
FAILED, COST, LOG = ".failed", ".json", ".log"  # beside the folder of a run


def beside(folder: Path, ending: str) -> Path:
    """A file about a run, beside its folder."""
    return folder.with_name(folder.name + ending)


def has_begun(folder: Path) -> bool:
    """Whether there is a run to go on with."""
    return (folder / "config.yaml").exists()


def make_free(folder: Path) -> None:
    """Wait for a process that is still ending; leave nothing of a run that never began."""
    if not folder.exists():
        return
    until = time.monotonic() + ENDING_S
    while True:
        try:
            with only_one_at_a_time(folder):
                if not has_begun(folder):
                    shutil.rmtree(folder)
                return
        except InputError:  # it goes on; in the end the launch says so
            if time.monotonic() > until:
                return
            time.sleep(POLL_S)


def begun_otherwise(folder: Path, words: list[str]) -> bool:
    """Whether the run in a folder is another one than this experiment would begin by now.

    Its words may say something else, or what they leave open: a preset, a default.
    """
    try:
        begun = config_of_run(str(folder))
    except InputError:  # its launch says what is wrong
        return False
    return any(changes(begun, to_mapping(parse(words).config)))


def last_line(log: Path) -> str:
    """Why a run ended, in its own words: ours begin with the program's name."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    clear = [line for line in lines if line.startswith("awac_dist: ")]
    return (clear or lines or ["it said nothing"])[-1]


class Job(Protocol):
    """A run that goes on, here or elsewhere."""

    run: Run
    folder: Path

    def has_ended(self) -> bool: ...
    def close(self) -> str: ...
    def stop(self) -> None: ...
    def wait(self) -> None: ...


@dataclass
class Going:
    """A run that goes on here."""

    run: Run
    out: Path
    folder: Path = field(init=False)
    process: Popen = field(init=False)
    meter: Meter = field(init=False)
    _looked_s: float = 0.0

    def __post_init__(self) -> None:
        self.folder = self.run.folder(self.out)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        beside(self.folder, FAILED).unlink(missing_ok=True)
        make_free(self.folder)
        known = has_begun(self.folder) and (cost := beside(self.folder, COST)).exists()
        self.meter = Meter(**json.loads(cost.read_text()) if known else {})
        new = [*self.run.words_with(self.out), "--run-dir", str(self.folder)]
        words = ["--resume", str(self.folder)] if has_begun(self.folder) else new
        log = beside(self.folder, LOG)
        log.unlink(missing_ok=True)  # of a session before
        self.process = launch(words, log, OMP_NUM_THREADS="1")

    def has_ended(self) -> bool:
        """Whether it has; what it takes is looked at meanwhile."""
        if time.monotonic() - self._looked_s > LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            self.meter.look(self.process)
            self.note_cost()  # for a session that goes on with it though nobody ended this one
        return self.meter.has_ended(self.process)

    def note_cost(self) -> None:
        """Write down what it took so far."""
        cost = json.dumps({"peak_bytes": self.meter.peak_bytes, "cpu_s": self.meter.cpu_s})
        write_file(str(beside(self.folder, COST)), cost.encode())

    def close(self) -> str:
        """Why it failed, or nothing; that is noted for later calls."""
        self.note_cost()
        if self.process.returncode == 0:
            return ""
        why = last_line(beside(self.folder, LOG))
        write_file(str(beside(self.folder, FAILED)), why.encode())
        return why

    def stop(self) -> None:
        """Ask it to end in order, as a cluster does that takes its machine back."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Wait until it has."""
        self.meter.wait(self.process)
        self.note_cost()


def _to_do(
    runs: Iterable[Run], out: Path, again: bool, finished: Callable[[Run, Path], object]
) -> tuple[list[Run], list[str]]:
    """Runs that are not finished, and a line for each that is not to be begun."""
    waiting, failed = [], []
    for run in runs:
        folder = run.folder(out)
        if has_begun(folder) and begun_otherwise(folder, run.words_with(out)):
            failed.append(f"{run}: {folder} was begun with other options: move it away")
        elif is_finished(str(folder)):
            finished(run, folder)
        elif (marked := beside(folder, FAILED)).exists() and not again:
            failed.append(f"{run}: {marked.read_text()} ({beside(folder, LOG)})")
        else:
            waiting.append(run)
    return waiting, failed


def hold(
    runs: Iterable[Run],
    out: Path,
    *,
    jobs: int,
    again: bool,
    say: Callable[[str], object],
    finished: Callable[[Run, Path], object],
    begin: Callable[[Run, Path], Job] = Going,
) -> list[str]:
    """Run what is not finished, so many at once; Ctrl-C stops all in order.

    Args:
        runs: In the order in which they are begun.
        out: Folder for the runs.
        jobs: How many go on at once.
        again: Whether those that failed before are tried again.
        say: Is told what begins and ends.
        finished: Is told of each that came to its end, now or earlier.
        begin: Begins one, or goes on with it.

    Returns:
        A line for each that failed, now or earlier.
    """
    waiting, failed = _to_do(runs, out, again, finished)
    going = list[Job]()
    say(f"{len(waiting)} runs to do, in {out}")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or going:
            while waiting and len(going) < jobs:
                going.append(begin(run := waiting.pop(0), out))
                say(f"begun: {run}")
            time.sleep(POLL_S)
            for its in [its for its in going if its.has_ended()]:
                going.remove(its)
                if why := its.close():
                    failed.append(f"{its.run}: {why} ({beside(its.folder, LOG)})")
                else:
                    finished(its.run, its.folder)
                say(f"{'failed' if why else 'finished'}: {its.run}; {len(waiting)} wait")
    finally:
        for its in going:
            its.stop()
        for its in going:
            its.wait()
        signal.signal(signal.SIGTERM, before)
    return failed
