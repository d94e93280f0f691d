"""What a policy of arrays does by its mean, in torch: normalised observations [B, O] to actions.

A kind that chooses among candidates is a class of `PROPOSALS` here; all others have their `Actor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from awac_dist.nn.actors import make_actor
from awac_dist.nn.behaviour import MLP, Perturbation
from awac_dist.nn.choosing import best
from awac_dist.nn.critics import CriticEnsemble
from awac_dist.policies.beside_clone import CLONE
from awac_dist.policies.choosing import CRITIC
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.perturbed_vae import DECODER, MOST_LATENT
from awac_dist.types import Array, EnvSpec


class Mean(nn.Module):
    """The mean [B, A] of an actor of a kind whose arrays a policy has, maybe under a prefix."""

    def __init__(self, kind: str, policy: NetworkPolicy, prefix: str = "") -> None:
        super().__init__()
        spec = replace(policy.spec, kind=kind, normalize_observations=False)
        self.actor = make_actor(spec, Generator())
        self.actor.load_arrays({name: policy.arrays[prefix + name] for name in spec.shapes})

    def forward(self, seen: Tensor) -> Tensor:
        mean: Tensor = self.actor(seen).mean
        return mean


class BestOfN(Mean):
    """Samples [N, B, A] of a squashed Gaussian."""

    noise: Tensor

    def __init__(self, policy: NetworkPolicy) -> None:
        super().__init__("squashed_gaussian", policy)
        self.register_buffer("noise", _mean_noise(policy))

    def forward(self, seen: Tensor) -> Tensor:
        samples: Tensor = self.actor(seen).at(self.noise)
        return samples


class BesideClone(nn.Module):
    """An actor's action and a clone's [2, B, A]."""

    def __init__(self, policy: NetworkPolicy) -> None:
        super().__init__()
        self.own, self.clone = (Mean("deterministic", policy, its) for its in ("", CLONE))

    def forward(self, seen: Tensor) -> Tensor:
        return torch.stack((self.own(seen), self.clone(seen)))


class PerturbedVAE(nn.Module):
    """Perturbed actions [N, B, A] of a decoder."""

    latents: Tensor

    def __init__(self, policy: NetworkPolicy) -> None:
        super().__init__()
        spec, (size, *hidden, actions) = policy.spec, policy.spec.layer_sizes
        env = EnvSpec("", size, actions, spec.action_low, spec.action_high, None)
        sizes = (size + spec.latent_size, *spec.decoder_hidden, actions)
        self.decoder = MLP(sizes, Generator())
        self.move = Perturbation(env, tuple(hidden), spec.max_perturbation, Generator())
        _load(self.decoder.arrays(DECODER) | self.move.network.arrays(), policy.arrays)
        self.register_buffer("latents", _mean_noise(policy).clamp(-MOST_LATENT, MOST_LATENT))

    def forward(self, seen: Tensor) -> Tensor:
        latents = self.latents.expand(-1, seen.shape[0], -1)
        moved: Tensor = self.move(seen, self.decoder(seen, latents).tanh())
        return moved


PROPOSALS: dict[str, type[nn.Module]] = {  # kind -> what makes its candidates [N, B, A]
    "best_of_n": BestOfN,
    "beside_clone": BesideClone,
    "perturbed_vae": PerturbedVAE,
}


class Choice(nn.Module):
    """The candidate [B, A] that the critics like best, of those of the mean."""

    def __init__(self, policy: NetworkPolicy) -> None:
        super().__init__()
        spec = policy.spec
        self.propose = PROPOSALS[spec.kind](policy)
        self.critic = CriticEnsemble(
            spec.input_size + spec.action_size,
            spec.critic_hidden,
            spec.critic_members,
            generator=Generator(),
            layer_norm=spec.critic_layer_norm,
        )
        named = {f"{CRITIC}{name}": its.detach() for name, its in self.critic.named_parameters()}
        _load(named, policy.arrays)

    def forward(self, seen: Tensor) -> Tensor:
        candidates = self.propose(seen)
        return best(self.critic(seen, candidates), candidates)


def _load(own: Mapping[str, Tensor], arrays: Mapping[str, Array]) -> None:
    for name, parameter in own.items():
        parameter.copy_(torch.tensor(arrays[name]))


def _mean_noise(policy: NetworkPolicy) -> Tensor:
    """Of each candidate, the same in all states: [N, 1, n]."""
    return torch.tensor(policy.mean_noise(policy.spec)).reshape(policy.spec.candidates, 1, -1)
