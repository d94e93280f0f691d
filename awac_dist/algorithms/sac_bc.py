"""SAC with a cloning term (after Nair et al., 2018, https://arxiv.org/abs/1709.10089).

    critic  y = r + d * (min_e Q'_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) ] + w * E_prior[ log pi(a|s) ]
    alpha   min_alpha alpha * (entropy of pi - target)

As AWAC's paper compares with it: SAC for DDPG, and no Q-filter, which is an option here.

Departures: what is cloned are the rows of the batch that are prior data, where both papers draw a
further batch of demonstrations alone (what is not to be cloned, leave out of --data); the clone is
of the likeliest actions, as in AWAC's paper, and not of least squares; target entropies are of
half-range actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.losses import soft, weighting
from awac_dist.ranges import NotNegative

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.nn.distributions import Distribution
    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class SACBCConfig(SoftConfig):
    """SAC with a cloning term.

    Attributes:
        bc_weight: w of the mean over the rows that are cloned.
        bc_rows: "prior" clones prior data; "all" the collected steps, too.
        q_filter: Clone only where Q(s, a) lies above Q of the policy's mean action (Nair).
    """

    bc_weight: NotNegative = 1.0
    bc_rows: Literal["prior", "all"] = "prior"
    q_filter: bool = False


class SACBC(Soft):
    """Evaluation of pi itself, and a policy that climbs Q and stays near the demonstrations."""

    Config = SACBCConfig
    config: SACBCConfig
    needs = frozenset({"is_online"})

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        actions, log_probs = self.sample_with_log_prob(policy)  # [B, A], [B]
        values = self.value_of(self.critic(batch.observations, actions))
        loss, metrics = soft.policy_loss(values, log_probs, self.entropy_coef)
        weights = weighting.of_rows(self.world.gather(self.cloned(batch, policy)))
        clone_loss, found = weighting.weighted_regression(
            policy.log_prob(batch.actions), self.world.mine(weights)
        )
        loss = loss + self.config.bc_weight * clone_loss
        return loss, metrics | found | {
            "actor/loss": loss.detach(),
            "actor/cloned_rows": weighting.effective_batch(weights),
        }

    def cloned(self, batch: Batch, policy: Distribution) -> Tensor:
        """1 for the rows [B] whose actions are cloned, 0 for the others."""
        rows = torch.ones_like(batch.rewards)
        if self.config.bc_rows == "prior":
            rows = rows - batch.columns["is_online"]
        if self.config.q_filter:
            with torch.no_grad():
                both = torch.stack((batch.actions, policy.mean))  # [2, B, A]
                q_data, q_policy = self.critic(batch.observations, both).amin(dim=0)  # [B] each
            rows = rows * (q_data > q_policy)
        return rows
