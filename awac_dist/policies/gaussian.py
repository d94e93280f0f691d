"""Gaussian: tanh on the mean only, so that samples may leave the bounds.

mean = centre + half_range * tanh(MLP(s)),  std = half_range * exp(log_std)
"""

from __future__ import annotations

from awac_dist.policies.network import NetworkPolicy, Spread
from awac_dist.policies.policy import NO_MEMORY
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array


class GaussianPolicy(NetworkPolicy):
    """The twin of `nn.actors.GaussianActor`."""

    has_std = True

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        super().__init__(spec, vector, version)
        self._std = Spread(spec, self.arrays, self._half_range)

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        hidden = self._last_hidden(observations)
        actions = self._squashed(self._raw(hidden))
        actions += self._std(hidden) * noise
        return actions
