"""What makes actions differ from the mean: one process an episode, from the episode's generator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from awac_dist.types import Array

AHEAD = 64  # steps whose noise is drawn at once: the same numbers as one by one, and cheaper

MakeNoise = Callable[[np.random.Generator, int], Iterable[Array]]
"""f(the episode's generator, N) -> noise [N] of one step after the other: a process below, or a
`partial` of one. Where there may be none, None has the policy act by its mean.
"""


@dataclass(frozen=True)
class WhiteNoise:
    """Standard normal, independent from step to step."""

    rng: np.random.Generator  # the episode's
    size: int  # N, the policy's `noise_size`

    def __iter__(self) -> Iterator[Array]:
        while True:
            yield from self.rng.standard_normal((AHEAD, self.size), np.float32)


class UniformNoise(WhiteNoise):
    """Uniform in [-1, 1], independent from step to step."""

    def __iter__(self) -> Iterator[Array]:
        while True:
            yield from self.rng.uniform(-1, 1, (AHEAD, self.size)).astype(np.float32)


@dataclass(frozen=True)
class OrnsteinUhlenbeck(WhiteNoise):
    """x <- x - theta x + sigma N(0, 1), from zero."""

    theta: float = 0.15  # how fast it returns to zero
    sigma: float = 0.3  # how large the shocks are; 0.3 moves the paper's random pushing

    def __iter__(self) -> Iterator[Array]:
        state = np.zeros(self.size, np.float32)
        while True:
            shock = self.rng.standard_normal(self.size, np.float32)
            state = (1 - self.theta) * state + self.sigma * shock
            yield state
