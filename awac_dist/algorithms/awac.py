"""Advantage-weighted actor-critic (Nair et al., 2020, https://arxiv.org/abs/2006.09359).

    critic  y = r + d * min_e Q'_e(s', a'),            a' ~ pi(.|s')
    actor   max_pi E_D[ exp(A(s, a) / lambda) log pi(a|s) ],   A = Q(s, a) - E_{a~pi} Q(s, a)

There is no entropy bonus, neither in the actor nor in the target.

Departures from the paper's equations, each one an option:
    weights are normalised over the batch, as in the authors' code (`weights`);
    the temperature can follow the critic's scale (`effective_batch`), because with dense
    rewards a fixed one collapses the weights onto one or two rows of the batch.
Departure from the authors' code: the target starts as a copy of the critic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from awac_dist.algorithms.base import ActorCritic, OptimizerConfig
from awac_dist.losses import td, weighting
from awac_dist.nn.config import NetworkConfig
from awac_dist.nn.distributions import DiagonalGaussian
from awac_dist.policies.spec import PolicySpec
from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class AWACConfig:
    """Advantage-weighted actor-critic.

    Attributes:
        temperature: lambda > 0: large is behaviour cloning, small is greedy. The starting
            value where `effective_batch` is set. Paper: 0.3 hand, 1 locomotion; release: 0.5, 2.
        effective_batch: Share of the batch, in (0, 1), at which 1 / sum(w^2) is held by moving
            the temperature after each update; None keeps the temperature.
        weights: "softmax" over the batch (release), or "exp" of A / lambda (paper).
        max_weight: Upper bound of the "exp" weights.
        value: V(s) from actions drawn from the policy ("sample"), or from its mean action
            ("mean": the release on the hand).
        num_value_samples: Actions averaged for V(s) where `value` is "sample".
        advantage_clip: Upper bound on the advantage (release on the hand: 0.5), or None.
        max_q: Upper bound on the critics' output where no return can exceed it (hand: 0), or None.
    """

    temperature: float = 10.0
    effective_batch: float | None = 0.5
    weights: weighting.Normalisation = "softmax"
    max_weight: float = 100.0
    value: Literal["sample", "mean"] = "sample"
    num_value_samples: int = 1
    advantage_clip: float | None = None
    max_q: float | None = None


class AWAC(ActorCritic):
    """Policy evaluation of pi itself, and a projection onto the weighted data."""

    log_temperature: Tensor

    def __init__(
        self,
        config: AWACConfig,
        policy: PolicySpec,
        networks: NetworkConfig,
        optimizer: OptimizerConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(
            policy, networks, optimizer, seed=seed, device=device, max_value=config.max_q
        )
        self.config = config
        self.register_buffer(
            "log_temperature", torch.tensor(math.log(config.temperature), device=device)
        )

    def critic_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            next_actions = self._sample(self.actor(batch.next_observations))  # [B, A]
            next_q = self.target_critic(batch.next_observations, next_actions)  # [E, B]
            targets = td.one_step_target(batch.rewards, batch.discounts, next_q.amin(dim=0))
        return td.squared_error(q_data, targets)

    def actor_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        with torch.no_grad():
            if self.config.value == "mean":
                chosen = policy.mean.unsqueeze(0)  # [1, B, A]
            else:
                chosen = self._sample(policy, (self.config.num_value_samples,))
            q_policy = self.critic(batch.observations, chosen)  # [E, N, B]
        advantages = weighting.advantages(q_data, q_policy, clip=self.config.advantage_clip)
        weights = self._weights(advantages)
        loss, metrics = weighting.weighted_regression(policy.log_prob(batch.actions), weights)
        return loss, metrics | {
            "actor/advantage_mean": advantages.mean(),
            "actor/advantage_std": advantages.std(),
            "actor/std": policy.log_std.detach().exp().mean(),
            "actor/temperature": self.log_temperature.exp(),
        }

    def _sample(self, policy: DiagonalGaussian, shape: tuple[int, ...] = ()) -> Tensor:
        """Actions [*shape, B, A]. Overridden, as is the next, where a batch is spread."""
        return policy.sample(self.generator, shape)

    def _weights(self, advantages: Tensor) -> Tensor:
        """Weights [B] of the logged actions, for advantages [B] of the whole batch."""
        return weighting.weights(
            advantages,
            temperature=self.log_temperature.exp(),
            normalisation=self.config.weights,
            max_weight=self.config.max_weight,
        )

    def update(self, batch: Batch) -> Metrics:
        metrics = super().update(batch)
        if self.config.effective_batch is not None:
            wanted = self.config.effective_batch * len(batch.rewards)
            effective = metrics["actor/effective_batch"]
            self.log_temperature.copy_(
                weighting.temperature_step(self.log_temperature, effective, wanted)
            )
        return metrics
