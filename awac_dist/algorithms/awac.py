"""Advantage-weighted actor-critic (Nair et al., 2020, https://arxiv.org/abs/2006.09359).

    critic  y = r + d * min_e Q'_e(s', a'),            a' ~ pi(.|s')
    actor   max_pi E_D[ exp(A(s, a) / lambda) log pi(a|s) ],   A = Q(s, a) - E_{a~pi} Q(s, a)

There is no entropy bonus, neither in the actor nor in the target.

Departures from the paper's equations, each one an option:
    weights are normalised over the batch, as in the authors' code (`weights`);
    the temperature can follow the critic's scale (`effective_batch`), because with dense
    rewards a fixed one collapses the weights onto one or two rows of the batch;
    the paper leaves out Z(s) = E_{a~pi} exp(A(s, a) / lambda), by which its derivation divides
    the weights of a state: `value` "soft" has it, from actions of that very state.
Departure from the authors' code: the target starts as a copy of the critic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Joint
from awac_dist.losses import td, weighting
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.ranges import Count, Finite, Positive, Share

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class AWACConfig(MethodConfig):
    """Advantage-weighted actor-critic.

    Attributes:
        critic: The critics.
        temperature: lambda > 0: large is behaviour cloning, small is greedy. The starting
            value where `effective_batch` is set. Paper: 0.3 hand, 1 locomotion; release: 0.5, 2.
        effective_batch: Share of the batch, in (0, 1), at which 1 / sum(w^2) is held by moving
            the temperature after each update; None keeps the temperature.
        weights: "softmax" over the batch (release), or "exp" of A / lambda (paper).
        max_weight: Upper bound of the "exp" weights.
        value: V(s) from actions drawn from the policy ("sample"), from its mean action
            ("mean": the release on the hand), or lambda log mean exp(Q / lambda) of those
            drawn ("soft": weights divided by Z(s), of 10 samples in the paper's ablation).
        num_value_samples: Actions drawn for V(s) where `value` is not "mean".
        advantage_clip: Upper bound on the advantage (release on the hand: 0.5), or None.
        max_q: Upper bound on the critics' output where no return can exceed it (hand: 0), or None.
    """

    actor: ActorConfig = ActorConfig(weight_decay=1e-4)
    critic: CriticConfig = CriticConfig()
    temperature: Positive = 10.0
    effective_batch: Share | None = 0.5
    weights: weighting.Normalisation = "softmax"
    max_weight: Positive = 100.0
    value: Literal["sample", "mean", "soft"] = "sample"
    num_value_samples: Count = 1
    advantage_clip: Finite | None = None
    max_q: Finite | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.value == "mean" and self.num_value_samples > 1:
            count = self.num_value_samples
            yield "num_value_samples", f"{count} has no effect where algorithm.value is mean"


class AWAC(Joint):
    """Policy evaluation of pi itself, and a projection onto the weighted data."""

    Config = AWACConfig
    config: AWACConfig
    slow_copies = ("critic",)

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator, self.config.max_q),
        }

    def make_duals(self) -> dict[str, Tensor]:
        start = math.log(self.config.temperature)
        return {"log_temperature": torch.tensor(start, device=self.device)}

    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        q_data = self.critic(batch.observations, batch.actions)  # [E, B], once for both
        return [self.critic_loss(batch, q_data), self.actor_loss(batch, q_data)]

    def critic_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            next_actions = self.sample(self.actor(batch.next_observations))  # [B, A]
            next_q = self.target_critic(batch.next_observations, next_actions)  # [E, B]
            targets = td.one_step_target(batch.rewards, batch.discounts, next_q.amin(dim=0))
        return td.squared_error(q_data, targets)

    def actor_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        policy, temperature = self.actor(batch.observations), self.duals["log_temperature"].exp()
        with torch.no_grad():
            if self.config.value == "mean":
                chosen = policy.mean.unsqueeze(0)  # [1, B, A]
            else:
                chosen = self.sample(policy, (self.config.num_value_samples,))
            q_policy = self.critic(batch.observations, chosen)  # [E, N, B]
        advantages = weighting.advantages(
            q_data,
            q_policy,
            clip=self.config.advantage_clip,
            soft=temperature if self.config.value == "soft" else None,
        )
        weights = weighting.weights(  # over the whole batch
            self.world.gather(advantages),
            temperature=temperature,
            normalisation=self.config.weights,
            max_weight=self.config.max_weight,
        )
        log_probs = policy.log_prob(batch.actions)  # [B]
        loss, metrics = weighting.weighted_regression(log_probs, self.world.mine(weights))
        told = weighting.described(weights, advantages, policy.log_std)
        return loss, metrics | told | {"actor/temperature": temperature}

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        if self.config.effective_batch is not None:
            wanted = self.config.effective_batch * self.world.size * len(batch.rewards)
            now, effective = self.duals["log_temperature"], metrics["actor/effective_batch"]
            now.copy_(weighting.temperature_step(now, effective, wanted))
