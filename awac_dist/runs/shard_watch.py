"""Counts the shards that Ray started again, which nobody else notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from awac_dist.messages import Future, Handle


class ShardWatch:
    """Tells of shards that came back.

    Args:
        shards: Whom to ask.
        died: Is told of each return: f(component, reason).
    """

    def __init__(self, shards: Sequence[Handle], died: Callable[[str, str], None]) -> None:
        self._shards, self._died = shards, died
        self._restarts = 0

    def look(self, wait: Callable[[Future], Any]) -> None:
        """Ask how often each was started again, and tell what is new.

        Args:
            wait: Gives the answer to a call.
        """
        answers = [shard.post("restarts") for shard in self._shards]
        restarts = sum(wait(answer) for answer in answers)
        for _ in range(self._restarts, restarts):
            self._died("replay shard", "it came back whole")
        self._restarts = restarts
