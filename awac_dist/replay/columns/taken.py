"""What columns are filled from: transitions with the steps that follow them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from awac_dist.replay.episodes import Rest
from awac_dist.replay.layout import Layout
from awac_dist.replay.ring import RingBuffer
from awac_dist.types import Array


@dataclass(frozen=True)
class Taken:
    """Transitions [n] that were taken from one ring, and K steps of their episodes from there on.

    Attributes:
        ring: Where they lie.
        layout: Columns of a block.
        online: Whether it is the ring of online fragments.
        rest: What is known of their episodes.
        goals: [n, G] that they got in hindsight, NaN where they kept their own; None: all did.
        stretch: [n, K, base width] the transitions and those that follow, with those goals.
        alive: [n, K] which of these are known and before any end; the others hold garbage.
    """

    ring: RingBuffer
    layout: Layout
    online: bool
    rest: Rest
    goals: Array | None
    stretch: Array
    alive: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """Steps [n] that rewards, discounts and next observations span."""
        return np.asarray(self.alive[:, : self.layout.wishes.n_steps].sum(axis=1))

    def after(self, steps: np.ndarray) -> Array:
        """Transitions [n, base width] so many steps [n] on, with the goals that were stored."""
        return self.ring.take(self.rest.ahead(steps))

    def with_goals(self, observations: Array) -> Array:
        """Observations [n, O] with the goals that their transitions got."""
        if self.goals is None:
            return observations
        observations = observations.copy()
        before = observations[:, self.layout.goals]
        observations[:, self.layout.goals] = np.where(np.isnan(self.goals), before, self.goals)
        return observations


def alive(known: np.ndarray, discounts: Array) -> np.ndarray:
    """Which steps [n, K] are known and come before any end, given the discounts [n, K]."""
    before_end = np.ones_like(known)
    before_end[:, 1:] = np.logical_and.accumulate(discounts[:, :-1] != 0, axis=1)
    return np.asarray(known & before_end)
