"""When to collect and when to update, from how much of both was done; no schedule keeps counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Says what may be asked for, and what is owed."""

    def room(self, steps: int, updates: int) -> int:
        """Steps that may be asked for.

        Args:
            steps: Inserted, or asked for.
            updates: Done.
        """
        ...

    def updates_due(self, steps: int, updates: int) -> int:
        """Updates that are owed and not asked for yet.

        Args:
            steps: Inserted.
            updates: Done, or asked for.
        """
        ...


@dataclass(frozen=True)
class RateLimiter:
    """Reverb's law: updates follow insertions within a bound.

    Holds 0 <= ratio x inserted - updates, and lets it grow only up to `buffer` updates and what
    the steps of one grant are worth. Prior data and offline updates never count.

    Attributes:
        ratio: Updates owed for each inserted step; 0 only collects.
        buffer: Updates by which the learner may be behind when a worker starts to collect;
            0 makes collecting and learning take turns.
    """

    ratio: float
    buffer: float = 0.0

    def room(self, steps: int, updates: int) -> int:
        return sys.maxsize if self._owed(steps) - updates <= self.buffer else 0

    def updates_due(self, steps: int, updates: int) -> int:
        return self._owed(steps) - updates

    def _owed(self, steps: int) -> int:
        return int(self.ratio * steps + 1e-9)


@dataclass(frozen=True)
class OnPolicy:
    """Rounds: so many steps with one policy, then so many updates.

    Attributes:
        steps: Of a round.
        updates: That follow it.
    """

    steps: int
    updates: int

    def room(self, steps: int, updates: int) -> int:
        return (updates // self.updates + 1) * self.steps - steps

    def updates_due(self, steps: int, updates: int) -> int:
        return steps // self.steps * self.updates - updates


FROZEN = RateLimiter(0.0)  # collect, and leave the policy as it is
