"""Action distributions whose samples come from a generator that the caller owns."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class DiagonalGaussian:
    """Independent normals. mean, log_std: [..., A]."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean = mean
        self.log_std = log_std

    def sample(self, generator: Generator, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw reparameterised actions [*shape, ..., A]: gradients reach mean and std."""
        noise = torch.randn(
            (*shape, *self.mean.shape),
            generator=generator,
            device=self.mean.device,
            dtype=self.mean.dtype,
        )
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density of actions [..., A], summed over A: [...]."""
        standardised = (actions - self.mean) * (-self.log_std).exp()
        return (-0.5 * standardised.square() - self.log_std - LOG_SQRT_2PI).sum(dim=-1)
