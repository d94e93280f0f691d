"""The better of an actor's action and that of a clone beside it (IBRL: Hu et al., 2023).

a_1 = centre + half_range * tanh(MLP(s)), explored with noise and kept in the bounds
a_2 = centre + half_range * tanh(CLONE(s))

The one with the higher q_i + T * G_i, where q_i is the least of the critics' values and G_i are
standard Gumbel numbers: a_i of probability exp(q_i / T), normalised. T = 0 takes the better one.
"""

from __future__ import annotations

import numpy as np

from awac_dist.policies.choosing import ChoosingPolicy
from awac_dist.policies.network import NetworkPolicy, layer_shapes
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

CLONE = "clone."
PROPOSALS = 2
TINY = np.float32(1e-30)
OF_CHANCE = 2 * PROPOSALS  # numbers of noise, after those of the action, that a choice takes


def gumbel(noise: Array) -> Array:
    """Standard Gumbel numbers [E, N] of standard normal ones [E, 2 N]."""
    squares = np.square(noise).reshape(len(noise), -1, 2).sum(axis=-1)
    found: Array = -np.log(np.maximum(squares, TINY) / 2)  # half of two squares is exponential
    return found


class BesideClonePolicy(ChoosingPolicy):
    """Its arrays are those of the actor, of the critics and of the clone."""

    has_std = False

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        super().__init__(spec, vector, version)
        self._actor = self._part("deterministic")
        self._clone = self._part("deterministic", CLONE)

    @classmethod
    def shapes(cls, spec: PolicySpec) -> dict[str, tuple[int, ...]]:
        return super().shapes(spec) | layer_shapes(spec.layer_sizes, CLONE)

    @classmethod
    def mean_noise(cls, spec: PolicySpec) -> Array:
        chances = np.ones(OF_CHANCE if spec.choice_temperature else 0)  # Gumbel numbers of 0
        return np.concatenate((np.zeros(spec.action_size), chances)).astype(np.float32)

    def actor(self) -> NetworkPolicy:
        return self._actor

    def _candidates(self, observations: Array, noise: Array) -> Array:
        own = self._actor.sample(observations, noise[:, : self.action_size])
        return np.stack((own, self._clone.mean(observations)))

    def _scores(self, values: Array, noise: Array) -> Array:
        if not self.spec.choice_temperature:
            return values
        chances = gumbel(noise[:, self.action_size :]).T  # [N, E]
        return values + np.float32(self.spec.choice_temperature) * chances
