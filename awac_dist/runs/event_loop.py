"""The one place where the driver waits: whoever has something to say is heard meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from awac_dist.errors import ComponentDied
from awac_dist.messages import Future, Handle
from awac_dist.runs.progress import Observer
from awac_dist.runs.runtime import Runtime

POLL_S = 0.25
LOOK_FOR_ROOM_EVERY_S = 5.0
LOOK_AT_STORE_EVERY_S = 2.0
LOOK_FOR_SILENCE_EVERY_S = 5.0
SILENT_S = 300.0  # a call that takes longer is told of, and again after twice the time
LAST_WORDS_S = 60.0  # for the last checkpoint, and then for the shards' files


class Stopped(Exception):  # noqa: N818 - no error: somebody asked, or a condition was met
    """The run ends early, in order; says why, and whether there is time for an evaluation."""

    def __init__(self, reason: str, *, in_a_hurry: bool = False) -> None:
        super().__init__(reason)
        self.in_a_hurry = in_a_hurry


@dataclass
class EventLoop:
    """Waits for answers, and meanwhile does what is due and looks whether the run has to end.

    Attributes:
        max_minutes: After which it ends; None: never.
        began: `time.monotonic` from which they count; None: from now on.
    """

    runtime: Runtime
    observer: Observer
    max_minutes: float | None
    stop_asked: Callable[[], bool]
    began: float | None = None

    def __post_init__(self) -> None:
        self._began = time.monotonic() if self.began is None else self.began
        self._was_met = False  # a condition to stop, once
        self._deadline: float | None = None
        self._aside: dict[Future, Callable[[Future], object]] = {}
        self._looks: dict[Callable[[], object], tuple[float, float]] = {}  # how often, when next
        self._missing = self._told = ""
        self._waited: Sequence[Future] = ()
        self._silent: dict[Future, tuple[float, float]] = {}  # seen first, to be told when
        self.every(LOOK_FOR_ROOM_EVERY_S, self._look_for_room)
        self.every(LOOK_FOR_SILENCE_EVERY_S, self._look_for_silence)

    def every(self, seconds: float, look: Callable[[], object]) -> None:
        """Have something looked at now and then."""
        self._looks[look] = seconds, time.monotonic() + seconds

    def when_done(self, future: Future, act: Callable[[Future], object]) -> None:
        """Have an answer that nobody waits for passed on once it is there."""
        self._aside[future] = act

    def wait(self, future: Future) -> Any:
        """The answer. Raises as `look` does."""
        return self.until(future).result()

    def until(self, future: Future) -> Future:
        """The future once its answer is there, for whoever goes on where that is a death.

        Raises as `look` does: a death is then that of the learner.
        """
        while not self.look([future]):
            pass
        return future

    def look(self, futures: Sequence[Future] = ()) -> list[Future]:
        """One turn of waiting: those of `futures` that are done, none if time ran out.

        Raises:
            Stopped: Somebody asked, a condition was met, or the last words take too long.
            ComponentDied: The learner, over something that nobody waits for.
            RuntimeLost: What all components run on is gone.
        """
        aside = () if self._deadline else tuple(self._aside)
        self._waited = [*futures, *aside]
        done = self.runtime.wait(self._waited, POLL_S)
        self.observer.tick()
        if not self._deadline:
            self._do_what_is_due([future for future in done if future in aside])
        self._check()
        return [future for future in done if future in futures]

    def stop(self, reason: str) -> None:
        """Have the run end, by `Stopped`, because a condition is met, unless one was already."""
        if not self._was_met:
            self._was_met = True
            raise Stopped(reason)

    def hurry(self, slowest_s: float = 0.0) -> None:
        """From now on do nothing but wait, and end waits that take too long.

        That is longer than what is before them may take: an answer that is as late as the
        slowest, on a machine that has more to do by now.
        """
        self._limit_s = LAST_WORDS_S + 2 * slowest_s
        self._deadline = time.monotonic() + self._limit_s

    def _do_what_is_due(self, done: Sequence[Future]) -> None:
        for future in done:
            if future in self._aside:  # whoever was told of one may have waited for others
                self._aside.pop(future)(future)
        for look, (seconds, due) in self._looks.items():
            if time.monotonic() >= due:
                self._looks[look] = seconds, time.monotonic() + seconds
                look()

    def _check(self) -> None:
        if self._deadline is not None:
            if time.monotonic() > self._deadline:
                raise Stopped(f"no answer within {self._limit_s:.3g} s", in_a_hurry=True)
            return
        if self.stop_asked():
            raise Stopped("asked to stop", in_a_hurry=True)
        limit = self.max_minutes
        if limit is not None and time.monotonic() - self._began > 60 * limit:
            self.stop(f"{limit:g} minutes are over")

    def _look_for_room(self) -> None:
        """Say what finds no room in the cluster; what does within two looks is not told."""
        missing, before = self.runtime.waits_for(), self._missing
        self._missing = missing
        if missing == before and missing != self._told:
            self._told = missing
            line = f"no room yet for {missing}" if missing else "everything has found room"
            self.observer.note(line)

    def _look_for_silence(self) -> None:
        """Have processes that are stopped replaced, and say who has not answered for long."""
        for line in self.runtime.end_stopped():
            self.observer.note(line)
        now = time.monotonic()
        fresh = now, now + SILENT_S
        self._silent = {future: self._silent.get(future, fresh) for future in self._waited}
        for future, (since, due) in self._silent.items():
            if now >= due:
                self._silent[future] = since, 2 * now - since
                who = self.runtime.who(future) or "a process"
                self.observer.note(f"no answer from {who} for {now - since:.0f} s")


@dataclass
class StoreWatch:
    """Has the policy published again where the weight store lost it."""

    store: Handle
    loop: EventLoop
    publish: Callable[[], object]
    _asked: bool = False

    def was_filled(self) -> None:
        """A policy was published: from now on a store that holds none has lost it."""
        self.loop.every(LOOK_AT_STORE_EVERY_S, self._look)

    def _look(self) -> None:
        if not self._asked:
            self._asked = True
            self.loop.when_done(self.store.post("pull", -1), self._found)

    def _found(self, answer: Future) -> None:
        self._asked = False
        try:
            is_empty = answer.result() is None
        except ComponentDied:  # it comes back, and is looked at again
            return
        if is_empty:
            self.publish()
