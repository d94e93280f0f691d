"""Returns to go: the discounted rewards of the rest of an episode, as far as it is known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import numpy as np

from awac_dist.replay.columns.taken import Taken
from awac_dist.replay.episodes import Leg
from awac_dist.types import Array

ASIDE = "returns"  # of each row, to the end of its fragment


def returns(taken: Taken, columns: Mapping[str, Array]) -> None:
    """R = sum over the rest of gamma^k r_k, and gamma^K behind its K steps, 0 at a true end.

    An episode that was truncated, or goes on, is bootstrapped with its final observation:
    R + discount * V.
    """
    gamma, rest = np.float64(taken.ring.discount), taken.rest
    total = np.zeros(len(rest.rows))
    for leg in rest.legs():
        total[leg.which] += gamma**leg.steps * _within_fragments(taken, leg)
    ended = taken.after(rest.remaining - 1)[:, taken.layout.discounts] == 0
    columns["returns"][:] = total
    columns["return_discounts"][:] = np.where(ended, 0, gamma**rest.remaining)


def _within_fragments(taken: Taken, leg: Leg) -> Array:
    """Returns [m] to the ends of the fragments, which are summed up when first asked for."""
    found = taken.ring.aside(ASIDE, leg.rows)
    missing = np.isnan(found)
    if missing.any():
        spans = np.unique((leg.firsts[missing], leg.lengths[missing]), axis=1)
        for first, length in spans.T.tolist():
            _sum_up(taken, max(first, taken.ring.oldest_row), first + length)
        found = taken.ring.aside(ASIDE, leg.rows)
    return found


def _sum_up(taken: Taken, first: int, end: int) -> None:
    gamma = float(taken.ring.discount)
    rewards = taken.ring.take(np.arange(first, end))[:, taken.layout.rewards].tolist()
    backwards = list(accumulate(reversed(rewards), lambda total, reward: reward + gamma * total))
    taken.ring.put_aside(ASIDE, first, np.array(backwards[::-1], np.float32))
