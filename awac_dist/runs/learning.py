"""The learner, whichever process it is in: what it was told since its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from awac_dist.config import RunConfig
from awac_dist.errors import RunFailed
from awac_dist.learner.checkpoint import list_checkpoints, load_progress, newest_whole
from awac_dist.messages import Future, Handle, Placement

MAX_DEATHS = 4  # in a row and with no update in between


class LearnerKeeper:
    """Posts to the learner, and can put a new one in its place.

    Fragments that were registered since the newest whole checkpoint are remembered here: a
    checkpoint names all others.

    Args:
        config: The run.
        start: Starts a learner that knows nothing.
        shards: Where the fragments lie.
        checkpoints: Folder of the checkpoints.

    Attributes:
        training: What the living learner was told to train: clone, awac, or nothing yet.
    """

    def __init__(
        self,
        config: RunConfig,
        start: Callable[[], Handle],
        shards: Sequence[Handle],
        checkpoints: str,
    ) -> None:
        self._config = config
        self._start, self._shards, self._checkpoints = start, shards, checkpoints
        self._handle = start()
        self.training = ""
        self._deaths, self._died_at = 0, -1
        self._weights: Mapping[str, float] = {}
        self._saving: Future | None = None
        self._since_saved: list[Placement] = []
        self._since_asked: list[Placement] = []  # to save, which is not done yet

    def train(self, what: str, demonstrations: Sequence[str]) -> Future:
        """Have it begin to train the clone of some sources, or the algorithm."""
        self.training, config = what, self._config
        if what == "clone":
            clone, size = config.clone_method, config.clone.batch_size
            return self._handle.post("begin", clone, size, sources=demonstrations)
        return self._handle.post(
            "begin",
            config.algorithm,
            config.offline.batch_size or config.learner.batch_size,
            adopt=config.clone.initialize_actor,
            goals=config.replay.goals,
        )

    def post(self, method: str, *arguments: Any, **named: Any) -> Future:
        """Call a method that registers nothing."""
        return self._handle.post(method, *arguments, **named)

    def add(self, placements: Sequence[Placement]) -> Future:
        """Register fragments, in an order that matters."""
        self._since_asked += placements
        return self._handle.post("add", placements)

    def update(self, count: int, placements: Sequence[Placement] = ()) -> Future:
        """Register new fragments and take `count` gradient steps."""
        self._since_asked += placements
        return self._handle.post("update", count, placements)

    def set_weights(self, weights: Mapping[str, float]) -> Future:
        """Draw the transitions of some sources more often than others."""
        self._weights = weights
        return self._handle.post("set_weights", weights)

    def save(self, progress: Mapping[str, Any]) -> None:
        """Have a checkpoint written, once the one before it is there."""
        self.finish_saving()
        self._since_saved += self._since_asked
        self._since_asked = []
        self._saving = self._handle.post("save", self._checkpoints, dict(progress))

    def finish_saving(self) -> None:
        """Wait until the checkpoint that was asked for is whole.

        Raises:
            ComponentDied: The learner did not live to write it.
        """
        if self._saving is not None:
            self._saving.result()
            self._saving, self._since_saved = None, []

    def newest(self) -> str | None:
        """Path of the newest whole checkpoint."""
        found = list_checkpoints(self._checkpoints)
        return found[-1] if found else None

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
        """Put a new learner, to which everything will be told again, in the place of a dead one."""
        self._handle, self._saving, self.training = self._start(), None, ""
        self._since_saved, self._since_asked = [], []

    def restart(self) -> dict[str, Any]:
        """Put a new learner in the place of one that died, with all the fragments that it knew.

        Returns:
            The progress in the newest checkpoint, empty if there is none.
        """
        since = [*self._since_saved, *self._since_asked]
        self._handle, self._saving, self.training = self._start(), None, ""
        self._since_saved, self._since_asked = [], since
        self.set_weights(self._weights)
        checkpoint = self.newest()
        if checkpoint is None:
            self._handle.post("add", since).result()
            return {}
        unknown = {(fragment.source, fragment.key) for fragment in self.restore_replay(checkpoint)}
        missing = [fragment for fragment in since if (fragment.source, fragment.key) in unknown]
        self._handle.post("add", missing).result()
        return load_progress(checkpoint)

    def restore_replay(self, checkpoint: str) -> list[Placement]:
        """Have the learner draw from the fragments of a checkpoint; returns all other fragments."""
        answers = [shard.post("placements") for shard in self._shards]
        places = [place for answer in answers for place in answer.result()]
        others: list[Placement] = self._handle.post("restore_replay", checkpoint, places).result()
        return others

    def restore_method(self) -> None:
        """Have the method that was begun go on where the newest checkpoint left it."""
        self._handle.post("restore_method", self.newest()).result()


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
