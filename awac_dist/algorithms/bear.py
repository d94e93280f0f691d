"""Bootstrapping error accumulation reduction (Kumar et al., 2019, https://arxiv.org/abs/1906.00949).

    behaviour  min E_D[ mean (u - D(s, z))^2 + 1/2 KL(E(s, u) || N(0, 1)) ],   z ~ E(s, u)
    critic     y = r + d * max_i [ w min_e Q'_e(s', a_i) + (1 - w) max_e Q'_e(s', a_i) ],  a_i ~ pi'
    actor      max_pi E[ mean_n min_e Q_e(s, a_n) ],   a_n ~ pi,   subject to E[ MMD ] <= epsilon
    alpha      max_alpha alpha * (MMD - epsilon),   the constraint's weight in the actor's loss
    acting     argmax_i Q_1(s, a_i),   a_i ~ pi

MMD(s) is between N actions of the policy and N of the model, both before their tanh; those of the
model are of latents clipped to [-1/2, 1/2]. In its first steps the actor lowers alpha * MMD alone.
The "loose" BEAR of the AWAC paper has another epsilon online.

Departures: the policy's log std is bounded. The authors' code clips its noise in the MMD, too, and
can add a penalty on the critics' spread; its d4rl release has no slow copy of the policy, and Q of
one action. That release has a Gaussian kernel, layers of 256 and step sizes of 1e-4 and 3e-4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch

from awac_dist.algorithms.support import Support, SupportConfig
from awac_dist.losses import mmd
from awac_dist.nn.config import SQUASHED_ACTOR, ActorConfig
from awac_dist.policies.spec import PolicySpec
from awac_dist.ranges import Count, Natural, Positive
from awac_dist.types import EnvSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.nn.distributions import SquashedGaussian
    from awac_dist.tensors import Batch, Metrics

LOG_WEIGHT_BOUNDS = -5.0, 10.0  # of alpha's logarithm


@dataclass(frozen=True)
class BEARConfig(SupportConfig):
    """Bootstrapping error accumulation reduction.

    Attributes:
        kernel: Of the MMD: "laplacian", or "gaussian", which the d4rl release has.
        bandwidth: sigma of the kernel. Paper: 10 HalfCheetah and Hopper, 20 Walker2d and Ant;
            AWAC paper: 50.
        divergence_samples: N, actions of the policy and of the model between which the MMD is.
        epsilon: What the MMD may be. Paper: 0.05; AWAC paper: 0.02 locomotion, 0.05 hand.
        online_epsilon: The same online; None is what it is offline. AWAC paper: from 0.02 to 0.15.
        divergence_updates: Updates in which the actor lowers the MMD alone.
        penalty_weight_learning_rate: Step size of alpha's logarithm.
    """

    actor: ActorConfig = replace(SQUASHED_ACTOR, hidden=(400, 300), learning_rate=1e-3)
    kernel: mmd.Kernel = "laplacian"
    bandwidth: Positive = 20.0
    divergence_samples: Count = 10
    epsilon: Positive = 0.05
    online_epsilon: Positive | None = None
    divergence_updates: Natural = 40_000
    penalty_weight_learning_rate: Positive = 1e-3

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.actor.kind != "squashed_gaussian":
            yield "actor.kind", f"{self.actor.kind} draws nothing before a tanh"

    def policy_spec(self, env: EnvSpec) -> PolicySpec:
        actor = self.actor.policy_spec(env)
        return self.critic.choosing("best_of_n", actor, self.candidates, members=1)


class BEAR(Support):
    """Evaluation of the best of the policy's actions, and a policy that climbs Q near the data."""

    Config = BEARConfig
    config: BEARConfig
    knows_online = True

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator),
            "behaviour": self.make_vae(generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        return {
            "penalty_weight": torch.nn.Parameter(torch.zeros((), device=self.device)),
            "updates": torch.zeros((), device=self.device),
        }

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states, count = batch.observations, self.config.divergence_samples
        policy = cast("SquashedGaussian", self.actor(states))
        noise = self.noise_of(states, count)
        with torch.no_grad():
            modelled = self.decoded(states, self.noise_of(states, count, self.vae.latent_size))
        divergence = mmd.mmd(
            policy.inner.at(noise),
            modelled,
            kernel=self.config.kernel,
            bandwidth=self.config.bandwidth,
        ).mean()
        values = self.critic(states, policy.at(noise)).amin(dim=0).mean()
        climbs = (self.duals["updates"] >= self.config.divergence_updates).to(values.dtype)
        weight = self.duals["penalty_weight"].detach().exp()
        loss = weight * divergence - climbs * values
        return loss, {
            "actor/loss": loss.detach(),
            "actor/value_mean": values.detach(),
            "actor/divergence": divergence.detach(),
            "actor/penalty_weight": weight,
            "actor/std": policy.log_std.detach().exp().mean(),
        }

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        dual, epsilon = self.duals["penalty_weight"], self.config.epsilon
        if self.online and self.config.online_epsilon is not None:
            epsilon = self.config.online_epsilon
        self.step(-dual.exp() * (metrics["actor/divergence"] - epsilon), ["penalty_weight"])
        dual.data.clamp_(*LOG_WEIGHT_BOUNDS)
        self.duals["updates"].add_(1)

    @property
    def noise_size(self) -> int:
        return self.task.spec.action_size

    def propose(self, actor: nn.Module, states: Tensor, noise: Tensor) -> Tensor:
        return cast("Tensor", actor(states).at(noise))

    def proposing(self) -> dict[str, Tensor]:
        return self.actor.arrays()
