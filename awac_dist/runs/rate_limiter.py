"""Reverb's law: updates follow insertions within a bound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RateLimiter:
    """Holds 0 <= ratio x inserted - updates, and lets it grow only up to a bound.

    The bound is `buffer` updates and what the steps of one grant are worth. Prior data and
    offline updates never count. The counts belong into a checkpoint, the settings do not.

    Attributes:
        ratio: Updates owed for each inserted step.
        buffer: Updates by which the learner may be behind when a worker starts to collect;
            0 makes collecting and learning take turns.
        collecting: Steps that workers were asked for and that are not inserted yet.
        inserted: Steps that the replay accepted.
        posted: Updates that the learner was asked for.
        finished: Updates that it has done.
    """

    ratio: float
    buffer: float
    collecting: int = 0
    inserted: int = 0
    posted: int = 0
    finished: int = 0

    def may_collect(self) -> bool:
        """Whether the learner is close enough behind for more steps to be taken."""
        return self._owed(self.inserted + self.collecting) - self.finished <= self.buffer

    def updates_due(self) -> int:
        """Updates that are owed and not asked for yet."""
        return self._owed(self.inserted) - self.posted

    def arrived(self, steps: int) -> None:
        """Steps that were asked for are in the replay."""
        self.collecting -= steps
        self.inserted += steps

    def give_back(self, steps: int) -> None:
        """Steps that were asked for will not come."""
        self.collecting -= steps

    def _owed(self, steps: int) -> int:
        return int(self.ratio * steps + 1e-9)
