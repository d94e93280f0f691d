"""Implicit Q-learning (Kostrikov et al., 2021, https://arxiv.org/abs/2110.06169).

    value   min_V E_D[ |tau - 1(u < 0)| u^2 ],   u = min_e Q'_e(s, a) - V(s)
    critic  y = r + d * V(s')
    actor   max_pi E_D[ exp(u / lambda) log pi(a|s) ]

No action is ever evaluated that is not in the data.

Departures from the authors' code: all losses see the parameters before the update, where theirs
updates V first; there is no dropout, which theirs has on the hand. The log standard deviation is in
[-6, 0] and begins at -3, as AWAC's; theirs is in [-5, 2] and begins at 0. The actor's step size
stays as it is, as in their runs that go online; where theirs stay offline it falls to 0 along a
cosine of a million updates. They write beta for 1 / lambda.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Joint
from awac_dist.losses import td, weighting
from awac_dist.nn.config import ActorConfig, CriticConfig, NetworkConfig
from awac_dist.ranges import Positive, Share

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class IQLConfig(MethodConfig):
    """Implicit Q-learning.

    Attributes:
        critic: The critics.
        value: The network of V.
        expectile: tau, in (0, 1): 0.5 is the mean of Q over the data's actions, towards 1 their
            maximum. Paper: 0.7 locomotion and hand, 0.9 mazes.
        temperature: lambda > 0: large is behaviour cloning, small is greedy. Paper: 1/3
            locomotion, 2 hand, 0.1 mazes.
        max_weight: Upper bound of exp(u / lambda).
    """

    actor: ActorConfig = ActorConfig(learning_rate=3e-4)
    critic: CriticConfig = CriticConfig(learning_rate=3e-4)
    value: NetworkConfig = NetworkConfig(learning_rate=3e-4)
    expectile: Share = 0.7
    temperature: Positive = 1 / 3
    max_weight: Positive = 100.0


class IQL(Joint):
    """Evaluation of the best policy in the data, and a projection onto the weighted data."""

    Config = IQLConfig
    config: IQLConfig
    slow_copies = ("critic",)

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator),
            "value": self.make_value(self.config.value, generator),
        }

    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        with torch.no_grad():
            q_data = self.target_critic(batch.observations, batch.actions).amin(dim=0)  # [B]
        advantages = q_data - self.networks["value"](batch.observations)  # [B], once for both
        return [
            self.value_loss(advantages),
            self.critic_loss(batch),
            self.actor_loss(batch, advantages.detach()),
        ]

    def value_loss(self, advantages: Tensor) -> tuple[Tensor, Metrics]:
        below = (advantages < 0).to(advantages.dtype)
        weights = (self.config.expectile - below).abs()  # [B]
        loss = (weights * advantages.square()).mean()
        return loss, {"value/loss": loss.detach()}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            next_values = self.networks["value"](batch.next_observations)  # [B]
            targets = td.one_step_target(batch.rewards, batch.discounts, next_values)
        q_data = self.critic(batch.observations, batch.actions)  # [E, B]
        return td.squared_error(q_data, targets)

    def actor_loss(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        weights = weighting.weights(
            advantages,
            temperature=self.config.temperature,
            normalisation="exp",
            max_weight=self.config.max_weight,
        )
        log_probs = policy.log_prob(batch.actions)  # [B]
        loss, metrics = weighting.weighted_regression(log_probs, weights)
        return loss, metrics | weighting.described(weights, advantages, policy.log_std)
