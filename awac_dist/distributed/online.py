"""The online phase: collects and learns at once, inside the bounds of the rate limiter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from awac_dist.config import RunConfig
from awac_dist.distributed.rate_limiter import RateLimiter
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Future, Handle, RolloutReport, Segment, UpdateReport


class Control(Protocol):
    """What the loop needs of the driver."""

    calls_ahead: int

    @property
    def limiter(self) -> RateLimiter: ...
    def look(self, futures: Sequence[Future]) -> list[Future]: ...
    def learned(self, report: UpdateReport) -> None: ...
    def collected(self, report: RolloutReport) -> None: ...


@dataclass
class _Round:
    """Workers that collect together; what they bring is registered in worker order."""

    workers: list[int]
    pending: dict[int, Future] = field(default_factory=dict)
    reports: dict[int, RolloutReport] = field(default_factory=dict)


class OnlineLoop:
    """One online phase.

    Args:
        control: The driver.
        config: The run. In sync mode all workers are one round, in async mode each is its own.
        learner: Who updates.
        workers: Who collects.
    """

    def __init__(
        self, control: Control, config: RunConfig, learner: Handle, workers: Sequence[Handle]
    ) -> None:
        self._control, self._config = control, config
        self._learner, self._workers = learner, workers
        everyone = list(range(len(workers)))
        groups = [everyone] if config.mode == "sync" else [[worker] for worker in everyone]
        self._idle = deque(groups)
        self._rounds: list[_Round] = []
        self._updates: deque[Future] = deque()
        self._fresh: list[Segment] = []  # pieces that the learner does not know yet
        self._steps_left = config.online.env_steps

    def run(self) -> None:
        """Go on until every step is taken and every update that is owed is done."""
        limiter = self._control.limiter
        while self._steps_left or self._rounds or self._updates or limiter.updates_due():
            self._start_rounds()
            self._start_updates()
            done = self._control.look([*self._updates, *self._answers()])
            self._finish_updates(done)
            self._finish_rounds(done)

    def _start_rounds(self) -> None:
        while self._idle and self._steps_left and self._control.limiter.may_collect():
            round_ = _Round(self._idle.popleft())
            for worker, steps in zip(round_.workers, self._shares(round_), strict=True):
                if steps:
                    handle = self._workers[worker]
                    round_.pending[worker] = handle.post("collect_steps", steps, "online", ONLINE)
            self._rounds.append(round_)

    def _shares(self, round_: _Round) -> list[int]:
        """Steps of each worker's environments: whole fragments, or what is left of the phase."""
        envs, members = self._config.rollout.envs_per_worker, len(round_.workers)
        wanted = min(self._steps_left // envs, members * self._config.rollout.fragment_steps)
        each, more = divmod(wanted, members)
        self._steps_left -= wanted * envs
        self._control.limiter.collecting += wanted * envs
        return [each + (member < more) for member in range(members)]

    def _start_updates(self) -> None:
        limiter = self._control.limiter
        while limiter.updates_due() and len(self._updates) < self._control.calls_ahead:
            count = min(self._config.learner.updates_per_call, limiter.updates_due())
            self._updates.append(self._learner.post("update", count, self._fresh))
            self._fresh = []
            limiter.posted += count

    def _answers(self) -> Iterator[Future]:
        for round_ in self._rounds:
            yield from round_.pending.values()

    def _finish_updates(self, done: Sequence[Future]) -> None:
        while self._updates and self._updates[0] in done:
            report: UpdateReport = self._updates.popleft().result()
            self._control.limiter.finished += report.updates
            self._control.learned(report)

    def _finish_rounds(self, done: Sequence[Future]) -> None:
        for round_ in list(self._rounds):
            for worker, answer in list(round_.pending.items()):
                if answer in done:
                    round_.reports[worker] = round_.pending.pop(worker).result()
            if not round_.pending:
                self._rounds.remove(round_)
                self._idle.append(round_.workers)
                for worker in sorted(round_.reports):
                    self._register(round_.reports[worker])

    def _register(self, report: RolloutReport) -> None:
        self._control.limiter.arrived(report.env_steps)
        self._fresh += report.segments
        self._control.collected(report)
