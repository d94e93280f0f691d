"""The learner, whichever process it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from awac_dist.config import RunConfig
from awac_dist.errors import RunFailed
from awac_dist.learner.checkpoint import load_progress, newest_whole
from awac_dist.messages import Future, Handle, StreamState
from awac_dist.runs.phases import Training

MAX_DEATHS = 4  # in a row and with no update in between


class LearnerSupervisor:
    """Posts to the learner, and can put a new one in its place.

    Args:
        config: The run.
        start: Starts a learner that knows nothing.
        checkpoints: Folder of the checkpoints.
        wait: Gives the answer to a call, and lets the rest of the run go on meanwhile.

    Attributes:
        training: What the living learner was told to train, by its name; nothing yet.
    """

    def __init__(
        self,
        config: RunConfig,
        start: Callable[[], Handle],
        checkpoints: str,
        wait: Callable[[Future], Any],
    ) -> None:
        self._config, self._wait = config, wait
        self._start, self._checkpoints = start, checkpoints
        self._handle = start()
        self.training = ""
        self._positions: Sequence[StreamState] = ()  # of the workers' streams, sync mode only
        self._rounds: list[Sequence[StreamState]] = []  # that it was not told of
        self._deaths, self._died_at = 0, -1
        self._saving: Future | None = None
        self._opened: str | None = None  # the checkpoint that the living learner goes on from

    def train(self, training: Training) -> Future:
        """Have it begin to train a method."""
        self.training = training.name
        return self._handle.post(
            "begin",
            training.method,
            training.batch_size,
            sources=training.sources,
            adopt=training.adopt,
            goals=training.goals,
        )

    def post(self, method: str, *arguments: Any, **named: Any) -> Future:
        """Call a method that registers nothing."""
        return self._handle.post(method, *arguments, **named)

    def round_over(self, positions: Sequence[StreamState]) -> None:
        """Where the workers' streams are now that another round is whole."""
        self._positions = positions
        self._rounds.append(positions)

    def start_rounds(self, positions: Sequence[StreamState]) -> None:
        """Where the workers' streams are before another round begins."""
        self._positions, self._rounds = positions, []

    def open(self, checkpoint: str | None) -> Future:
        """Have it register what the shards hold, as a checkpoint had it."""
        self._rounds, self._opened = [self._positions], checkpoint
        return self._handle.post("open", checkpoint, self._news())

    def register(self) -> Future:
        """Have it register what is new; the answer tells all that is registered."""
        return self._handle.post("register", self._news())

    def register_everything(self) -> Future:
        """Have it register all that the shards hold, whatever the positions of the streams."""
        self._rounds = []
        return self._handle.post("register", None)

    def update(self, count: int) -> Future:
        """Register what is new and take `count` gradient steps."""
        return self._handle.post("update", count, self._news())

    def save(self, progress: Mapping[str, Any]) -> None:
        """Have a checkpoint written, once the one before it is there."""
        self.finish_saving()
        self._saving = self._handle.post("save", self._checkpoints, dict(progress), self._news())

    def finish_saving(self) -> None:
        """Wait until the checkpoint that was asked for is whole.

        Raises:
            ComponentDied: The learner did not live to write it.
        """
        if self._saving is not None:
            saving, self._saving = self._saving, None
            self._wait(saving)

    def newest(self) -> str | None:
        """Path of the newest whole checkpoint."""
        return newest_whole(self._checkpoints)

    def count_death(self, grad_steps: int, reason: str) -> None:
        """Take note that it died after so many updates.

        Raises:
            RunFailed: It died too often with no update in between.
        """
        self._deaths = self._deaths + 1 if grad_steps == self._died_at else 1
        self._died_at = grad_steps
        if self._deaths == MAX_DEATHS:
            raise RunFailed(f"the learner died {MAX_DEATHS} times in a row: {reason}")

    def begin_anew(self) -> None:
        """Put a new learner, which knows nothing, in the place of a dead one."""
        self._handle, self._saving, self.training = self._start(), None, ""

    def restart(self) -> dict[str, Any]:
        """Put a new learner in the place of one that died, with all the fragments that there are.

        Returns:
            The progress in the newest checkpoint, empty if there is none.
        """
        self.begin_anew()
        checkpoint = self.newest()
        self._wait(self.open(checkpoint))
        return load_progress(checkpoint) if checkpoint else {}

    def restore_method(self) -> Future:
        """Have the method that was begun go on where the checkpoint left it."""
        return self._handle.post("restore_method", self._opened)

    def _news(self) -> list[Sequence[StreamState]] | None:
        """Rounds that the learner was not told of; None in async mode: it registers everything."""
        rounds, self._rounds = self._rounds, []
        return rounds if self._config.mode == "sync" else None


def newest_progress(checkpoints: str, note: Callable[[str], None]) -> dict[str, Any]:
    """The progress in the newest checkpoint of a folder, empty if there is none.

    Args:
        checkpoints: The folder.
        note: Is told of checkpoints that are damaged, which are set aside.

    Raises:
        InputError: There are some, and all are damaged.
    """
    found = newest_whole(checkpoints, note)
    return load_progress(found) if found else {}
