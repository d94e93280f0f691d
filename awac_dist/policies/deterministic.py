"""Deterministic: one action a state; noise of a fixed size explores (Fujimoto et al., 2018).

a = centre + half_range * tanh(MLP(s)),  explored with  a + half_range * exploration_std * noise,
which is kept in the bounds: beyond them the critics would learn of actions that nobody takes.
"""

from __future__ import annotations

import numpy as np

from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.policy import NO_MEMORY
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array


class DeterministicPolicy(NetworkPolicy):
    """The twin of `nn.actors.DeterministicActor`."""

    has_std = False

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        super().__init__(spec, vector, version)
        self._same_std = self._half_range * spec.exploration_std

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        actions = super().sample(observations, noise, memory)
        return np.clip(actions, self.low, self.high, out=actions)
