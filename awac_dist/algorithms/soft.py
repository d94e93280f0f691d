"""The skeleton of the soft actor-critics: an ensemble of critics, and an entropy that is kept.

    critic  y = r + d * (min_{e in M} Q'_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ V(s, a) - alpha log pi(a|s) ],                         a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

V is the critics' least or mean value.

Haarnoja et al., 2018 (https://arxiv.org/abs/1812.05905); M, drawn anew for each batch, is of
Chen et al., 2021 (https://arxiv.org/abs/2101.05982).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Alternating
from awac_dist.losses import soft, td
from awac_dist.nn.config import SQUASHED_ACTOR, ActorConfig, CriticConfig
from awac_dist.ranges import Count, Finite, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class SoftConfig(MethodConfig):
    """A soft actor-critic.

    Attributes:
        critic: The critics.
        critic_batches: Steps of the critics for one of the actor.
        target_members: Critics of each batch whose minimum is the target; at most all.
        actor_value: What the actor climbs of its critics, "mean" or "min".
        entropy_coef: alpha; where it starts if `target_entropy` is set.
        target_entropy: What moves alpha, for each action dimension and of half-range actions, or
            None.
        entropy_coef_learning_rate: Step size of alpha's logarithm.
        entropy_in_target: Whether the target counts it.
    """

    actor: ActorConfig = SQUASHED_ACTOR
    critic: CriticConfig = CriticConfig(learning_rate=3e-4)
    critic_batches: Count = 1
    target_members: Count = 2
    actor_value: Literal["mean", "min"] = "min"
    entropy_coef: NotNegative = 1.0
    target_entropy: Finite | None = -1.0
    entropy_coef_learning_rate: Positive = 3e-4
    entropy_in_target: bool = True

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.actor.kind == "deterministic":
            yield "actor.kind", "deterministic has no entropy"
        if self.target_entropy is not None and self.entropy_coef == 0:
            yield "entropy_coef", "0 cannot be moved: set target_entropy to None"


class Soft(Alternating):
    """Evaluation of pi itself, and a policy that climbs Q. A method changes what it does else."""

    config: SoftConfig
    slow_copies: ClassVar[tuple[str, ...]] = ("critic",)

    @property
    def batches_per_update(self) -> int:
        return self.config.critic_batches

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        return self.make_prices([] if self.config.target_entropy is None else ["entropy_coef"])

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        if self.config.target_entropy is not None:
            wanted = self.config.target_entropy * self.task.spec.action_size + self.task.log_volume
            slack = metrics["actor/entropy"] - wanted
            metrics["actor/entropy_coef"] = self.step_price("entropy_coef", slack)

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        q_data = self.critic(batch.observations, batch.actions)  # [E, B]
        return td.squared_error(q_data, self.targets_of(batch))

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        actions, log_probs = self.sample_with_log_prob(policy)  # [B, A], [B]
        values = self.value_of(self.critic(batch.observations, actions))
        return soft.policy_loss(values, log_probs, self.entropy_coef)

    @property
    def entropy_coef(self) -> Tensor | float:
        """alpha, without gradient."""
        return self.price("entropy_coef")

    def targets_of(self, batch: Batch) -> Tensor:
        """The target y [B] of a batch, without gradient."""
        with torch.no_grad():
            next_values = self.values_of(batch.next_observations)
        return td.one_step_target(batch.rewards, batch.discounts, next_values)

    def values_of(self, states: Tensor) -> Tensor:
        """V'(s) [B] by the targets, of the policy's own actions."""
        actions, log_probs = self.sample_with_log_prob(self.actor(states))  # [B, A], [B]
        return self.soft_values(states, actions, log_probs)

    def soft_values(self, states: Tensor, actions: Tensor, log_probs: Tensor) -> Tensor:
        """The least Q' [..., B] of actions [..., B, A], less alpha log pi [..., B] of them."""
        return self.softened(self.target_values(states, actions), log_probs)

    def softened(self, values: Tensor, log_probs: Tensor) -> Tensor:
        """The least [..., B] of values [M, ..., B], less alpha log pi [..., B]."""
        least = values.amin(dim=0)
        return least - self.entropy_coef * log_probs if self.config.entropy_in_target else least

    def target_values(self, states: Tensor, actions: Tensor) -> Tensor:
        """Q' [M, ..., B] of actions [..., B, A], of as many members as the target takes."""
        total, wanted = self.config.critic.members, self.config.target_members
        if wanted >= total:
            values: Tensor = self.target_critic(states, actions)
            return values
        return self.target_critic.some(self.some_of(total, wanted), states, actions)

    def value_of(self, q: Tensor) -> Tensor:
        """What the actor climbs [B] of its critics' values [E, B]."""
        return q.mean(dim=0) if self.config.actor_value == "mean" else q.amin(dim=0)
