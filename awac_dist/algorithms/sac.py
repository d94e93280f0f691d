"""Soft actor-critic (Haarnoja et al., 2018, https://arxiv.org/abs/1812.05905) on prior data.

    critic  y = r + d * (min_{e in M} Q'_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ mean_e Q_e(s, a) - alpha log pi(a|s) ],                a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

M are drawn anew for each batch. With 10 critics and 20 batches an update, half of prior data, it is
RLPD (Ball et al., 2023, arXiv 2302.02948). Departure: target entropies are of half-range actions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Alternating
from awac_dist.losses import td
from awac_dist.nn.config import SQUASHED_ACTOR, ActorConfig, CriticConfig
from awac_dist.ranges import Count, Finite, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class SACConfig(MethodConfig):
    """Soft actor-critic on prior and own data.

    Attributes:
        critic: The critics. RLPD: 10 members.
        critic_batches: Steps of the critics for one of the actor. RLPD: 20.
        target_members: Critics of each batch whose minimum is the target; at most all.
        actor_value: Over the critics, "mean" (RLPD) or "min" (SAC).
        entropy_coef: alpha; where it starts if `target_entropy` is set.
        target_entropy: What moves alpha, for each action dimension (RLPD: -0.5, SAC: -1), or None.
        entropy_coef_learning_rate: Step size of alpha's logarithm.
        entropy_in_target: Whether the target counts it. RLPD: not with sparse rewards.
    """

    actor: ActorConfig = SQUASHED_ACTOR
    critic: CriticConfig = CriticConfig(learning_rate=3e-4, layer_norm=True)
    critic_batches: Count = 1
    target_members: Count = 2
    actor_value: Literal["mean", "min"] = "mean"
    entropy_coef: NotNegative = 0.1
    target_entropy: Finite | None = -0.5
    entropy_coef_learning_rate: Positive = 3e-4
    entropy_in_target: bool = True

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.actor.kind == "deterministic":
            yield "actor.kind", "deterministic has no entropy"
        if self.target_entropy is not None and self.entropy_coef == 0:
            yield "entropy_coef", "0 cannot be moved: set target_entropy to None"


class SAC(Alternating):
    """Policy evaluation of pi itself, and a policy that climbs Q."""

    Config = SACConfig
    config: SACConfig
    slow_copies = ("critic",)

    @property
    def batches_per_update(self) -> int:
        return self.config.critic_batches

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        if self.config.target_entropy is None:
            return {}
        start = torch.tensor(math.log(self.config.entropy_coef), device=self.device)
        return {"entropy_coef": torch.nn.Parameter(start)}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            states = batch.next_observations
            actions, log_probs = self.sample_with_log_prob(self.actor(states))  # [B, A], [B]
            next_values = self._target_values(states, actions).amin(dim=0)
            if self.config.entropy_in_target:
                next_values = next_values - self._entropy_coef() * log_probs
            targets = td.one_step_target(batch.rewards, batch.discounts, next_values)
        return td.squared_error(self.critic(batch.observations, batch.actions), targets)

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states = batch.observations
        actions, log_probs = self.sample_with_log_prob(self.actor(states))  # [B, A], [B]
        q = self.critic(states, actions)  # [E, B]
        values = q.mean(dim=0) if self.config.actor_value == "mean" else q.amin(dim=0)
        loss = (self._entropy_coef() * log_probs - values).mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/value_mean": values.detach().mean(),
            "actor/entropy": -log_probs.detach().mean(),
        }

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        if self.config.target_entropy is not None:
            coef, size = self.duals["entropy_coef"].exp(), self.task.spec.action_size
            wanted = self.config.target_entropy * size + self.task.log_volume
            self.step(coef * (metrics["actor/entropy"] - wanted), ["entropy_coef"])
            metrics["actor/entropy_coef"] = coef.detach()

    def _target_values(self, states: Tensor, actions: Tensor) -> Tensor:  # [M, B]
        total, wanted = self.config.critic.members, self.config.target_members
        if wanted >= total:
            values: Tensor = self.target_critic(states, actions)
            return values
        return self.target_critic.some(self.some_of(total, wanted), states, actions)

    def _entropy_coef(self) -> Tensor | float:  # alpha, without gradient
        dual = self.duals.get("entropy_coef")
        return self.config.entropy_coef if dual is None else dual.detach().exp()
