"""What makes actions differ from the mean: one process an episode, from the episode's generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from awac_dist.types import Array


class NoiseProcess(Protocol):
    """Noise of one episode, as wide as the policy's `noise_size`."""

    def __init__(self, rng: np.random.Generator, size: int) -> None: ...

    def next(self) -> Array:
        """Noise [N] of the next step."""
        ...


AHEAD = 64  # steps whose noise is drawn at once: the same numbers as one by one, and cheaper

MakeNoise = Callable[[np.random.Generator, int], NoiseProcess]
"""f(the episode's generator, N) -> its noise: a process below, or a `partial` of one.

Where there may be none, None has the policy act by its mean.
"""


class WhiteNoise:
    """Standard normal, independent from step to step."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng, self._size = rng, size
        self._rows = self._stream()

    def next(self) -> Array:
        return next(self._rows)

    def _stream(self) -> Iterator[Array]:
        while True:
            yield from self._draw(AHEAD)

    def _draw(self, steps: int) -> Array:
        """Noise [steps, N] of the next steps."""
        return self._rng.standard_normal((steps, self._size), np.float32)


class UniformNoise(WhiteNoise):
    """Uniform in [-1, 1], independent from step to step."""

    def _draw(self, steps: int) -> Array:
        return self._rng.uniform(-1, 1, (steps, self._size)).astype(np.float32)


class OrnsteinUhlenbeck:
    """x <- x - theta x + sigma N(0, 1), from zero.

    Args:
        rng: The episode's generator.
        size: N.
        theta: How fast it returns to zero.
        sigma: How large the shocks are; 0.3 moves the paper's random pushing.
    """

    def __init__(
        self, rng: np.random.Generator, size: int, *, theta: float = 0.15, sigma: float = 0.3
    ) -> None:
        self._rng, self._theta, self._sigma = rng, theta, sigma
        self._state = np.zeros(size, np.float32)

    def next(self) -> Array:
        shock = self._rng.standard_normal(len(self._state), np.float32)
        self._state = (1 - self._theta) * self._state + self._sigma * shock
        return self._state
