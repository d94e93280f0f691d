"""What follows a transition: steps taken together, segments, the next action."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from awac_dist.replay.columns.taken import Taken
from awac_dist.types import Array


def take_steps_together(taken: Taken, block: Array) -> None:
    """Replace rewards, discounts and next observations by those over `n_steps` steps, in place.

    r_0 + gamma r_1 + ..., gamma^m and the observation m steps on: m is n, or what is left to the
    end of what is known. The discount is 0 behind a true end.

    Args:
        taken: The transitions.
        block: [n, width]
    """
    layout, steps = taken.layout, taken.steps
    count = layout.wishes.n_steps
    ahead = taken.stretch[:, :count]
    factors = np.cumprod(ahead[:, :, layout.discounts], axis=1, dtype=np.float64)
    rewards = ahead[:, :, layout.rewards].astype(np.float64)
    rewards[:, 1:] *= factors[:, :-1]
    last = np.arange(len(block)), steps - 1
    block[:, layout.rewards] = np.where(taken.alive[:, :count], rewards, 0).sum(axis=1)
    block[:, layout.discounts] = factors[last]
    block[:, layout.next_observations] = ahead[last][:, layout.next_observations]


def segments(taken: Taken, columns: Mapping[str, Array]) -> None:
    """The transitions and those that follow them, H in all; 0 where the mask is 0."""
    layout = taken.layout
    length = layout.wishes.segment_length
    ahead, alive = taken.stretch[:, :length], taken.alive[:, :length]
    there = alive[:, :, None]
    columns["segment_observations"][:] = np.where(there, ahead[:, :, layout.observations], 0)
    columns["segment_actions"][:] = np.where(there, ahead[:, :, layout.actions], 0)
    columns["segment_rewards"][:] = np.where(alive, ahead[:, :, layout.rewards], 0)
    columns["segment_mask"][:] = alive


def next_actions(taken: Taken, columns: Mapping[str, Array]) -> None:
    """What was done in the next observation; 0 where nothing is known to have been done."""
    steps, remaining = taken.steps, taken.rest.remaining
    last = np.arange(len(steps)), steps - 1
    going_on = (steps < remaining) & (taken.stretch[last][:, taken.layout.discounts] != 0)
    following = taken.after(np.minimum(steps, remaining - 1))[:, taken.layout.actions]
    columns["next_actions"][:] = np.where(going_on[:, None], following, 0)
    columns["has_next_action"][:] = going_on
