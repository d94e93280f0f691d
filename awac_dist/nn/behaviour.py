"""A model of the data's actions that can be sampled, and a perturbation of what it gives.

Both work on actions in half ranges of the bounds around their centre, "units".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from awac_dist.policies.network import layer_shapes
from awac_dist.types import EnvSpec

LOG_STD_BOUNDS = -4.0, 15.0  # of the encoder (Fujimoto et al., 2019)


class MLP(nn.Module):
    """Linear layers with a rectifier between them: [..., n] -> [..., m].

    Inputs may come in parts, of which the first lack leading dimensions of the last.
    """

    def __init__(self, sizes: Sequence[int], generator: Generator) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.zeros(s) for s in layer_shapes(sizes).values())
        for weight in self.weights[::2]:
            bound = weight.shape[1] ** -0.5
            nn.init.uniform_(weight, -bound, bound, generator)

    def forward(self, *parts: Tensor) -> Tensor:
        leading = parts[-1].shape[:-1]
        hidden = torch.cat([part.expand(*leading, part.shape[-1]) for part in parts], dim=-1)
        for weight, bias in zip(self.weights[:-2:2], self.weights[1:-2:2], strict=True):
            hidden = torch.relu_(nn.functional.linear(hidden, weight, bias))
        return nn.functional.linear(hidden, self.weights[-2], self.weights[-1])

    def arrays(self, prefix: str = "") -> dict[str, Tensor]:
        """The parameters by their names in a policy; they share its memory."""
        sizes = [weight.shape[1] for weight in self.weights[::2]] + [len(self.weights[-1])]
        weights = (weight.detach() for weight in self.weights)
        return dict(zip(layer_shapes(sizes, prefix), weights, strict=True))


class Bounded(nn.Module):
    """What has to do with actions [..., A] inside the bounds of a task."""

    centre: Tensor
    half_range: Tensor

    def __init__(self, spec: EnvSpec) -> None:
        super().__init__()
        low, high = torch.tensor(spec.action_low), torch.tensor(spec.action_high)
        self.register_buffer("centre", (high + low) / 2, persistent=False)
        self.register_buffer("half_range", (high - low) / 2, persistent=False)

    def in_units(self, actions: Tensor) -> Tensor:
        """Actions in half ranges around the centre."""
        return (actions - self.centre) / self.half_range

    def of_units(self, units: Tensor) -> Tensor:
        """Actions of so many half ranges around the centre."""
        return self.centre + self.half_range * units


class VAE(Bounded):
    """A conditional variational auto-encoder of actions (Sohn et al., 2015).

    encoder  z ~ N(mean, std) of MLP(s, u)
    decoder  u = tanh(MLP(s, z))
    """

    def __init__(
        self, spec: EnvSpec, hidden: tuple[int, ...], latent_size: int, generator: Generator
    ) -> None:
        super().__init__(spec)
        observed, acted = spec.input_size, spec.action_size
        self.latent_size = latent_size
        self.encoder = MLP((observed + acted, *hidden, 2 * latent_size), generator)
        self.decoder = MLP((observed + latent_size, *hidden, acted), generator)

    def encode(self, observations: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation [B, Z] of the latent."""
        mean, log_std = self.encoder(observations, units).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_BOUNDS)

    def decode(self, observations: Tensor, latents: Tensor) -> Tensor:
        """What the tanh of is the unit action [..., B, A] of latents [..., B, Z]."""
        raw: Tensor = self.decoder(observations, latents)
        return raw


class Perturbation(Bounded):
    """u + phi * tanh(MLP(s, u)), kept in the bounds: actions [..., B, A] of units [..., B, A]."""

    def __init__(
        self, spec: EnvSpec, hidden: tuple[int, ...], size: float, generator: Generator
    ) -> None:
        super().__init__(spec)
        self.size = size  # phi
        self.network = MLP(
            (spec.input_size + spec.action_size, *hidden, spec.action_size), generator
        )

    def forward(self, observations: Tensor, units: Tensor) -> Tensor:
        moved = units + self.size * self.network(observations, units).tanh()
        return self.of_units(moved.clamp(-1, 1))
