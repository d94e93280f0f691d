"""AlgaeDICE (Nachum et al., 2019, https://arxiv.org/abs/1912.02074): policy gradients of any data.

    u       = r + d * (mixed Q(s', a') - alpha log pi(a'|s')) - Q(s, a),   a' ~ pi(.|s')
    critic  min_Q  E_D[ f(u) ] + (1 - g) * w * E[ Q(s0, a0) ],             a0 ~ pi(.|s0)
    actor   max_pi E_D[ f'(u)+ u ] + (1 - g) * w * E[ Q(s0, a0) ],         f'(u)+ is a constant
    alpha   min_alpha alpha * (entropy of pi - target)

f(u) = |u|^p / p is dual to the divergence between where pi goes and where the data was, w its
weight: f'(u)+ says how much more often pi is there. s0 begins the episode of s. The mixed Q is 0.05
of a critic and 0.95 of the least slow copy; the critics' gradient is that of the whole u, of both
its ends.

Defaults are those of the authors' runs. Departures from their code: neither orthogonal weights nor
their regularisation; the slow copies move at half the rate at each step of the critics, theirs at
each second one; alpha follows the entropy in s, not in s', which nobody knows behind an end; there
is no form for g = 1, where the second term is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.nn.config import SQUASHED_ACTOR, ActorConfig, CriticConfig
from awac_dist.ranges import Count, Exponent, Positive, Rate
from awac_dist.tensors import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class AlgaeDICEConfig(SoftConfig):
    """AlgaeDICE.

    Attributes:
        exponent: p of f(u) = |u|^p / p. Paper: 1.5; 2 is least squares.
        divergence_weight: w, of the divergence: large stays with the data. Released runs: 0.01.
        online_share: Share of a critic in the mixed Q, the rest is its slow copy.
    """

    actor: ActorConfig = replace(SQUASHED_ACTOR, learning_rate=1e-3)
    critic: CriticConfig = CriticConfig(learning_rate=1e-3, target_update_rate=2.5e-3)
    critic_batches: Count = 2
    actor_value: Literal["mean", "min"] = "mean"
    entropy_coef_learning_rate: Positive = 1e-3
    exponent: Exponent = 1.5
    divergence_weight: Positive = 0.01
    online_share: Rate = 0.05


class AlgaeDICE(Soft):
    """Critics and a policy that play for one objective, whose optimum is pi's own value."""

    Config = AlgaeDICEConfig
    config: AlgaeDICEConfig
    needs = frozenset({"initial_observations"})

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            next_actions, log_probs = self.sample_with_log_prob(self.actor(batch.next_observations))
            initial_actions = self.sample(self.actor(batch.columns["initial_observations"]))
        residuals, q_data = self.residuals(batch, next_actions, log_probs)  # [E, B]
        initial = self.initial_values(batch, initial_actions)  # [E, B]
        power = self.config.exponent
        loss = (residuals.abs().pow(power) / power + initial).mean(dim=1).sum()
        return loss, {
            "critic/loss": loss.detach(),
            "critic/value_mean": q_data.detach().mean(),
            "critic/target_mean": (q_data + residuals).detach().mean(),
        }

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        next_actions, log_probs = self.sample_with_log_prob(self.actor(batch.next_observations))
        initial_actions = self.sample(self.actor(batch.columns["initial_observations"]))
        with torch.no_grad():
            _, here = self.sample_with_log_prob(self.actor(batch.observations))  # [B]
        residuals, _ = self.residuals(batch, next_actions, log_probs)  # [E, B]
        ratios = residuals.detach().clamp(min=0).pow(self.config.exponent - 1)  # f'(u)+
        objective = ratios * residuals + self.initial_values(batch, initial_actions)
        loss = -self.value_of(objective).mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/ratio_mean": ratios.mean(),
            "actor/entropy": -here.mean(),
        }

    def residuals(
        self, batch: Batch, next_actions: Tensor, log_probs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The errors u [E, B] and Q(s, a) [E, B], with gradient through all but the slow copies."""
        check_shapes("B A, B", next_actions, log_probs)
        share, states = self.config.online_share, batch.next_observations
        slow = self.target_values(states, next_actions).amin(dim=0)  # [B]
        mixed = share * self.critic(states, next_actions) + (1 - share) * slow  # [E, B]
        if self.config.entropy_in_target:
            mixed = mixed - self.entropy_coef * log_probs
        q_data = self.critic(batch.observations, batch.actions)  # [E, B]
        return batch.rewards + batch.discounts * mixed - q_data, q_data

    def initial_values(self, batch: Batch, actions: Tensor) -> Tensor:
        """(1 - g) w Q(s0, a0): [E, B]."""
        values: Tensor = self.critic(batch.columns["initial_observations"], actions)
        return (1 - self.task.discount) * self.config.divergence_weight * values
