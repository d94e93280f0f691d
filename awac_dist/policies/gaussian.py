"""Gaussian: tanh on the mean only, so that samples may leave the bounds.

mean = centre + half_range * tanh(MLP(s)),  std = half_range * exp(log_std)
"""

from __future__ import annotations

from awac_dist.policies.network import NetworkPolicy


class GaussianPolicy(NetworkPolicy):
    """The twin of `nn.actors.GaussianActor`."""
