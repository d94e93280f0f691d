"""Keeps the newest policy for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from awac_dist.messages import Future, Handle, Weights
from awac_dist.types import Array

LOOK_EVERY_S = 2.0


class WeightStore:
    """Newest publication of the policy. A plain object.

    Serial numbers are clock times, so that they also grow past those of a store that died.
    """

    def __init__(self) -> None:
        self._newest: Weights | None = None

    def publish(self, version: int, vector: Array) -> int:
        """Replace the policy; returns the serial number of the publication."""
        serial = time.time_ns()
        if self._newest is not None:
            serial = max(serial, self._newest.serial + 1)
        self._newest = Weights(serial, version, vector)
        return serial

    def pull(self, newer_than: int) -> Weights | None:
        """Newest publication, or None if its serial is not above `newer_than`."""
        if self._newest is None or self._newest.serial <= newer_than:
            return None
        return self._newest


class StoreWatch:
    """Has the policy published again where the store lost it.

    Args:
        store: The weight store.
        publish: Asks the learner to publish; None where it has nothing yet.
        done: Says which of some futures are done, without waiting.
    """

    def __init__(
        self,
        store: Handle,
        publish: Callable[[], Future | None],
        done: Callable[[Sequence[Future]], Sequence[Future]],
    ) -> None:
        self._store, self._publish, self._done = store, publish, done
        self._asked: Future | None = None
        self._publishing: Future | None = None
        self._filled = False
        self._looked = time.monotonic()

    def was_filled(self) -> None:
        """A policy was published: from now on one that holds none has lost it."""
        if not self._filled:
            self._filled, self._asked = True, None  # a look on its way may be older

    def tick(self) -> None:
        """Look now and then; to be called often.

        Raises:
            ComponentDied: The learner did not live to publish again.
        """
        if self._asked is None and time.monotonic() - self._looked > LOOK_EVERY_S:
            self._asked = self._store.post("pull", -1)
        if self._asked is not None and self._done([self._asked]):
            if self._filled and self._asked.result() is None:
                self._publishing = self._publish()
            self._asked, self._looked = None, time.monotonic()
        if self._publishing is not None and self._done([self._publishing]):
            publishing, self._publishing = self._publishing, None
            publishing.result()
