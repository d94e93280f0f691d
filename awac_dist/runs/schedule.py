"""When to collect and when to update, from how much of both was done; no schedule keeps counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Says what may be asked for, and what is owed."""

    def room(self, steps: int, updates: int) -> int:
        """Steps that may be asked for, after so many that were, and so many updates done."""
        ...

    def updates_due(self, steps: int, updates: int) -> int:
        """Updates that are owed for the steps inserted, besides those done or asked for."""
        ...


@dataclass(frozen=True)
class RateLimiter:
    """Reverb's law: updates follow insertions within a bound.

    Holds 0 <= ratio x inserted - updates, and lets it grow only up to `buffer` updates and what
    the steps of one grant are worth. Prior data and offline updates never count.

    A buffer of 0 makes collecting and learning take turns.
    """

    ratio: float  # updates owed for each inserted step; 0 only collects
    buffer: float = 0.0  # updates that may be owed when a worker starts to collect

    def room(self, steps: int, updates: int) -> int:
        return sys.maxsize if self._owed(steps) - updates <= self.buffer else 0

    def updates_due(self, steps: int, updates: int) -> int:
        return self._owed(steps) - updates

    def _owed(self, steps: int) -> int:
        return int(self.ratio * steps + 1e-9)


@dataclass(frozen=True)
class OnPolicy:
    """Rounds: so many steps with one policy, then so many updates."""

    steps: int
    updates: int

    def room(self, steps: int, updates: int) -> int:
        return (updates // self.updates + 1) * self.steps - steps

    def updates_due(self, steps: int, updates: int) -> int:
        return steps // self.steps * self.updates - updates


@dataclass(frozen=True)
class UpdatesAlone:
    """So many updates, and nothing is collected."""

    total: int

    def room(self, steps: int, updates: int) -> int:
        return 0

    def updates_due(self, steps: int, updates: int) -> int:
        return self.total - updates


FROZEN = RateLimiter(0.0)  # collect, and leave the policy as it is
