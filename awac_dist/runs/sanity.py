"""What makes one doubt that prior data is of the task: numbers that cannot be, and that never meet.

The limits were set where learning suffered, and where no trial of our own tasks beside their own
data speaks; most shuffles of its columns do (docs/data.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from awac_dist.envs.trial import Trial
from awac_dist.messages import Extents, Sums
from awac_dist.replay.normalization import moments

LARGE, SMALL, APART = 100.0, 0.02, 100.0  # sizes and spreads of observations that hurt
AWAY = 2.0  # ranges of the data that a few steps lead out of it
BESIDE = 0.25  # of that range, from where all of its episodes begin, and more if they are few
ROUNDING = 1e-5  # of the size of numbers, what two sources of them may differ by


def units(sums: Sums) -> Iterator[str]:
    """Doubts about the units of all observations together, where they are not normalised."""
    means, spreads = moments(sums)
    sizes = np.hypot(means, spreads)  # [O]
    moving = np.flatnonzero(spreads > ROUNDING * sizes)
    if not len(moving):
        return
    typical = np.median(spreads[moving])
    largest, least = int(np.argmax(sizes)), moving[np.argmin(spreads[moving])]
    if max(sizes[largest] / LARGE, SMALL / typical, sizes[largest] / typical / APART) > 1:
        yield (
            f"observations are in units that networks learn badly from: column {largest} is "
            f"{sizes[largest]:.3g} large, column {least} spreads over {spreads[least]:.3g}, half "
            f"of all over less than {typical:.3g}: --replay.normalize_observations true"
        )


def meeting(source: str, episodes: int, data: Extents, seen: Trial) -> Iterator[str]:
    """Doubts about the observations and rewards of a source of so many episodes."""
    ranges = np.array(data.observations)  # [O, 2]
    spans = _spans(ranges)
    out = _beyond(seen.observations, ranges) / spans  # [O]
    aside = _beyond(seen.observations[:1], np.array(data.first_observations)) / spans
    strange = np.flatnonzero((out > AWAY) | (aside > BESIDE + 2 / episodes))
    if len(strange):
        worst = strange[np.argmax(np.maximum(out / AWAY, aside / BESIDE)[strange])]
        low, high = data.observations[worst]
        found = seen.observations[:, worst]
        yield (
            f"{source}: its observations are not where the task's are, in {len(strange)} of "
            f"{len(ranges)} columns: column {worst} is {found[0]:.3g} after a reset, up to "
            f"{found[np.argmax(np.abs(found))]:.3g} in the steps after it, and from {low:.3g} to "
            f"{high:.3g} in the data: are its columns in another order or unit, or another task's?"
        )
    if len(seen.rewards):
        yield from _rewards(source, data, seen)


def _rewards(source: str, data: Extents, seen: Trial) -> Iterator[str]:
    [(low, high)], [(first_low, first_high)] = data.rewards, data.first_rewards
    least, most = seen.rewards.min(), seen.rewards.max()
    limit = _spans(np.array(data.rewards))[0] / 2
    if least == most:  # as sparse rewards are, whose first ones are all alike
        limit = min(limit, 2 * _spans(np.array(data.first_rewards))[0])
    if max(first_low - most, least - first_high) > limit:
        yield (
            f"{source}: its rewards cannot be the task's: a trial earned from {least:.3g} to "
            f"{most:.3g} in its first steps, this data from {first_low:.3g} to {first_high:.3g} "
            f"in those, and from {low:.3g} to {high:.3g} in all: write them anew as the task gives "
            "them (convert --relabel, docs/data.md)"
        )


def _spans(ranges: np.ndarray) -> np.ndarray:
    """Widths [O]; of one that is none, that of rounding."""
    rounding = ROUNDING * np.maximum(np.abs(ranges).max(axis=1), ROUNDING)
    return np.maximum(ranges[:, 1] - ranges[:, 0], rounding)


def _beyond(seen: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """How far [O] the farthest of observations [n, O] lies outside of ranges [O, 2]."""
    lows, highs = ranges.T
    return np.maximum(0, np.maximum(lows - seen, seen - highs)).max(axis=0)
