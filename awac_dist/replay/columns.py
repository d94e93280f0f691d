"""Columns on demand: what a method may need of a transition besides the five base columns.

`NEEDS` of `replay.layout` says what each need brings, and in which shape; here is who fills it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from awac_dist.errors import NotFinite
from awac_dist.replay.episodes import Rest
from awac_dist.replay.layout import Layout
from awac_dist.replay.ring import RingBuffer
from awac_dist.types import Array

RETURNS = "returns"  # put aside for each row: to the end of its fragment
HELD_OUT_SHARE, HELD_OUT_STEPS = 0.1, 100  # of all experience, and of an episode, together


@dataclass(frozen=True)
class Taken:
    """Transitions [n] that were taken from one ring, and K steps of their episodes from there."""

    ring: RingBuffer  # that of online fragments does not begin with row 0
    layout: Layout  # of the block that is wanted
    rest: Rest  # of their episodes
    goals: Array | None  # [n, G] in hindsight, NaN where they kept their own; None: all did
    stretch: Array  # [n, K, base width] the transitions and those that follow, with those goals
    known: np.ndarray  # [n, K] which of these are known; the others hold garbage

    def block(self) -> Array:
        """The transitions [n, width] with every column that was wished for, if all are finite."""
        layout = self.layout
        block = np.full((len(self.stretch), layout.width), np.nan, np.float32)
        block[:, : layout.base_width] = self.stretch[:, 0]
        if layout.wishes.n_steps > 1:
            self._take_steps_together(block)
        columns = layout.views(block)
        for need in layout.wishes.needs:
            for name, values in COLUMNS[need](self).items():
                columns[name][:] = values
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            row = self.rest.rows[bad[0]] - self.ring.first_row
            raise NotFinite(f"the episode of row {row} holds NaN or infinity", block)
        return block

    @cached_property
    def alive(self) -> np.ndarray:
        """Which steps [n, K] are known and come before any end."""
        before_end = np.ones_like(self.known)
        discounts = self.stretch[:, :-1, self.layout.discounts]
        before_end[:, 1:] = np.logical_and.accumulate(discounts != 0, axis=1)
        return np.asarray(self.known & before_end)

    @cached_property
    def steps(self) -> np.ndarray:
        """Steps [n] that rewards, discounts and next observations span."""
        return np.asarray(self.alive[:, : self.layout.wishes.n_steps].sum(axis=1))

    def after(self, steps: np.ndarray) -> Array:
        """Transitions [n, base width] so many steps [n] on, with the goals that were stored."""
        return self.ring.take(self.rest.ahead(steps))

    @cached_property
    def last(self) -> Array:
        """The last known transitions [n, base width] of the episodes, as `after`."""
        return self.after(self.rest.remaining - 1)

    def with_goals(self, observations: Array) -> Array:
        """Observations [n, O] with the goals that their transitions got."""
        if self.goals is None:
            return observations
        observations = observations.copy()
        before = observations[:, self.layout.goals]
        observations[:, self.layout.goals] = np.where(np.isnan(self.goals), before, self.goals)
        return observations

    def _take_steps_together(self, block: Array) -> None:
        """Replace rewards, discounts and next observations by those over `n_steps` steps.

        r_0 + gamma r_1 + ..., gamma^m and the observation m steps on: m is n, or what is left to
        the end of what is known. The discount is 0 behind a true end.
        """
        layout, count = self.layout, self.layout.wishes.n_steps
        ahead = self.stretch[:, :count]
        factors = np.cumprod(ahead[:, :, layout.discounts], axis=1, dtype=np.float64)
        rewards = ahead[:, :, layout.rewards].astype(np.float64)
        rewards[:, 1:] *= factors[:, :-1]
        last = np.arange(len(block)), self.steps - 1
        block[:, layout.rewards] = np.where(self.alive[:, :count], rewards, 0).sum(axis=1)
        block[:, layout.discounts] = factors[last]
        block[:, layout.next_observations] = ahead[last][:, layout.next_observations]


def returns(taken: Taken) -> dict[str, Array]:
    """R = sum over the rest of gamma^k r_k, and gamma^K behind its K steps, 0 at a true end.

    An episode that was truncated, or goes on, is bootstrapped with its final observation:
    R + discount * V.
    """
    gamma, rest = np.float64(taken.ring.discount), taken.rest
    total = np.zeros(len(rest.rows))
    for which, rows, steps, spans in rest.legs():
        total[which] += gamma**steps * _within_fragments(taken.ring, rows, spans)
    ended = taken.last[:, taken.layout.discounts] == 0
    return {"returns": total, "return_discounts": np.where(ended, 0, gamma**rest.remaining)}


def _within_fragments(ring: RingBuffer, rows: np.ndarray, spans: np.ndarray) -> Array:
    """Returns [m] to the ends of the fragments, which are summed up when first asked for."""
    found = ring.aside(RETURNS, rows)
    missing = np.isnan(found)
    if missing.any():
        for first, length in np.unique(spans[:, missing], axis=1).T.tolist():
            held = np.arange(max(first, ring.oldest_row), first + length)
            rewards = ring.take(held)[::-1, ring.layout.rewards].tolist()
            sums = list(accumulate(rewards, lambda total, reward: reward + ring.discount * total))
            ring.put_aside(RETURNS, held[0], np.array(sums[::-1], np.float32))
        found = ring.aside(RETURNS, rows)
    return found


def final_observations(taken: Taken) -> dict[str, Array]:
    """The last observation of the episode that is known."""
    last = taken.last[:, taken.layout.next_observations]
    return {"final_observations": taken.with_goals(last)}


def initial_observations(taken: Taken) -> dict[str, Array]:
    """The first observation of the episode, or the first that is known."""
    return {"initial_observations": taken.with_goals(taken.rest.initial)}


def next_actions(taken: Taken) -> dict[str, Array]:
    """What was done in the next observation; 0 where nothing is known to have been done."""
    steps, remaining = taken.steps, taken.rest.remaining
    discounts = taken.stretch[np.arange(len(steps)), steps - 1, taken.layout.discounts]
    going_on = (steps < remaining) & (discounts != 0)
    following = taken.after(np.minimum(steps, remaining - 1))[:, taken.layout.actions]
    actions = np.where(going_on[:, None], following, 0)
    return {"next_actions": actions, "has_next_action": going_on}


def segments(taken: Taken) -> dict[str, Array]:
    """The transitions and those that follow them, H in all; 0 where the mask is 0.

    The final observation is the one behind the last of them that is there.
    """
    layout, length = taken.layout, taken.layout.wishes.segment_length
    alive = taken.alive[:, :length]
    last = taken.stretch[np.arange(len(alive)), alive.sum(axis=1) - 1]
    ahead = np.where(alive[:, :, None], taken.stretch[:, :length, : layout.row_width], 0)
    return {
        "segment_observations": ahead[:, :, layout.observations],
        "segment_actions": ahead[:, :, layout.actions],
        "segment_rewards": ahead[:, :, layout.rewards],
        "segment_discounts": ahead[:, :, layout.discounts],
        "segment_mask": alive,
        "segment_final_observations": last[:, layout.next_observations],
    }


def is_online(taken: Taken) -> dict[str, Array]:
    """1 for online experience, 0 for prior data."""
    return {"is_online": np.array(taken.ring.first_row > 0)}


def held_out(taken: Taken) -> dict[str, Array]:
    """1 for a tenth of the experience, always the same, and 0 for all else.

    Stretches of 100 steps are held out as a whole: neighbours are much alike.
    """
    stretches = (taken.rest.steps // HELD_OUT_STEPS).astype(np.uint64)
    lots = taken.rest.names + stretches * np.uint64(0x9E3779B97F4A7C15)  # wraps around
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # as SplitMix64
        lots = (lots ^ (lots >> np.uint64(shift))) * np.uint64(factor)
    lots ^= lots >> np.uint64(31)
    return {"held_out": lots < np.uint64(HELD_OUT_SHARE * 2**64)}


FILLS = (
    returns,
    final_observations,
    initial_observations,
    next_actions,
    segments,
    is_online,
    held_out,
)
COLUMNS: dict[str, Callable[[Taken], dict[str, Array]]] = {fill.__name__: fill for fill in FILLS}
