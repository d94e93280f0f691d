"""Counting data: every observation is the number of its step in all the data."""

from typing import Any

import numpy as np

from awac_dist.replay.layout import Layout
from awac_dist.types import Array, EnvSpec, Episode, Origin

SPEC = EnvSpec("Counting-v0", 1, 1, (-1.0,), (1.0,), 10)
LAYOUT = Layout.of(SPEC)
GAMMA = 0.9


class Counter:
    """Makes episodes whose observations go on counting, with a gap between episodes."""

    def __init__(self) -> None:
        self.next = 0
        self._episodes = 0

    def episode(
        self, steps: int, *, terminated: bool = False, truncated: bool = False, **origin: Any
    ) -> Episode:
        numbers = np.arange(self.next, self.next + steps + 1, dtype=np.float32)[:, None]
        self.next += steps + 1
        self._episodes += 1
        return Episode(
            observations=numbers,
            actions=numbers[:-1] / 1000,
            rewards=10 * numbers[:-1, 0],
            terminated=terminated,
            truncated=truncated,
            origin=Origin("online", **{"episode": self._episodes, "worker": 0, **origin}),
        )


def rows_of(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count)


def check_counting(block: Array) -> None:
    """Every transition leads from its number to the next one, and holds its own step."""
    numbers = block[:, 0]
    np.testing.assert_array_equal(block[:, LAYOUT.next_observations][:, 0], numbers + 1)
    np.testing.assert_array_equal(block[:, LAYOUT.actions][:, 0], numbers / np.float32(1000))
    np.testing.assert_array_equal(block[:, LAYOUT.rewards], 10 * numbers)
