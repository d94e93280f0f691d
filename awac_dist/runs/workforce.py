"""The rollout workers by number, whichever processes they are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from awac_dist.errors import ComponentDied, RunFailed
from awac_dist.messages import Future, Handle, Placement, RolloutReport, StreamState

MAX_DEATHS = 5  # of a worker, in a row and without a report
POLL_S = 0.1


@dataclass
class _Lost:
    """An incarnation that died while it collected: the shards are asked what they have of it."""

    reported: set[tuple[int, ...]]  # keys of the fragments that it had brought itself
    incarnation: int
    answers: dict[int, Future]  # by shard
    fragments: list[Placement] = field(default_factory=list)

    @property
    def report(self) -> RolloutReport:
        """Nobody knows any more which episodes ended, and how the policy was called."""
        steps = sum(fragment.length for fragment in self.fragments)
        return RolloutReport(self.fragments, [], steps, policy_version=-1, act_s=0.0, send_s=0.0)


@dataclass
class _Worker:
    """One number, and who bears it.

    Attributes:
        handle: Who does the work now.
        incarnation: How often it was replaced.
        starting: Comes when it can be given work.
        call: What it is doing.
        reported: Keys of the fragments that this incarnation brought.
        lost: What the incarnation before it leaves behind, until that is known.
        deaths: In a row, since a call ended well.
    """

    handle: Handle
    incarnation: int
    starting: Future | None
    call: Future | None = None
    reported: set[tuple[int, ...]] = field(default_factory=set)
    lost: _Lost | None = None
    deaths: int = 0


class Workforce(Sequence[Handle]):
    """Gives work to rollout workers and puts a new one in the place of one that died.

    A new worker is given work once it says that it is ready: one that waits for a place in the
    cluster keeps nobody waiting but who needs it.

    Args:
        start: Starts a worker: f(number, incarnation).
        incarnations: Of the first ones, one for each worker. A resumed run must not use one
            again, but to go on with its stream.
        shards: Where they insert what they collect.

    Attributes:
        died: Is told of each death: f(component, reason).
    """

    def __init__(
        self,
        start: Callable[[int, int], Handle],
        incarnations: Sequence[int],
        shards: Sequence[Handle],
    ) -> None:
        self._start, self._shards = start, shards
        self.died: Callable[[str, str], None] = lambda component, reason: None
        self._workers = [self._begin(number, one) for number, one in enumerate(incarnations)]

    def __len__(self) -> int:
        return len(self._workers)

    @overload
    def __getitem__(self, number: int) -> Handle: ...
    @overload
    def __getitem__(self, number: slice) -> list[Handle]: ...
    def __getitem__(self, number: int | slice) -> Handle | list[Handle]:
        if isinstance(number, slice):
            return [worker.handle for worker in self._workers[number]]
        return self._workers[number].handle

    @property
    def incarnations(self) -> list[int]:
        """How often each was replaced."""
        return [worker.incarnation for worker in self._workers]

    def is_ready(self, number: int) -> bool:
        """Whether a worker lives and has nothing to do."""
        worker = self._workers[number]
        return worker.starting is None and worker.call is None and worker.lost is None

    def is_starting(self, number: int) -> bool:
        """Whether a worker has not started yet."""
        return self._workers[number].starting is not None

    def resume(
        self,
        streams: Iterable[StreamState],
        wait: Callable[[Future], Any],
        note: Callable[[str], None],
    ) -> None:
        """Have workers go on with their streams; one that dies is replaced once it has work.

        Args:
            streams: Of some of the workers.
            wait: Gives the answer to a call.
            note: Takes lines for the screen.
        """
        for stream in streams:
            try:
                wait(self[stream.worker].post("resume", stream))
            except ComponentDied as death:
                note(f"rollout worker {stream.worker} cannot go on: {death}")

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
            if worker.starting is not None and worker.starting in done:
                self._finish_start(number, worker.starting)
            elif worker.call is not None and worker.call in done:
                report = self._finish_call(number, worker.call)
                if report is not None:
                    yield number, report
            worker = self._workers[number]  # a new one, if that one died
            if worker.lost is not None and self._shards_have_told(number, worker.lost, done):
                lost, worker.lost = worker.lost, None
                yield number, lost.report

    def _begin(self, number: int, incarnation: int) -> _Worker:
        handle = self._start(number, incarnation)
        return _Worker(handle, incarnation, handle.post("ready"))

    def _finish_start(self, number: int, answer: Future) -> None:
        try:
            answer.result()
            self._workers[number].starting = None
        except ComponentDied as death:
            self._replace(number, death)

    def _finish_call(self, number: int, answer: Future) -> RolloutReport | None:
        """The report of a call, None if the worker died over it."""
        worker = self._workers[number]
        try:
            report: RolloutReport = answer.result()
        except ComponentDied as death:
            questions = {
                shard: self._ask(shard, number, worker.incarnation)
                for shard in range(len(self._shards))
            }
            worker.lost = _Lost(worker.reported, worker.incarnation, questions)
            self._replace(number, death)
            return None
        worker.call, worker.deaths = None, 0
        worker.reported.update(fragment.key for fragment in report.placements)
        return report

    def _replace(self, number: int, death: ComponentDied) -> None:
        old = self._workers[number]
        self.died(f"rollout worker {number}", str(death))
        if old.deaths + 1 == MAX_DEATHS:
            raise RunFailed(
                f"rollout worker {number} died {MAX_DEATHS} times in a row before it brought "
                f"anything; the last time: {death}"
            )
        new = self._begin(number, old.incarnation + 1)
        new.lost, new.deaths = old.lost, old.deaths + 1
        self._workers[number] = new

    def _ask(self, shard: int, number: int, incarnation: int) -> Future:
        return self._shards[shard].post("close_stream", number, incarnation)

    def _shards_have_told(self, number: int, lost: _Lost, done: Sequence[Future]) -> bool:
        """Whether all shards have said which fragments they had; one that died is asked again."""
        for shard, answer in [item for item in lost.answers.items() if item[1] in done]:
            del lost.answers[shard]
            try:
                places: list[Placement] = answer.result()
            except ComponentDied:
                time.sleep(POLL_S)
                lost.answers[shard] = self._ask(shard, number, lost.incarnation)
            else:
                lost.fragments += [place for place in places if place.key not in lost.reported]
        return not lost.answers
