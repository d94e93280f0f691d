"""The processes of a run, as this machine's process table shows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
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


def launch(arguments: Sequence[str], log: Path) -> psutil.Popen:
    """Start `python -m awac_dist.launch`; what it prints is appended to a log."""
    with log.open("ab") as output:
        return psutil.Popen(
            [sys.executable, "-m", "awac_dist.launch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for who watches, and ends the run in order
        )


def of_kind(launcher: psutil.Popen, kind: str, *, ready: bool = False) -> list[psutil.Process]:
    """Processes of a kind that a launcher started, or itself, by process id.

    Args:
        launcher: Of the run.
        kind: One of `KINDS`.
        ready: Leave out those that are still being built.
    """
    if kind == DRIVER:
        return [launcher]
    found = []
    for process in launcher.children(recursive=True):
        with suppress(psutil.Error):  # it is gone
            title = "".join(process.cmdline()[:1]).strip()  # Ray's, such as ray::Learner.update
            is_one = title.split(".")[0] == f"ray::{ACTORS[kind]}"
            if is_one and not (ready and STARTING in title):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)
