"""The learner, whichever process it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from awac_dist.errors import InputError, RunFailed, first_line
from awac_dist.learner.checkpoint import load_progress, newest_whole
from awac_dist.messages import Future, Handle, Holdings, StreamState
from awac_dist.runs.event_loop import EventLoop
from awac_dist.runs.phases import Training

MAX_DEATHS = 4  # in a row and with no update in between


class LearnerSupervisor:
    """Calls the learner, and can put a new one, which knows nothing, in its place.

    In sync mode (`in_rounds`) it registers what workers bring round by round.

    Attributes:
        training: What the living learner trains, by its name; empty before that.
    """

    def __init__(
        self, start: Callable[[], Handle], checkpoints: str, loop: EventLoop, *, in_rounds: bool
    ) -> None:
        self._start, self._checkpoints = start, checkpoints
        self._loop, self._in_rounds = loop, in_rounds
        self._rounds: list[Sequence[StreamState]] = []  # where streams were; it was not told yet
        self._deaths, self._died_at = 0, -1
        self._opened: str | None = None  # the checkpoint that the living learner goes on from
        self._begin()

    def begin_anew(self) -> None:
        """Put a learner that knows nothing in the place of one that died."""
        self._loop.runtime.end(self._handle)  # it lives, and keeps its GPU, where a shard died
        self._begin()

    def _begin(self) -> None:
        self._handle, self.training = self._start(), ""
        self._saving: Future | None = None

    def post(self, method: str, *arguments: Any, **named: Any) -> Future:
        """Call a method that registers nothing."""
        return self._handle.post(method, *arguments, **named)

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The same, and wait for its answer."""
        return self._loop.wait(self.post(method, *arguments, **named))

    def call_aside(self, method: str) -> None:
        """The same, and let nobody wait for it: the event loop raises what it brings."""
        handle = self._handle

        def hear(answer: Future) -> None:
            if handle is self._handle:  # the death of one that was replaced is known
                answer.result()

        self._loop.when_done(self.post(method), hear)

    def train(self, training: Training, *, go_on: bool) -> None:
        """Have it begin to train a method, or go on where the checkpoint left it."""
        self.training = "" if go_on else training.name  # what goes on is not saved before it does
        checkpoint = self._opened if go_on else None
        self.call("begin", training.method, **training.options, checkpoint=checkpoint)
        self.training = training.name

    def round_over(self, positions: Sequence[StreamState]) -> None:
        """Where the workers' streams are now that another round is whole."""
        self._rounds.append(positions)

    def open(self, checkpoint: str | None, positions: Sequence[StreamState]) -> Holdings:
        """Have it register what the shards hold up to there, as a checkpoint had it."""
        self._rounds, self._opened = [positions], checkpoint
        return self.call("open", checkpoint, self._news())

    def register(self, *, everything: bool = False) -> Holdings:
        """Have it register what is new, or all that there is, wherever the streams are."""
        news = self._news()
        return self.call("register", None if everything else news)

    def update(self, count: int, pause: int = 0) -> Future:
        """Register what is new and take `count` gradient steps, of a pause with so many left."""
        return self._handle.post("update", count, self._news(), pause)

    def save(self, progress: Mapping[str, Any]) -> None:
        """Have a checkpoint written, once the one before it is there."""
        self.finish_saving()
        self._saving = self._handle.post("save", self._checkpoints, dict(progress), self._news())

    def finish_saving(self) -> None:
        """Wait until the checkpoint that was asked for, if one was, is whole."""
        if self._saving is not None:
            saving, self._saving = self._saving, None
            self._loop.wait(saving)

    def count_death(self, grad_steps: int, reason: str) -> None:
        """Take note that it died after so many updates.

        Raises:
            RunFailed: It died too often with no update in between.
        """
        self._deaths = self._deaths + 1 if grad_steps == self._died_at else 1
        self._died_at = grad_steps
        if self._deaths == MAX_DEATHS:
            raise RunFailed(f"the learner died {MAX_DEATHS} times in a row: {reason}")

    def left(self) -> str:
        """What a run that cannot go on says of what is left of it."""
        try:
            newest = newest_whole(self._checkpoints)
        except (InputError, OSError) as error:
            return f"there is no good checkpoint: {first_line(error)}"
        return f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"

    def restart(self, positions: Sequence[StreamState]) -> dict[str, Any]:
        """Put a new learner in the place of one that died, with all the fragments up to there.

        Returns the progress in the newest checkpoint, empty if there is none.
        """
        self.begin_anew()
        checkpoint = newest_whole(self._checkpoints)
        self.open(checkpoint, positions)
        return load_progress(checkpoint) if checkpoint else {}

    def _news(self) -> list[Sequence[StreamState]] | None:
        """Rounds that the learner was not told of; None in async mode: it registers everything."""
        rounds, self._rounds = self._rounds, []
        return rounds if self._in_rounds else None
