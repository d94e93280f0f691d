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

    def lost(self, steps: int, updates: int) -> int:
        """Updates to let off: nobody has the policies any more whose steps they would be for."""
        return 0

    def stretch(self, updates: int) -> tuple[int, bool]:
        """How many updates of one kind come next, and whether they are of the critics alone."""
        return sys.maxsize, False


@dataclass(frozen=True)
class RateLimiter(Schedule):
    """Reverb's law: updates follow insertions within a bound.

    Holds 0 <= ratio x inserted - updates, and lets it grow only up to `buffer` updates and what
    the steps of one grant are worth. Prior data and offline updates never count.

    A buffer of 0 makes collecting and learning take turns.
    """

    ratio: float  # updates owed for each inserted step; 0 only collects
    buffer: float = 0.0  # updates that may be owed when a worker starts to collect

    def room(self, steps: int, updates: int) -> int:
        return sys.maxsize if self.allows(self.updates_due(steps, updates)) else 0

    def updates_due(self, steps: int, updates: int) -> int:
        return self.owed(steps) - updates

    def owed(self, steps: int) -> int:
        """Updates that follow so many steps, in all."""
        return int(self.ratio * steps + 1e-9)

    def allows(self, owed: int) -> bool:
        """Whether a worker may start to collect while so many updates are owed."""
        return owed <= self.buffer


@dataclass(frozen=True)
class OnPolicy(Schedule):
    """Rounds: so many steps with one policy, then so many updates.

    Steps beyond the round of the policy as it is are of later ones, which a dead learner took with
    it: nothing is learned from them, and a whole new round follows.
    """

    steps: int
    updates: int

    def room(self, steps: int, updates: int) -> int:
        return (updates // self.updates + 1) * self.steps - steps

    def updates_due(self, steps: int, updates: int) -> int:
        return steps // self.steps * self.updates - updates

    def lost(self, steps: int, updates: int) -> int:
        begun = -(-steps // self.steps)
        return begun * self.updates - updates if self.room(steps, updates) < 0 else 0


@dataclass(frozen=True)
class Pauses(Schedule):
    """A rate limiter, and a pause of the workers after each so many steps.

    A round of updates is what the limiter owes for these steps, and then up to so many of the
    critics alone. Those that a pause was let off count as done.
    """

    limiter: RateLimiter
    steps: int
    updates: int  # of a pause

    def room(self, steps: int, updates: int) -> int:
        left = (updates // self._round + 1) * self.steps - steps
        return left if self.limiter.allows(self.updates_due(steps, updates)) else 0

    def updates_due(self, steps: int, updates: int) -> int:
        rounds, rest = divmod(steps, self.steps)
        return rounds * self._round + self.limiter.owed(rest) - updates

    def stretch(self, updates: int) -> tuple[int, bool]:
        done, usual = updates % self._round, self._round - self.updates
        return (usual - done, False) if done < usual else (self._round - done, True)

    @property
    def _round(self) -> int:
        return self.limiter.owed(self.steps) + self.updates


@dataclass(frozen=True)
class UpdatesAlone(Schedule):
    """So many updates, and nothing is collected."""

    total: int

    def room(self, steps: int, updates: int) -> int:
        return 0

    def updates_due(self, steps: int, updates: int) -> int:
        return self.total - updates


FROZEN = RateLimiter(0.0)  # collect, and leave the policy as it is
