"""The one loop of all phases: collects episodes or steps, updates, or does both."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from awac_dist.errors import ComponentDied
from awac_dist.messages import Future, RolloutReport, UpdateReport
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.schedule import Schedule
from awac_dist.types import Kind

if TYPE_CHECKING:
    from awac_dist.runs.driver import Driver

EPISODES_PER_CALL = 2  # few, so that progress shows
CALLS_AHEAD = 2  # update calls that the learner has before it, so that it never waits for us;
# one in sync mode, where an evaluation must find the weights of the call that made it due


@dataclass(frozen=True)
class Order:
    """What a phase is to bring."""

    unit: str  # whole "episodes", "env_steps", or "updates", where nothing is collected
    total: int  # how many of them the run shall have
    kind: Kind = "prior"  # of the fragments
    source: str = ""  # that they are registered under
    per_call: int = EPISODES_PER_CALL  # or steps of each environment
    envs: int = 1  # of a worker, which step side by side

    @property
    def collects(self) -> bool:
        """Whether workers have something to do."""
        return self.unit != "updates"

    def post(self, workers: WorkerPool, number: int, units: int) -> None:
        """Have a worker collect some."""
        if self.unit == "episodes":
            workers.post(number, "collect_episodes", units, self.kind, self.source)
        else:
            envs = min(units, self.envs)
            workers.post(number, "collect_steps", units // envs, self.kind, self.source, envs)

    def shares(self, units: int, workers: int) -> list[int]:
        """Units that each of some workers is asked for: whole calls, or what is left of them."""
        if units < self.envs:  # some died, and had sent some environments' steps
            return [units] + [0] * (workers - 1)
        each, more = divmod(min(units // self.envs, workers * self.per_call), workers)
        return [self.envs * (each + (number < more)) for number in range(workers)]


class Counts(NamedTuple):
    """How far a phase is."""

    done: int  # in units of the order
    steps: int  # that updates are owed for
    updates: int


class _Call(NamedTuple):
    """Updates that the learner was asked for."""

    answer: Future
    updates: int
    since_s: float


@dataclass
class _Round:
    """Workers that collect together; what they bring is registered in worker order."""

    workers: list[int]
    asked: dict[int, int]  # units, by worker
    reports: dict[int, RolloutReport] = field(default_factory=dict)


@dataclass
class Collecting:
    """Collects until there is enough, and updates as the schedule has it.

    Workers that take turns with the learner form one round (`together`), which waits until each of
    them has started; else each is a round of its own, and one that has no place in the cluster
    keeps nobody waiting. The driver (`control`) keeps the counts.
    """

    control: Driver
    workers: WorkerPool
    order: Order
    schedule: Schedule
    together: bool
    updates_per_call: int = 1

    def __post_init__(self) -> None:
        self._calls_ahead = 1 if self.together else CALLS_AHEAD
        everyone = list(range(len(self.workers)))
        self._idle = [everyone] if self.together else [[worker] for worker in everyone]
        self._rounds: list[_Round] = []
        self._updates: deque[_Call] = deque()
        self.slowest_s = 0.0  # from a call to its answer, with those before it
        self._pauses = False  # whether the last of these is of the critics alone

    def run(self) -> None:
        """Go on until all is collected and every update that is owed is done.

        It can be called again with a new learner after one died.
        """
        self._updates.clear()
        while self._left() or self._rounds or self._updates or self._updates_due():
            if not self._lost():
                self._start_rounds()
                self._start_updates()
            elif not self._rounds and not self._updates:
                self._let_off()
                continue
            calls = [call.answer for call in self._updates]
            done = self.control.look([*calls, *self.workers.answers()])
            self._finish_updates(done)
            self._finish_rounds(done)

    def hear_out(self) -> None:
        """Take note of updates that were asked for, where nothing else is waited for any more."""
        with suppress(ComponentDied):  # of a learner that was replaced
            while self._updates:
                self.control.heard(self.control.wait(self._updates.popleft().answer))

    def _under_way(self) -> int:
        return sum(sum(round_.asked.values()) for round_ in self._rounds)

    def _asked(self) -> int:
        return sum(call.updates for call in self._updates)

    def _left(self) -> int:
        return max(0, self.order.total - self.control.counts().done - self._under_way())

    def _updates_due(self) -> int:
        counts = self.control.counts()
        asked = counts.updates + self._asked()
        return max(0, self.schedule.updates_due(counts.steps, asked))  # a resumed run may ask less

    def _lost(self) -> int:
        counts = self.control.counts()
        return self.schedule.lost(counts.steps + self._under_way(), counts.updates)

    def _let_off(self) -> None:
        """Make no updates for what is lost; it is registered before what follows."""
        self.control.learner.register()
        lost = self._lost()
        self.control.progress.let_off += lost
        self.control.observer.note(
            f"{lost:,} updates are not made: the policies that collected for them are lost"
        )

    def _start_rounds(self) -> None:
        for workers in list(self._idle):
            counts = self.control.counts()
            room = self.schedule.room(counts.steps + self._under_way(), counts.updates)
            units = min(self._left(), room)
            if units <= 0:
                return
            if all(self.workers.is_ready(worker) for worker in workers):
                self._idle.remove(workers)
                self._rounds.append(self._begin(workers, units))

    def _begin(self, workers: list[int], units: int) -> _Round:
        shares = zip(workers, self.order.shares(units, len(workers)), strict=True)
        asked = {worker: share for worker, share in shares if share}
        for worker, share in asked.items():
            self.order.post(self.workers, worker, share)
        return _Round(workers, asked)

    def _start_updates(self) -> None:
        while (due := self._updates_due()) and len(self._updates) < self._calls_ahead:
            if self._updates and self._pauses:  # which may let off what comes then
                return
            asked = self.control.counts().updates + self._asked()
            left, self._pauses = self.schedule.stretch(asked)
            count = min(self.updates_per_call, due, left)
            answer = self.control.update(count, left if self._pauses else 0)
            self._updates.append(_Call(answer, count, time.monotonic()))

    def _finish_updates(self, done: Sequence[Future]) -> None:
        while self._updates and self._updates[0].answer in done:
            call = self._updates.popleft()
            report: UpdateReport = call.answer.result()
            self.slowest_s = max(self.slowest_s, time.monotonic() - call.since_s)
            self.control.learned(report)

    def _finish_rounds(self, done: Sequence[Future]) -> None:
        for worker, report in self.workers.reports(done):
            round_ = next(round_ for round_ in self._rounds if worker in round_.asked)
            round_.reports[worker] = report
            if len(round_.reports) == len(round_.asked):
                self._rounds.remove(round_)
                self._idle.append(round_.workers)
                for member in sorted(round_.reports):
                    self.control.collected(round_.reports[member])
                self.control.round_over()
