"""Batch-constrained Q-learning (Fujimoto et al., 2019, https://arxiv.org/abs/1812.02900).

    behaviour  min E_D[ mean (u - D(s, z))^2 + 1/2 KL(E(s, u) || N(0, 1)) ],   z ~ E(s, u)
    critic     y = r + d * max_i [ w min_e Q'_e(s', a_i) + (1 - w) max_e Q'_e(s', a_i) ]
    actor      max_pi E[ Q_1(s, a) ]
    acting     argmax_i Q_1(s, a_i)

A proposal is an action of the model, D(s, z) of z ~ N(0, 1) clipped to [-1/2, 1/2], which the actor
moves by at most phi: a = clip(u + phi tanh(MLP(s, u)), -1, 1), in half ranges.

The options of the actor's kind and spread are those of a clone, which adds trajectories; the
perturbation cannot start from one. Departures: model and perturbation see actions in half ranges,
theirs in the task's units; biases start at 0. Online, where the paper has none, it acts by the same
choice: what it explores is the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from awac_dist.algorithms.support import LATENTS, Support, SupportConfig
from awac_dist.nn.config import ActorConfig
from awac_dist.policies.perturbed_vae import DECODER
from awac_dist.policies.spec import PolicySpec
from awac_dist.ranges import Rate, Several
from awac_dist.types import EnvSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.nn.behaviour import Perturbation
    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class BCQConfig(SupportConfig):
    """Batch-constrained Q-learning.

    Attributes:
        actor: The perturbation's network, and a clone's.
        max_perturbation: phi, in half ranges: 1 is a policy that is not constrained.
    """

    actor: ActorConfig = ActorConfig((400, 300))
    max_perturbation: Rate = 0.05
    candidates: Several = 100

    def policy_spec(self, env: EnvSpec) -> PolicySpec:
        return self.critic.choosing(
            "perturbed_vae",
            self.actor.policy_spec(env),
            self.candidates,
            members=1,
            decoder_hidden=self.behaviour.hidden,
            latent_size=LATENTS * env.action_size,
            max_perturbation=self.max_perturbation,
        )


class BCQ(Support):
    """Evaluation of the best of the data's actions, and a policy that climbs Q beside them."""

    Config = BCQConfig
    config: BCQConfig
    adopts = False
    acts_with = ("actor", "critic", "behaviour")

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        from awac_dist.nn.behaviour import Perturbation

        hidden, size = self.config.actor.hidden, self.config.max_perturbation
        return {
            "actor": Perturbation(self.task.spec, hidden, size, generator),
            "critic": self.make_critic(self.config.critic, generator),
            "behaviour": self.make_vae(generator),
        }

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        noise = self.noise_of(batch.observations, 1)
        actions = self.propose(self.networks["actor"], batch.observations, noise)  # [1, B, A]
        values = self.critic(batch.observations, actions)[0]  # [1, B], of the first critic
        loss = -values.mean()
        return loss, {"actor/loss": loss.detach(), "actor/value_mean": values.detach().mean()}

    @property
    def noise_size(self) -> int:
        return self.vae.latent_size

    def propose(self, actor: nn.Module, states: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            units = self.decoded(states, noise).tanh()
        return cast("Tensor", actor(states, units))

    def proposing(self) -> dict[str, Tensor]:
        perturbation = cast("Perturbation", self.networks["actor"])
        return perturbation.network.arrays() | self.vae.decoder.arrays(DECODER)
