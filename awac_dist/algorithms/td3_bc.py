"""TD3 + BC (Fujimoto & Gu, 2021, https://arxiv.org/abs/2106.06860).

    critic  y = r + d * (min_e Q'_e(s', a') - beta |a' - a_D|^2),   as TD3; beta is 0 there
    actor   min_pi E_D[ -lambda Q_1(s, pi(s)) + w (pi(s) - a)^2 ],  lambda = alpha / mean |Q_1|

The mean is over the batch, w is 1. Squares are of half ranges: their mean over the dimensions in
the actor's loss, their sum in the target, where a_D is what the data did in s'.

ReBRAC (Tarasov et al., 2023, https://arxiv.org/abs/2305.09836) is this with layer-normed critics,
beta > 0, the least critic and sums in both places: its beta_1 is 1 / (alpha A) of A dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from awac_dist.algorithms.twin_delayed import TwinDelayed, TwinDelayedConfig
from awac_dist.ranges import NotNegative

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class TD3BCConfig(TwinDelayedConfig):
    """TD3 + BC.

    Attributes:
        alpha: Of Q beside cloning: 0 clones, large is TD3.
        online_bc_weight: w while data is collected; it is 1 offline. ReBRAC comes down to 0.5.
        critic_penalty: beta offline; online it is 0. ReBRAC: from 0.001 to 0.1.
    """

    alpha: NotNegative = 2.5
    online_bc_weight: NotNegative = 1.0
    critic_penalty: NotNegative = 0.0


class TD3BC(TwinDelayed):
    """Evaluation of a slow and smoothed policy, and a policy that climbs Q near the data."""

    Config = TD3BCConfig
    config: TD3BCConfig
    knows_online = True

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"next_actions"}) if self.config.critic_penalty else frozenset()

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        chosen = self.actor(batch.observations).mean  # [B, A]
        values = self.values_of(batch.observations, chosen)  # [B]
        scale = self.world.gather(values.detach()).abs().mean()
        error = self.squared_distance(chosen, batch.actions).mean() / chosen.shape[-1]
        weight = self.config.online_bc_weight if self.online else 1.0
        loss = weight * error - self.config.alpha / scale * values.mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/value_mean": values.detach().mean(),
            "actor/clone_error": error.detach(),
        }

    def next_values(self, batch: Batch, next_actions: Tensor) -> Tensor:
        values = super().next_values(batch, next_actions)
        if self.online or not self.config.critic_penalty:
            return values
        distance = self.squared_distance(next_actions, batch.columns["next_actions"])
        return values - self.config.critic_penalty * batch.columns["has_next_action"] * distance

    def squared_distance(self, actions: Tensor, others: Tensor) -> Tensor:
        """Of actions [B, A], in half ranges: [B]."""
        return ((actions - others) / self.actor.half_range).square().sum(dim=-1)
