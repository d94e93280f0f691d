"""The best of N samples of a squashed Gaussian (BEAR: Kumar et al., 2019).

a_i = centre + half_range * tanh(u_i),  u_i ~ N(MLP(s), exp(log_std))
"""

from __future__ import annotations

from awac_dist.policies.choosing import ChoosingPolicy
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array


class BestOfNPolicy(ChoosingPolicy):
    """Its arrays are those of the actor and of the critics."""

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        super().__init__(spec, vector, version)
        self._actor = self._part("squashed_gaussian")

    def actor(self) -> NetworkPolicy:
        return self._actor

    def _candidates(self, observations: Array, noise: Array) -> Array:
        return self._actor.sample(observations, self._by_candidate(noise))
