"""Advantage-weighted behaviour model as a prior of MPO (Siegel et al., 2020, arXiv 2002.08396).

    prior   max_p E_D[ 1(A >= 0) log p(a|s) ],
            A = r_0 + g r_1 + ... + g^(k-1) r_(k-1) + g^k V'(s_k) - V'(s)
    critic  y = r + d * V'(s'),   V'(s) = E_{a~pi'} Q'(s, a)
    E-step  w_n prop. exp(Q'(s, a_n) / eta),   a_n ~ p(.|s)
    M-step  max_pi E[ sum_n w_n log pi(a_n|s) ] inside the trust region around pi'

p clones those actions of the data that turned out no worse than the policy's own, k steps on; the
policy is p, made greedy by E[ KL(w || equal weights) ] <= eps: see awac_dist/algorithms/em.py.

Departure from the paper: k is H for each transition, or what its episode has left; there it is what
is left of a trajectory that was cut to pieces, all of whose steps are in one batch. An option is
the AWAC authors' variant, A = Q'(s, a) - V'(s).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.em import EM, EMConfig
from awac_dist.losses import returns, weighting
from awac_dist.nn.config import NetworkConfig
from awac_dist.ranges import Count

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.algorithms.gradients import Loss
    from awac_dist.nn.distributions import Distribution
    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class ABMConfig(EMConfig):
    """MPO from a prior that clones the better actions of the data.

    Attributes:
        prior: The network of the prior, of the policy's kind; it begins as a clone does, where one
            is adopted and its layers are the actor's.
        advantage: Of the data's actions: by what followed in a "segment", or by the "critic".
        segment_length: H, steps of the data that a segment's advantage looks ahead.
    """

    prior: NetworkConfig = NetworkConfig(learning_rate=3e-4)
    advantage: Literal["segment", "critic"] = "segment"
    segment_length: Count = 10


class ABM(EM):
    """A learned prior proposes the actions that the policy is fitted to."""

    Config = ABMConfig
    config: ABMConfig
    clones = ("prior",)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"segments"} if self.config.advantage == "segment" else ())

    @property
    def segment_length(self) -> int:
        return self.config.segment_length

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        prior = self.make_actor(generator, self.config.prior)
        return super().make_networks(generator) | {"prior": prior}

    def other_losses(self) -> Mapping[str, Loss]:
        return {"prior": self.prior_loss}

    def prior_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            advantages = self.advantages_of(batch)  # [B]
            weights = (advantages >= 0).to(advantages.dtype)
        log_probs = self.networks["prior"](batch.observations).log_prob(batch.actions)  # [B]
        loss, _ = weighting.weighted_regression(log_probs, weights)
        return loss, {
            "prior/loss": loss.detach(),
            "prior/log_prob": log_probs.detach().mean(),
            "prior/share": weights.mean(),
            "prior/advantage_mean": advantages.mean(),
        }

    def advantages_of(self, batch: Batch) -> Tensor:
        """What was better [B] about the batch's actions than about the slow policy's."""
        values, columns = self.value_of(batch.observations), batch.columns  # [B]
        if self.config.advantage == "critic":
            q_data: Tensor = self.target_critic(batch.observations, batch.actions)  # [E, B]
            return q_data.amin(dim=0) - values
        final = self.value_of(columns["segment_final_observations"])  # [B]
        rewards, discounts = columns["segment_rewards"], columns["segment_discounts"]
        along = final.unsqueeze(1).expand_as(rewards)  # those inside cancel each other out
        along = torch.cat((values.unsqueeze(1), along), dim=1)  # [B, H + 1]
        return returns.gae(along, rewards, discounts, columns["segment_mask"], trace=1.0)

    def proposal(self, states: Tensor, old: Distribution) -> Distribution:
        prior: Distribution = self.networks["prior"](states)
        return prior
