"""Behavioural cloning: the policy that makes the logged actions most likely.

    actor   max_pi E_D[ log pi(a|s) ]

The paper's prior data are trajectories of such a clone (appendix A.1).
"""

from __future__ import annotations

import torch

from awac_dist.algorithms.base import Method, adam
from awac_dist.nn.actors import GaussianActor
from awac_dist.policies.spec import PolicySpec
from awac_dist.tensors import Batch, Metrics


class BehaviouralCloning(Method):
    """Maximum likelihood on the logged actions; there is no critic."""

    def __init__(
        self, policy: PolicySpec, learning_rate: float, *, seed: int, device: torch.device
    ) -> None:
        super().__init__()
        self.actor = GaussianActor(policy, torch.Generator().manual_seed(seed)).to(device)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.optimizers = {"actor": adam(self.actor.parameters(), learning_rate)}

    def update(self, batch: Batch) -> Metrics:
        log_probs = self.actor(batch.observations).log_prob(batch.actions)  # [B]
        loss = -log_probs.mean()
        self.optimizers["actor"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["actor"].step()
        return {"clone/loss": loss.detach()}
