"""Squashed Gaussian: tanh on the sample, which so stays inside the bounds (Haarnoja et al., 2018).

a = centre + half_range * tanh(u),  u ~ N(MLP(s), exp(log_std))
"""

from __future__ import annotations

from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.policy import NO_MEMORY
from awac_dist.types import Array


class SquashedGaussianPolicy(NetworkPolicy):
    """The twin of `nn.actors.SquashedGaussianActor`."""

    std_in_half_ranges = False

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        hidden = self._last_hidden(observations)
        return self._squashed(self._raw(hidden) + self._std(hidden) * noise)
