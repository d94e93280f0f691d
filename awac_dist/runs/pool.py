"""The pool of rollout workers: by number, whichever processes they are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from awac_dist.errors import ComponentDied, RunFailed
from awac_dist.messages import Future, Handle, RolloutReport, StreamState, Tally
from awac_dist.rollout.watchdog import HUNG

NO_REPETITION = "it does not do again what the log says it did: another one begins new episodes"
MAX_DEATHS = 5  # of a worker, in a row and without a report
POLL_S = 0.1


@dataclass
class _Lost:
    """An incarnation that died while it collected: the shards are asked what they have of it."""

    position: StreamState  # as far as it had reported
    answers: dict[int, Future]  # by shard
    tallies: list[Tally] = field(default_factory=list)

    def report(self, successor: StreamState) -> RolloutReport:
        """What it brought, all of it before the stream that takes its place.

        Nobody knows any more which episodes ended, and by which policy.
        """
        fragments, steps = map(sum, zip(*self.tallies, strict=True))
        return RolloutReport(fragments, [], steps, -1, act_s=0.0, send_s=0.0, stream=successor)


@dataclass
class _Worker:
    """One number, and who bears it."""

    handle: Handle  # who does the work now
    position: StreamState  # as far as it has reported
    starting: Future | None  # comes when it can be given work
    call: Future | None = None  # what it is doing
    lost: _Lost | None = None  # what its predecessor leaves behind, until that is known
    deaths: int = 0  # in a row, since a call ended well


@dataclass
class WorkerPool:
    """Gives work to rollout workers and puts a new one in the place of one that died.

    A new worker is given work once it says that it is ready: one that waits for a place in the
    cluster keeps nobody waiting but who needs it.
    """

    start: Callable[[int, int], Handle]  # starts a worker: f(number, incarnation)
    count: int
    shards: Sequence[Handle]  # where they insert what they collect
    first: int = 0  # incarnation of this session: no other session uses one from there on
    died: Callable[[str, str], None] = lambda component, reason: None  # is told of each death
    end: Callable[[Handle], object] = lambda handle: None  # ends one that is replaced, if it lives

    def __post_init__(self) -> None:
        self._workers = [self._begin(number, self.first) for number in range(self.count)]

    def __len__(self) -> int:
        return self.count

    @property
    def handles(self) -> list[Handle]:
        """Those who do the work now."""
        return [worker.handle for worker in self._workers]

    @property
    def positions(self) -> list[StreamState]:
        """Where each one's stream is, as far as it has reported."""
        return [worker.position for worker in self._workers]

    def is_ready(self, number: int) -> bool:
        """Whether a worker lives and has nothing to do."""
        worker = self._workers[number]
        return not (worker.starting or worker.call or worker.lost)

    def go_on(self, streams: Sequence[StreamState], until: Callable[[Future], object]) -> None:
        """Put workers on streams of their numbers; one that dies is replaced once it has work.

        Args:
            streams: Of some workers, none of which is busy.
            until: Waits until an answer is there.
        """
        for stream in streams:
            self._workers[stream.worker].position = stream
        for call in [self._workers[s.worker].handle.post("resume", s) for s in streams]:
            until(call)  # raises what becomes known of others meanwhile
            with suppress(ComponentDied):
                call.result()

    def fresh_streams(self) -> list[StreamState]:
        """A new stream for each worker, which none of them has used."""
        return [
            StreamState(number, self._next_incarnation(worker))
            for number, worker in enumerate(self._workers)
        ]

    def post(self, number: int, method: str, *arguments: Any) -> None:
        """Have a ready worker collect; `reports` will yield what came of it, once."""
        worker = self._workers[number]
        worker.call = worker.handle.post(method, *arguments)

    def answers(self) -> list[Future]:
        """Everything that is waited for."""
        found: list[Future | None] = []
        for worker in self._workers:
            found += [worker.starting, worker.call]
            found += worker.lost.answers.values() if worker.lost else []
        return [future for future in found if future is not None]

    def reports(self, done: Sequence[Future]) -> Iterator[tuple[int, RolloutReport]]:
        """What came of calls, by worker: of one that died, what the shards had of it.

        Args:
            done: Those of `answers` that are there.

        Raises:
            InputError: A worker cannot be built.
            RunFailed: A worker dies again and again.
        """
        for number in range(len(self)):
            worker = self._workers[number]
            answer = worker.starting or worker.call
            if answer is not None and answer in done:
                try:
                    report: RolloutReport = answer.result()
                    if worker.call is not None and not report.taken:
                        raise ComponentDied(NO_REPETITION)
                except ComponentDied as death:
                    worker = self._replace(number, death)
                else:
                    if worker.call is not None:
                        worker.call, worker.deaths = None, 0
                        worker.position = report.stream or worker.position
                        yield number, report
                    worker.starting = None
            if worker.lost is not None and self._shards_have_told(worker.lost, done):
                lost, worker.lost = worker.lost, None
                yield number, lost.report(worker.position)

    def _begin(self, number: int, incarnation: int) -> _Worker:
        handle = self.start(number, incarnation)
        return _Worker(handle, StreamState(number, incarnation), handle.post("ready"))

    def _next_incarnation(self, worker: _Worker) -> int:
        return max(worker.position.incarnation + 1, self.first)

    def _replace(self, number: int, death: ComponentDied) -> _Worker:
        """Put a new worker in the place of one that died as it started, or over a call.

        One that does not repeat itself, or could not be reached for a while, lives.
        """
        old = self._workers[number]
        if old.call is not None:
            shards = range(len(self.shards))
            old.lost = _Lost(old.position, {n: self._ask(n, old.position) for n in shards})
        self.died(f"rollout worker {number}", str(death))
        if old.deaths + 1 == MAX_DEATHS:
            raise RunFailed(
                f"rollout worker {number} died {MAX_DEATHS} times in a row before it brought "
                f"anything; the last time: {death} {HUNG}"
            )
        self.end(old.handle)  # before: the new one may need its room
        new = self._begin(number, self._next_incarnation(old))
        new.lost, new.deaths = old.lost, old.deaths + 1
        self._workers[number] = new
        return new

    def _ask(self, shard: int, position: StreamState) -> Future:
        return self.shards[shard].post("close_stream", position)

    def _shards_have_told(self, lost: _Lost, done: Sequence[Future]) -> bool:
        """Whether all shards have said what they have; one that died is asked again."""
        for shard in [shard for shard, answer in lost.answers.items() if answer in done]:
            try:
                lost.tallies.append(lost.answers.pop(shard).result())
            except ComponentDied:
                time.sleep(POLL_S)
                lost.answers[shard] = self._ask(shard, lost.position)
        return not lost.answers
