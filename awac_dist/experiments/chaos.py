"""`python -m awac_dist.experiments.chaos`: real runs whose processes are killed again and again.

A first run goes undisturbed. Then runs of the same settings follow each other; every few seconds
a process of the run gets SIGKILL, or SIGSTOP and some time later SIGCONT; a launcher that was
killed is started again with `--resume`, and what the run leaves behind is judged once it ends.

docs/faults.md says when a death, or a stop, counts as recovered from. The next process is killed
only then: what is promised is to survive the death of any one process at a time.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import psutil

from awac_dist.experiments.campaign import Campaign, Death, RunSize, is_clean
from awac_dist.experiments.processes import launch, stop
from awac_dist.experiments.run_record import (
    EVALUATION,
    UPDATES,
    Fragment,
    Verdict,
    judge,
    last_row,
    logged_fragments,
    steps_that_differ,
)

ACTORS = {  # kind -> its class, and how many of it a run has
    "worker": ("WatchedWorker", 2),
    "shard": ("DurableShard", 2),
    "learner": ("Learner", 1),
    "evaluator": ("WatchedEvaluator", 1),
    "weights": ("SharedWeightStore", 1),
}
PARTS = {"raylet": "raylet", "gcs": "gcs_server"}  # of Ray itself: kind -> its program
DRIVER = "driver"
STOPPED = "stopped "  # before the kind of what goes on again
VICTIMS = (*ACTORS, *PARTS, DRIVER)
KINDS = (*VICTIMS, *(STOPPED + victim for victim in VICTIMS))
STOPS_S = (5.0, 45.0)  # too short for a process to be replaced, and long enough
STARTING = ".__init__"
LEFT = "chaos.json"
POLL_S = 0.1
MAX_FAILURES = 5  # of one run
RECOVERY_S = 180.0  # after which a death counts as not recovered from


def of_kind(launcher: psutil.Popen, kind: str, *, ready: bool = False) -> list[psutil.Process]:
    """Processes of a kind that a launcher started, or itself, by process id.

    Those that are `ready` are not being built any more.
    """
    if kind == DRIVER:
        return [launcher]
    found, ours = [], f"ray::{ACTORS[kind][0]}" if kind in ACTORS else None
    for process in launcher.children(recursive=True):
        with suppress(psutil.Error):  # it is gone
            title = "".join(process.cmdline()[:1]).strip()  # Ray's, such as ray::Learner.update
            is_one = title.split(".")[0] == ours or process.name() == PARTS.get(kind)
            if is_one and not (ready and STARTING in title):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


@dataclass
class DisturbedRun:
    """One run and the hand that kills it."""

    folder: Path
    campaign: Campaign  # is told what happens
    kinds: Sequence[str]  # what may be killed; nothing leaves the run alone
    every_s: float  # mean pause between a recovery and the next kill
    rng: random.Random  # chooses
    over: Callable[[], bool]  # whether the time of the campaign is over

    def __post_init__(self) -> None:
        self._seen: dict[Fragment, int] = {}
        self._number, self._failures = len(self.campaign.verdicts), 0
        self._log = self.folder.with_suffix(".out")
        self._launch()

    def run(self) -> Verdict:
        """See the run through to its end."""
        try:
            while not self._ended():
                pause_s = self.rng.uniform(0, 2 * self.every_s)
                self._wait(time.monotonic() + pause_s, lambda: False)
                if not self.over() and not self._ended() and (victims := self._victims()):
                    self._kill(*self.rng.choice(victims))
        finally:
            stop(self._launcher)
        size, seen = self.campaign.size, self._seen
        verdict = judge(self.folder, seen, env_steps=size.env_steps, grad_steps=size.grad_steps)
        if "Traceback" in self._log.read_text(errors="replace"):
            verdict.problems.append(f"{self._log} holds a traceback")
        if differing := steps_that_differ(self.folder):
            verdict.problems.append(f"{differing} steps in the log are not what the task does")
        return verdict

    def _launch(self) -> None:
        """Go on with the run; begin it where there is none, or none any more."""
        new = ["--run-dir", str(self.folder), *self.campaign.size.words]
        words = ["--resume", str(self.folder)] if self._has_begun() else new
        self._launcher = launch(words, self._log)

    def _has_begun(self) -> bool:
        return (self.folder / "config.yaml").exists()

    def _ended(self) -> bool:
        """Whether it came to its end; it is resumed where it ended in any other way."""
        code: int | None = self._launcher.poll()
        if code:
            lines = self._log.read_text(errors="replace").splitlines()
            print(self.campaign.exited(self._number, code, lines, self._has_begun()), flush=True)
            self._failures += 1
            if self._failures == MAX_FAILURES:
                raise RuntimeError(f"run {self._number} ended by itself {MAX_FAILURES} times")
            self._launch()
        return code == 0

    def _wait(self, deadline: float, sign: Callable[[], bool]) -> bool:
        """Whether a sign, or the end of the run, was seen in time."""
        while time.monotonic() < deadline:
            if self._ended() or sign():
                return True
            time.sleep(POLL_S)
        return False

    def _victims(self) -> list[tuple[str, psutil.Process]]:
        """Processes of the kind that died least often so far."""
        if not self._has_begun():
            return []
        for kind in sorted(self.kinds, key=self.campaign.count):
            if processes := of_kind(self._launcher, kind.removeprefix(STOPPED)):
                return [(kind, process) for process in processes]
        return []

    def _kill(self, kind: str, process: psutil.Process) -> None:
        self._seen |= logged_fragments(self.folder)
        grad_steps = last_row(self.folder, UPDATES).get("grad_steps", -1)
        death = Death(kind, self._number, grad_steps)
        column = EVALUATION if kind.endswith("evaluator") else UPDATES
        since, began, dead = self._elapsed_s(column), time.monotonic(), process.pid
        try:
            if kind.startswith(STOPPED):
                dead = self._stop(process)
            else:
                process.kill()
        except psutil.NoSuchProcess:
            return  # the run was quicker, and ended
        self.campaign.deaths.append(death)
        if kind == DRIVER:
            process.wait()
            self._launch()
        if self._recovers(column, dead, since, time.monotonic() + RECOVERY_S):
            death.seconds = time.monotonic() - began
        death.run_ended = self._launcher.poll() == 0
        print(f"{time.strftime('%X')} {death}", flush=True)

    def _stop(self, process: psutil.Process) -> int:
        """Stop a process for some time; its pid if it did not live to go on, else 0."""
        process.suspend()
        time.sleep(self.rng.choice(STOPS_S))
        try:
            process.resume()
        except psutil.NoSuchProcess:
            return process.pid
        return 0

    def _elapsed_s(self, column: str) -> float:
        """When the newest row with a column was written; rows of lost updates disappear again."""
        return float(last_row(self.folder, column).get("elapsed_s", -1.0))

    def _recovers(self, column: str, dead: int, since: float, deadline: float) -> bool:
        self._wait(deadline, lambda: self._is_whole(dead))
        since = max(since, self._elapsed_s(column))
        return self._wait(deadline, lambda: self._elapsed_s(column) > since)

    def _is_whole(self, dead: int) -> bool:
        wanted = {kind: number for kind, (_, number) in ACTORS.items()} | dict.fromkeys(PARTS, 1)
        return all(
            sum(its.pid != dead for its in of_kind(self._launcher, kind, ready=True)) == number
            for kind, number in wanted.items()
        )


def hold(
    out: Path,
    minutes: float,
    *,
    every_s: float,
    kinds: Sequence[str],
    seed: int,
    least: int = 0,
    size: RunSize = RunSize(),  # noqa: B008 - it cannot be changed
    compare: bool = True,
) -> Campaign:
    """One undisturbed run, then disturbed ones until the time is over.

    Args:
        out: Folder for the runs, and `chaos.json`, with which a campaign goes on.
        minutes: After which nothing is killed any more.
        every_s: Mean pause between a recovery and the next kill.
        kinds: What is killed, each equally often.
        seed: Of the choice.
        least: Stop earlier, once every kind died so often; 0 does not.
        size: Of every run.
        compare: Whether to hold the undisturbed run.
    """
    result, end = Campaign.begun(out / LEFT, size), math.inf
    rng = random.Random(seed + len(result.deaths))

    def over() -> bool:
        enough = least > 0 and all(result.count(kind) >= least for kind in kinds)
        return enough or time.monotonic() > end

    def judged(name: str, kinds: Sequence[str]) -> Verdict:
        verdict = DisturbedRun(out / name, result, kinds, every_s, rng, over).run()
        print(f"{name}: {verdict}", flush=True)
        return verdict

    if compare and result.undisturbed is None:
        result.undisturbed = judged("undisturbed", ())
    end = time.monotonic() + 60 * minutes
    while not over():
        names = (f"run-{number:03d}" for number in count(len(result.verdicts)))
        name = next(name for name in names if not (out / name).exists())
        result.verdicts.append(judged(name, kinds))
        (out / LEFT).write_text(json.dumps(asdict(result), indent=2) + "\n")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if everything was recovered from and nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m awac_dist.experiments.chaos")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between kills")
    parser.add_argument("--kinds", default=",".join(KINDS), help="%(default)s")
    parser.add_argument("--least", type=int, default=0, help="end once each died so often")
    parser.add_argument("--out", type=Path, help="folder for the runs and chaos.json")
    words = parser.parse_args(argv)
    kinds = words.kinds.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"argument --kinds: {unknown[0]!r} is not one of {', '.join(KINDS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the run is ended, too
    out = words.out or Path(tempfile.mkdtemp(prefix="chaos-"))
    out.mkdir(parents=True, exist_ok=True)
    pace = {"every_s": words.every, "seed": words.seed, "least": words.least}
    done = hold(out, words.minutes, kinds=kinds, **pace)
    print(f"\n{done.table()}\n{done.closing()}\n{out / LEFT}")
    return int(not is_clean(done))


if __name__ == "__main__":
    sys.exit(main())
