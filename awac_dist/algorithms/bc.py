"""Behavioural cloning: the policy that makes the logged actions most likely.

    actor   max_pi E_D[ log pi(a|s) ]

The clone of the demonstrations, whose trajectories are the paper's prior data (appendix A.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Joint

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class BCConfig(MethodConfig):
    """Behavioural cloning."""


class BC(Joint):
    """Maximum likelihood on the logged actions; there is no critic."""

    Config = BCConfig
    bootstraps = False

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {"actor": self.make_actor(generator)}

    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        return [self.actor_loss(batch)]

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        log_probs = self.actor(batch.observations).log_prob(batch.actions)  # [B]
        loss = -log_probs.mean()
        return loss, {"actor/loss": loss.detach()}
