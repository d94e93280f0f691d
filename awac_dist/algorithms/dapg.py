"""Demonstration-augmented policy gradient (Rajeswaran et al., 2018, https://arxiv.org/abs/1709.10087).

    gradient  g = (sum_own A grad log pi(a|s) + sum_demonstrations w grad log pi(a|s)) / B
    weight    w = w_0 decay^k max_own A,   after k updates
    actor     theta <- theta + length * x / sqrt(g x),   (F + damping) x = g
    value     min_V E_own[ (R(s, a) - V(s))^2 ]

Own rows are the newest round's, collected with pi itself, by `is_online`. A is their generalised
advantage, less its mean, over its standard deviation; F is the Fisher matrix of pi in their states.

Departures from the authors' code: advantages look `horizon` steps ahead, at most, and bootstrap
with V where an episode was cut; V reads no time; ReLU, and a mean that is squashed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.losses import natural, returns, td, weighting
from awac_dist.nn.config import ActorConfig, NetworkConfig
from awac_dist.ranges import Count, NotNegative, Positive, Rate

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn
    from torch.optim import Optimizer

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class DAPGConfig(MethodConfig):
    """Demonstration-augmented policy gradient.

    The actor's learning_rate is the length of its step in the metric F: the KL divergence of a
    step is half its square. It has no Adam.

    Attributes:
        value: The network of V.
        value_epochs: How often V goes through the batch in an update.
        value_batch_size: Rows for a step of V.
        trace: lambda of the generalised advantage.
        horizon: Steps that it looks ahead, at most.
        iterations: Of conjugate gradients, for a step of the actor.
        damping: Added to the diagonal of F.
        demonstration_weight: w_0.
        demonstration_decay: What the weight is multiplied by after each update.
        demonstration_scale: Units of w_0: the "largest" advantage (paper), or "one" (release).
    """

    actor: ActorConfig = ActorConfig(
        hidden=(32, 32), learning_rate=0.05**0.5, log_std_min=-3.0, log_std_max=1.0
    )
    value: NetworkConfig = NetworkConfig(hidden=(128, 128), weight_decay=1e-3)
    value_epochs: Count = 2
    value_batch_size: Count = 64
    trace: Rate = 0.97
    horizon: Count = 50
    iterations: Count = 10
    damping: Positive = 1e-4
    demonstration_weight: NotNegative = 0.01
    demonstration_decay: Rate = 0.95
    demonstration_scale: weighting.Scale = "largest"

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.actor.kind != "gaussian":
            yield "actor.kind", f"{self.actor.kind}: the Fisher matrix is that of a gaussian"


class DAPG(Method):
    """Evaluation of what it just did, and a step of a given length up the policy gradient."""

    Config = DAPGConfig
    config: DAPGConfig
    needs, bootstraps = frozenset({"segments", "returns", "final_observations", "is_online"}), False

    @property
    def segment_length(self) -> int:
        return self.config.horizon

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "value": self.make_value(self.config.value, generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        start = torch.tensor(self.config.demonstration_weight, device=self.device)
        return {"demonstration_weight": start}

    def make_optimizers(self) -> dict[str, Optimizer]:
        rate, decay = self.config.actor.learning_rate, self.config.actor.weight_decay
        plain = torch.optim.SGD(self.actor.parameters(), rate, weight_decay=decay)
        return super().make_optimizers() | {"actor": plain}

    def update(self, batches: Sequence[Batch]) -> Metrics:
        (batch,) = batches
        metrics = self.climb(batch)
        parts = max(1, self.world.size * len(batch.rewards) // self.config.value_batch_size)
        for number in range(self.config.value_epochs * parts):
            part = batch.part(slice(number % parts, None, parts))
            metrics |= self.descend(self.value_loss, part, ["value"])
        self.duals["demonstration_weight"].mul_(self.config.demonstration_decay)
        return metrics

    def value_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        value, columns = self.networks["value"], batch.columns
        with torch.no_grad():
            final = value(columns["final_observations"])  # [B]
            targets = td.one_step_target(columns["returns"], columns["return_discounts"], final)
        return td.value_error(value(batch.observations), targets, self.own_rows(batch))

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        policy, value = self.actor(batch.observations), self.networks["value"]
        advantages = returns.segment_advantages(value, batch.columns, trace=self.config.trace)
        weights = weighting.with_demonstrations(  # over the whole batch
            self.world.gather(advantages),
            self.world.gather(batch.columns["is_online"]),
            self.duals["demonstration_weight"],
            self.config.demonstration_scale,
        )
        log_probs = policy.log_prob(batch.actions)  # [B]
        loss, metrics = weighting.weighted_regression(log_probs, self.world.mine(weights))
        return loss, metrics | {"actor/std": policy.log_std.detach().exp().mean()}

    def climb(self, batch: Batch) -> Metrics:
        """The actor's step."""
        parameters, average = self.trained_by(["actor"]), self.world.average
        found, metrics = self.differentiate(self.actor_loss, batch, parameters)
        gradients = [each for each in found if each is not None]  # all of them
        average(gradients)
        now = self.actor(batch.observations)
        old, rows = (now.mean.detach(), now.log_std.detach()), self.own_rows(batch)
        divergence = (rows * natural.kl(*old, now.mean, now.log_std)).mean()
        product = natural.fisher(divergence, parameters, average, self.config.damping)
        self.follow(natural.unit_step(gradients, product, self.config.iterations), ["actor"])
        with torch.no_grad():
            new = self.actor(batch.observations)
            moved = (rows * natural.kl(*old, new.mean, new.log_std)).mean()
        return metrics | {"actor/kl": moved}

    def own_rows(self, batch: Batch) -> Tensor:
        """What each row [B] counts in a mean over its own; all alike where none is."""
        own = self.world.gather(batch.columns["is_online"])
        return self.world.mine(weighting.of_rows(own + (own.amax() == 0)))
