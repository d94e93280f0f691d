"""When a pause of the workers has lasted long enough: a held-out loss has stopped falling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HELD_OUT_LOSS = "actor/held_out_loss"  # of methods that can update their critics alone
CHECK_UPDATES = 1_000  # whose mean loss is compared with the best before
LEAST_FALL = 1e-3  # of the size of the best


class Pause:
    """Counts the updates of a pause, and since when their held-out loss has not fallen.

    Attributes:
        patience: Updates without a better loss that end it; None: none do.
    """

    def __init__(self) -> None:
        self.patience: int | None = None
        self._left = 0  # updates that it may still take
        self.end()

    def end(self) -> None:
        """Begin anew with the next one."""
        self._updates = self._looked_at = self._best_at = 0
        self._total = self._best = 0.0  # total: of the losses since the last look

    def begin_call(self, count: int, left: int) -> int:
        """Updates to take of so many; outside of a pause, of which none are left, it is all."""
        self._left = left
        if not left:
            self.end()
        return 0 if self._is_over() else count

    def let_off(self, count: int, means: Mapping[str, float]) -> int:
        """Updates that need not be taken any more, after so many with these mean metrics."""
        if not self._left:
            return 0
        if count and HELD_OUT_LOSS in means:
            self._look(count, means[HELD_OUT_LOSS])
        return self._left - count if self._is_over() else 0

    def _look(self, count: int, loss: float) -> None:
        self._updates += count
        self._total += count * loss
        since = self._updates - self._looked_at
        if since >= CHECK_UPDATES:
            mean, enough = self._total / since, LEAST_FALL * abs(self._best)
            if not self._looked_at or mean < self._best - enough:
                self._best, self._best_at = mean, self._updates
            self._looked_at, self._total = self._updates, 0.0

    def _is_over(self) -> bool:
        return self.patience is not None and self._updates - self._best_at >= self.patience

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, with a patience of its own."""
        vars(self).update({**state, "patience": self.patience})
