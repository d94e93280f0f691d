"""The skeleton of the twin delayed deterministic methods: smooth targets, and an actor that climbs.

    critic  y = r + d * min_e Q'_e(s', a'),   a' = pi'(s') + clip(eps, -c, c), kept in the bounds
    actor   max_pi E[ V(s, pi(s)) ]
    target  Q', pi' <- (1 - tau) Q', pi' + tau Q, pi, once an update

eps is normal of standard deviation sigma; V is the first critic's value, the mean or the least.
The actor takes one step for several of the critics, the last of whose batches it learns from.

Fujimoto et al., 2018 (https://arxiv.org/abs/1802.09477).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Alternating
from awac_dist.losses import td
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.ranges import Count, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class TwinDelayedConfig(MethodConfig):
    """A twin delayed deterministic method.

    Attributes:
        critic: The critics.
        critic_batches: Steps of the critics for one of the actor and of the targets: the delay.
        target_noise: sigma of the noise on the target's actions, in half ranges.
        target_noise_clip: c, the largest such noise, in half ranges.
        actor_value: What the actor climbs of its critics: the "first", their "mean" or the "min".
    """

    actor: ActorConfig = ActorConfig(kind="deterministic", learning_rate=3e-4)
    critic: CriticConfig = CriticConfig(learning_rate=3e-4)
    critic_batches: Count = 2
    target_noise: NotNegative = 0.2
    target_noise_clip: Positive = 0.5
    actor_value: Literal["first", "mean", "min"] = "first"

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.actor.kind != "deterministic":
            yield "actor.kind", f"{self.actor.kind} has a spread that no loss trains"


class TwinDelayed(Alternating):
    """Evaluation of a slow copy of the policy, smoothed. A method changes what it does else."""

    config: TwinDelayedConfig
    slow_copies = ("critic", "actor")

    @property
    def batches_per_update(self) -> int:
        return self.config.critic_batches

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator),
        }

    def update(self, batches: Sequence[Batch]) -> Metrics:
        metrics: Metrics = {}
        for batch in batches:
            metrics |= self.descend(self.critic_loss, batch, ["critic"])
        metrics |= self.descend(self.actor_loss, batch, ["actor"])
        self.move_targets()
        return metrics

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            next_actions, metrics = self.next_actions(batch.next_observations)  # [B, A]
            next_values = self.next_values(batch, next_actions)  # [B]
            targets = td.one_step_target(batch.rewards, batch.discounts, next_values)
        q_data = self.critic(batch.observations, batch.actions)  # [E, B]
        loss, found = td.squared_error(q_data, targets)
        return loss, found | metrics

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        values = self.values_of(batch.observations, self.actor(batch.observations).mean)
        loss = -values.mean()
        return loss, {"actor/loss": loss.detach(), "actor/value_mean": values.detach().mean()}

    def next_actions(self, states: Tensor) -> tuple[Tensor, Metrics]:
        """Actions [B, A] that the target is of, and what is to be told of them."""
        return self.smoothed(states), {}

    def smoothed(self, states: Tensor) -> Tensor:
        """Actions [B, A] of the policy's slow copy and bounded noise, inside the bounds."""
        clip, half_range = self.config.target_noise_clip, self.actor.half_range
        chosen: Tensor = self.target_actor(states).mean
        noise = (self.config.target_noise * self.noise(chosen)).clamp(-clip, clip)
        low, high = self.actor.centre - half_range, self.actor.centre + half_range
        return (chosen + half_range * noise).clamp(low, high)

    def next_values(self, batch: Batch, next_actions: Tensor) -> Tensor:
        """What the states after a batch are worth by these actions: [B]."""
        values: Tensor = self.target_critic(batch.next_observations, next_actions)  # [E, B]
        return values.amin(dim=0)

    def values_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """What the actor climbs [B], of actions [B, A]."""
        if self.config.actor_value == "first":
            return self.critic.first(states, actions)
        q: Tensor = self.critic(states, actions)  # [E, B]
        return q.mean(dim=0) if self.config.actor_value == "mean" else q.amin(dim=0)
