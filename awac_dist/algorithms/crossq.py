"""CrossQ (Bhatt et al., 2024, https://arxiv.org/abs/1902.05605): SAC without target networks.

    critic  y = r + d * (min_e Q_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) ],         a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

Q(s, a) and Q(s', a') come of one pass through critics that are batch-normalised, so that both are
normalised alike: that is what stands for a slow copy. After `correct_after` steps, statistics of
the batch are corrected to the running ones (batch renormalisation), by which the actor sees Q.

Departures from the authors' code: the actor is not batch-normalised; where the task truly ended,
whose s' nothing follows from, (s, a') goes through the critics; target entropies are told for
each action dimension, of actions in half ranges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.losses import td
from awac_dist.nn.config import SQUASHED_ACTOR, ActorConfig, CriticConfig
from awac_dist.ranges import Count, Natural, Positive, Share

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.nn.batch_norm import BatchNormCritics
    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class CrossQConfig(SoftConfig):
    """CrossQ.

    Attributes:
        statistics_rate: Share of a batch's statistics that enters the running ones.
        correct_after: Steps of the critics after which statistics are corrected.
    """

    actor: ActorConfig = replace(SQUASHED_ACTOR, learning_rate=1e-3, beta1=0.5)
    critic: CriticConfig = CriticConfig(hidden=(2048, 2048), learning_rate=1e-3, beta1=0.5)
    critic_batches: Count = 3
    entropy_coef_learning_rate: Positive = 1e-3
    statistics_rate: Share = 0.01
    correct_after: Natural = 100_000

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.critic.layer_norm:
            yield "critic.layer_norm", "has no effect: the critics are batch-normalised"
        if self.critic.target_update_rate != CriticConfig.target_update_rate:
            yield "critic.target_update_rate", "has no effect: there is no slow copy"


class CrossQ(Soft):
    """Policy evaluation of pi itself by batch-normalised critics, and a policy that climbs them."""

    Config = CrossQConfig
    config: CrossQConfig
    slow_copies = ()

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        from awac_dist.nn.batch_norm import BatchNormCritics

        spec, critic = self.task.spec, self.config.critic
        sizes = spec.input_size + spec.action_size, critic.hidden, critic.members
        return {
            "actor": self.make_actor(generator),
            "critic": BatchNormCritics(*sizes, generator=generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        return super().make_duals() | {"critic_steps": torch.zeros((), device=self.device)}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        ended = (batch.discounts == 0).unsqueeze(-1)
        next_states = torch.where(ended, batch.observations, batch.next_observations)
        with torch.no_grad():
            next_actions, log_probs = self.sample_with_log_prob(self.actor(next_states))
        corrected = (self.duals["critic_steps"] >= self.config.correct_after).to(log_probs.dtype)
        values = cast("BatchNormCritics", self.critic).by_batch(
            torch.cat((batch.observations, next_states)),
            torch.cat((batch.actions, next_actions)),
            self.world.mean,
            corrected,
        )  # [E, 2B]
        q_data, next_q = values.chunk(2, dim=1)
        next_values = self.softened(next_q, log_probs)
        targets = td.one_step_target(batch.rewards, batch.discounts, next_values)
        return td.squared_error(q_data, targets)

    def move_targets(self, *names: str) -> None:
        """What follows the critics' steps is their running statistics."""
        cast("BatchNormCritics", self.critic).follow_batch(self.config.statistics_rate)
        self.duals["critic_steps"].add_(1)
