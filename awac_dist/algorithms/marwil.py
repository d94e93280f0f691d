"""Monotonic advantage re-weighted imitation learning (Wang et al., 2018).

    value   min_V E_D[ (R(s, a) - V(s))^2 ],   R the discounted return of the rest of the episode
    actor   max_pi E_D[ exp(A / (c lambda)) log pi(a|s) ],   A = R(s, a) - V(s)
    norm    c^2 <- c^2 + rate * (mean of the batch's A^2 - c^2)

https://papers.nips.cc/paper/7866-exponentially-weighted-imitation-learning-for-batched-historical-data

An episode that was cut, or goes on, is bootstrapped with V where it stops. Departures: `max_weight`
bounds the weights, which overflow where A is large before c has followed it; actor and V share no
layers. RLlib's MARWIL has the same equations and constants. They write beta for 1 / lambda.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Joint
from awac_dist.losses import td, weighting
from awac_dist.nn.config import ActorConfig, NetworkConfig
from awac_dist.ranges import Positive, Rate

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class MARWILConfig(MethodConfig):
    """Monotonic advantage re-weighted imitation learning.

    Attributes:
        value: The network of V.
        temperature: lambda > 0, in units of c: large is behaviour cloning, small is greedy.
        max_weight: Upper bound of exp(A / (c lambda)).
        norm_start: c^2 to begin with.
        norm_rate: Share of the batch's mean squared advantage that enters c^2 in an update. The
            paper's hardly moves it; 1e-3 has it follow the advantages.
    """

    actor: ActorConfig = ActorConfig(learning_rate=3e-4)
    value: NetworkConfig = NetworkConfig(learning_rate=3e-4)
    temperature: Positive = 1.0
    max_weight: Positive = 20.0
    norm_start: Positive = 100.0
    norm_rate: Rate = 1e-8


class MARWIL(Joint):
    """Evaluation of what collected the data, and a projection onto the weighted data."""

    Config = MARWILConfig
    config: MARWILConfig
    needs, bootstraps = frozenset({"returns", "final_observations"}), False

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "value": self.make_value(self.config.value, generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        start = torch.tensor(self.config.norm_start, dtype=torch.float64, device=self.device)
        return {"squared_norm": start}  # steps of 1e-8 are lost in float32

    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        values = self.networks["value"](batch.observations)  # [B], once for both
        return_, discount = batch.columns["returns"], batch.columns["return_discounts"]
        with torch.no_grad():
            final_values = self.networks["value"](batch.columns["final_observations"])  # [B]
            targets = td.one_step_target(return_, discount, final_values)
        return [
            td.value_error(values, targets),
            self.actor_loss(batch, targets - values.detach()),
        ]

    def actor_loss(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        square = self.world.gather(advantages).square().mean()
        squared_norm = self.duals["squared_norm"].lerp(square.double(), self.config.norm_rate)
        weights = weighting.weights(
            advantages,
            temperature=squared_norm.sqrt().to(advantages.dtype) * self.config.temperature,
            normalisation="exp",
            max_weight=self.config.max_weight,
        )
        log_probs = policy.log_prob(batch.actions)  # [B]
        loss, metrics = weighting.weighted_regression(log_probs, weights)
        told = weighting.described(weights, advantages, policy.log_std)
        return loss, metrics | {"actor/squared_norm": squared_norm} | told

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        self.duals["squared_norm"].copy_(metrics["actor/squared_norm"])
