"""The skeleton of the methods that keep to the support of the data, as a VAE models it.

    behaviour  min E_D[ mean (u - D(s, z))^2 + 1/2 KL(E(s, u) || N(0, 1)) ],   z ~ E(s, u)
    critic     y = r + d * max_i [ w min_e Q'_e(s', a_i) + (1 - w) max_e Q'_e(s', a_i) ]
    acting     argmax_i Q_1(s, a_i)
    target     Q', pi' <- (1 - tau) Q', pi' + tau Q, pi, after all steps

The policy proposes the actions a_i, in the target its slow copy does. u are actions in half ranges,
KL is the mean over the latents. What the model gives for others is of latents N(0, 1), clipped.

Fujimoto et al., 2019 (https://arxiv.org/abs/1812.02900).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Alternating
from awac_dist.algorithms.world import Acting
from awac_dist.losses import behaviour, td
from awac_dist.nn.config import CriticConfig, NetworkConfig
from awac_dist.policies.perturbed_vae import MOST_LATENT
from awac_dist.ranges import Count, Rate, Several

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.nn.behaviour import VAE
    from awac_dist.tensors import Batch, Metrics

LATENTS = 2  # for each action dimension


@dataclass(frozen=True)
class SupportConfig(MethodConfig):
    """A method that keeps to the support of the data.

    Attributes:
        critic: The critics.
        behaviour: The model of the data's actions: an encoder and a decoder of these sizes.
        min_share: w, the least critic's share in the target; the highest one has the rest.
        target_candidates: Actions of which the target takes the best.
        candidates: Actions of which the policy that acts takes the first critic's favourite.
    """

    critic: CriticConfig = CriticConfig((400, 300))
    behaviour: NetworkConfig = NetworkConfig((750, 750))
    min_share: Rate = 0.75
    target_candidates: Count = 10
    candidates: Several = 10


class Support(Alternating):
    """Evaluation of the best of a few actions that the data may have. A method proposes them."""

    config: SupportConfig
    slow_copies = ("critic", "actor")
    acts_with: ClassVar[tuple[str, ...]] = ("actor", "critic")

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """How many numbers of noise a proposal takes."""

    @abstractmethod
    def propose(self, actor: nn.Module, states: Tensor, noise: Tensor) -> Tensor:
        """Actions [..., B, A] of the actor, or its slow copy, for noise [..., B, n]."""

    @abstractmethod
    def proposing(self) -> dict[str, Tensor]:
        """The arrays of the policy that acts that are not the critics'."""

    def make_vae(self, generator: Generator) -> VAE:
        """The model of the data's actions."""
        from awac_dist.nn.behaviour import VAE

        spec, latents = self.task.spec, LATENTS * self.task.spec.action_size
        return VAE(spec, self.config.behaviour.hidden, latents, generator)

    @property
    def vae(self) -> VAE:
        """The same, in training."""
        return cast("VAE", self.networks["behaviour"])

    def update(self, batches: Sequence[Batch]) -> Metrics:
        (batch,) = batches
        metrics = self.descend(self.behaviour_loss, batch, ["behaviour"])
        metrics |= self.descend(self.critic_loss, batch, ["critic"])
        metrics |= self.descend(self.actor_loss, batch, ["actor"])
        self.move_targets()
        self.after_update(batch, metrics)
        return metrics

    def behaviour_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        units = self.vae.in_units(batch.actions)
        mean, log_std = self.vae.encode(batch.observations, units)  # [B, Z] each
        latents = mean + log_std.exp() * self.noise(mean)
        decoded = self.vae.decode(batch.observations, latents).tanh()
        return behaviour.vae_loss(decoded, units, mean, log_std)

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states, share = batch.next_observations, self.config.min_share
        with torch.no_grad():
            noise = self.noise_of(states, self.config.target_candidates)
            actions = self.propose(self.targets["actor"], states, noise)  # [N, B, A]
            q = self.target_critic(states, actions)  # [E, N, B]
            values = (share * q.amin(dim=0) + (1 - share) * q.amax(dim=0)).amax(dim=0)  # [B]
            targets = td.one_step_target(batch.rewards, batch.discounts, values)
        return td.squared_error(self.critic(batch.observations, batch.actions), targets)

    def noise_of(self, states: Tensor, count: int, size: int | None = None) -> Tensor:
        """Standard normal numbers [N, B, n] of so many proposals, or of `size` numbers each."""
        return self.noise(states.new_empty(len(states), size or self.noise_size), (count,))

    def decoded(self, states: Tensor, noise: Tensor) -> Tensor:
        """What the model gives [..., B, A], before the tanh, for latents [..., B, Z]."""
        return self.vae.decode(states, noise.clamp(-MOST_LATENT, MOST_LATENT))

    def acting(self) -> Acting:
        from awac_dist.nn.choosing import critic_arrays

        spec = self.config.policy_spec(self.task.spec)
        return Acting(spec, self.proposing() | critic_arrays(self.critic, spec.critic_members))

    def act(self, observations: Tensor, noise: Tensor) -> Tensor:
        from awac_dist.nn.choosing import best, by_candidate

        each = by_candidate(noise, self.config.candidates)
        actions = self.propose(self.networks["actor"], observations, each)  # [N, B, A]
        return best(self.critic(observations, actions)[:1], actions)
