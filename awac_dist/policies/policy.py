"""What a collector acts with, and the policies that need no network."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from awac_dist.types import Array, EnvSpec

NO_MEMORY = np.zeros((0, 0), np.float32)


class Policy(Protocol):
    """What a collector acts with."""

    version: int  # grad_steps behind it, -1 if unknown
    noise_size: int  # N, how many numbers of noise a step takes
    memory_size: int  # M, how many numbers it keeps from step to step; they are zero at a reset

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        """Actions [E, A] for observations [E, O], noise [E, N] and memory [E, M].

        The memory is changed in place: it is what the next step gets.
        """
        ...

    def mean(self, observations: Array, memory: Array = NO_MEMORY) -> Array:
        """Actions [E, A] without chance, which are what gets evaluated."""
        ...


class UnitPolicy:
    """Noise alone, in units of half of the action range around its centre, kept inside it."""

    version, memory_size = -1, 0

    def __init__(self, spec: EnvSpec) -> None:
        self.noise_size = spec.action_size
        low, high = np.array([spec.action_low, spec.action_high], np.float32)
        self._centre, self._half_range = (high + low) / 2, (high - low) / 2

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        inside = np.clip(noise, -1, 1)
        return (self._centre + self._half_range * inside).astype(np.float32)

    def mean(self, observations: Array, memory: Array = NO_MEMORY) -> Array:
        return np.tile(self._centre, (len(observations), 1))
