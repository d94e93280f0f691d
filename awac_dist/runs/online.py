"""The online phase: collects and learns at once, inside the bounds of the rate limiter."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from awac_dist.config import RunConfig
from awac_dist.messages import Future, Placement, RolloutReport, UpdateReport
from awac_dist.replay.sampler import ONLINE
from awac_dist.runs.rate_limiter import RateLimiter
from awac_dist.runs.workforce import Workforce


class Control(Protocol):
    """What the loop needs of the driver."""

    calls_ahead: int

    @property
    def limiter(self) -> RateLimiter: ...
    def look(self, futures: Sequence[Future]) -> list[Future]: ...
    def learned(self, report: UpdateReport) -> None: ...
    def collected(self, report: RolloutReport) -> None: ...


class Updater(Protocol):
    """What the loop needs of the learner."""

    def update(self, count: int, placements: Sequence[Placement]) -> Future: ...


@dataclass
class _Round:
    """Workers that collect together; what they bring is registered in worker order."""

    workers: list[int]
    asked: dict[int, int] = field(default_factory=dict)  # env_steps, by worker
    reports: dict[int, RolloutReport] = field(default_factory=dict)


class OnlineLoop:
    """One online phase.

    In sync mode all workers are one round, so a round waits until each of them has started; in
    async mode each is its own, and one that has no place in the cluster keeps nobody waiting.

    Args:
        control: The driver.
        config: The run.
        learner: Who updates.
        workers: Who collects.
    """

    def __init__(
        self, control: Control, config: RunConfig, learner: Updater, workers: Workforce
    ) -> None:
        self._control, self._config = control, config
        self._learner, self._workers = learner, workers
        everyone = list(range(len(workers)))
        self._idle = [everyone] if config.mode == "sync" else [[worker] for worker in everyone]
        self._rounds: list[_Round] = []
        self._updates: deque[Future] = deque()
        self._fresh: list[Placement] = []  # fragments that the learner does not know yet
        self._steps_left = max(0, config.online.env_steps - control.limiter.inserted)

    def run(self) -> None:
        """Go on until every step is taken and every update that is owed is done.

        It can be called again with a new learner after one died.
        """
        limiter = self._control.limiter
        self._updates.clear()
        while self._steps_left or self._rounds or self._updates or limiter.updates_due():
            self._start_rounds()
            self._start_updates()
            done = self._control.look([*self._updates, *self._workers.answers()])
            self._finish_updates(done)
            self._finish_rounds(done)

    def _start_rounds(self) -> None:
        for workers in list(self._idle):
            if not (self._steps_left and self._control.limiter.may_collect()):
                return
            if all(self._workers.is_ready(worker) for worker in workers):
                self._idle.remove(workers)
                self._rounds.append(self._begin(workers))

    def _begin(self, workers: list[int]) -> _Round:
        """Ask for whole fragments, or for what is left of the phase."""
        envs, fragment = self._config.rollout.envs_per_worker, self._config.rollout.fragment_steps
        round_ = _Round(workers)
        if self._steps_left < envs:  # some died, and had sent some environments' steps
            self._ask(round_, workers[0], 1, self._steps_left)
            return round_
        each, more = divmod(min(self._steps_left // envs, len(workers) * fragment), len(workers))
        for member, worker in enumerate(workers):
            if steps := each + (member < more):
                self._ask(round_, worker, steps, envs)
        return round_

    def _ask(self, round_: _Round, worker: int, steps: int, envs: int) -> None:
        self._workers.post(worker, "collect_steps", steps, "online", ONLINE, envs)
        round_.asked[worker] = steps * envs
        self._steps_left -= steps * envs
        self._control.limiter.collecting += steps * envs

    def _start_updates(self) -> None:
        limiter = self._control.limiter
        while limiter.updates_due() and len(self._updates) < self._control.calls_ahead:
            count = min(self._config.learner.updates_per_call, limiter.updates_due())
            self._updates.append(self._learner.update(count, self._fresh))
            self._fresh = []
            limiter.posted += count

    def _finish_updates(self, done: Sequence[Future]) -> None:
        while self._updates and self._updates[0] in done:
            report: UpdateReport = self._updates.popleft().result()
            self._control.limiter.finished += report.updates
            self._control.learned(report)

    def _finish_rounds(self, done: Sequence[Future]) -> None:
        for worker, report in self._workers.reports(done):
            round_ = next(round_ for round_ in self._rounds if worker in round_.asked)
            round_.reports[worker] = report
            if len(round_.reports) == len(round_.asked):
                self._rounds.remove(round_)
                self._idle.append(round_.workers)
                for member in sorted(round_.reports):
                    self._register(round_.reports[member], round_.asked[member])

    def _register(self, report: RolloutReport, asked: int) -> None:
        """Take in what a call brought; what a worker that died did not is asked for again."""
        lost = asked - report.env_steps
        self._steps_left += lost
        self._control.limiter.give_back(lost)
        self._control.limiter.arrived(report.env_steps)
        self._fresh += report.placements
        self._control.collected(report)


def error_buffer(config: RunConfig, workers: int) -> float:
    """Updates by which the learner may be behind when a worker starts to collect."""
    online, rollout = config.online, config.rollout
    if config.mode == "sync":
        return 0.0
    if online.error_buffer is not None:
        return online.error_buffer
    return online.updates_per_step * rollout.fragment_steps * rollout.envs_per_worker * workers
