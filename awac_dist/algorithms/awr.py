"""Advantage-weighted regression (Peng et al., 2019, https://arxiv.org/abs/1910.00177).

    value   min_V E_D[ (R_lambda(s, a) - V(s))^2 ],   R_lambda of TD(lambda), bootstrapped with V
    actor   max_pi E_D[ min(exp(A / beta), w_max) log pi(a|s) ]

A is R_lambda - V(s), less its mean over the batch and divided by its standard deviation. There is
no Q: what is evaluated is the mixture of the policies that collected the data.

Departures from the authors' code: returns are of at most `horizon` steps, and V is the newest, in
each update, where theirs are of whole episodes, once a round, as are the mean and the deviation of
A, over the whole buffer; the actor's weights see V before its step; one step of V for one of the
actor, where theirs are 200 for 1,000; Adam, where theirs is SGD with momentum; the mean is
squashed, where theirs pays for leaving the bounds. V is in the units of the rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Joint
from awac_dist.losses import returns, td, weighting
from awac_dist.nn.config import ActorConfig, NetworkConfig
from awac_dist.ranges import Count, Positive, Rate

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class AWRConfig(MethodConfig):
    """Advantage-weighted regression.

    Attributes:
        value: The network of V.
        temperature: beta > 0, in standard deviations of the advantage: large is behaviour
            cloning, small is greedy.
        max_weight: Upper bound of exp(A / beta).
        trace: lambda of TD(lambda), in (0, 1]: near 0 looks one step ahead, 1 as far as it can.
        horizon: Steps that returns look ahead, at most.
    """

    actor: ActorConfig = ActorConfig(
        hidden=(128, 64), learning_rate=3e-4, log_std_min=-0.92, log_std_max=-0.91
    )
    value: NetworkConfig = NetworkConfig(hidden=(128, 64), learning_rate=1e-3)
    temperature: Positive = 1.0
    max_weight: Positive = 20.0
    trace: Rate = 0.95
    horizon: Count = 50


class AWR(Joint):
    """Evaluation of what collected the data, and a projection onto the weighted data."""

    Config = AWRConfig
    config: AWRConfig
    needs, bootstraps = frozenset({"segments"}), False

    @property
    def segment_length(self) -> int:
        return self.config.horizon

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "value": self.make_value(self.config.value, generator),
        }

    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        value, trace = self.networks["value"], self.config.trace
        advantages = returns.segment_advantages(value, batch.columns, trace=trace)  # [B]
        return [self.value_loss(batch, advantages), self.actor_loss(batch, advantages)]

    def value_loss(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Metrics]:
        values = self.networks["value"](batch.observations)  # [B]
        return td.value_error(values, values + advantages)

    def actor_loss(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        weights = weighting.weights(  # over the whole batch
            weighting.standardised(self.world.gather(advantages)),
            temperature=self.config.temperature,
            normalisation="exp",
            max_weight=self.config.max_weight,
        )
        log_probs = policy.log_prob(batch.actions)  # [B]
        loss, metrics = weighting.weighted_regression(log_probs, self.world.mine(weights))
        return loss, metrics | weighting.described(weights, advantages, policy.log_std)
