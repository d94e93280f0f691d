"""Policies in training: the torch twin of each kind in `awac_dist.policies`.

Squashing the mean and not the sample, the Gaussian's way, is the released AWAC's choice: the
log-probability of a logged action is a plain Gaussian density, finite for every action.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

from awac_dist.nn.distributions import (
    Deterministic,
    DiagonalGaussian,
    Distribution,
    SquashedGaussian,
)
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

LAST_LAYER_INIT = 1e-3


class Actor(nn.Module, ABC):
    """State -> distribution over actions, in the units of the environment.

    The parameters stand in the order of `PolicySpec.shapes`, which is what makes the
    flat vector readable without torch. Observations come normalised, where they are. The first
    weights are drawn on the CPU: equal on every device.
    """

    centre: Tensor
    half_range: Tensor

    def __init__(self, spec: PolicySpec, generator: Generator) -> None:
        super().__init__()
        if spec.normalize_observations:
            raise ValueError("an actor is trained on observations that are normalised already")
        self.spec = spec
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in spec.shapes.values())
        low, high = torch.tensor(spec.action_low), torch.tensor(spec.action_high)
        self.register_buffer("centre", (high + low) / 2, persistent=False)
        self.register_buffer("half_range", (high - low) / 2, persistent=False)
        self._last = len(spec.layer_sizes) - 2
        for layer, weight in enumerate(self.weights[::2]):
            if weight.ndim == 2:
                bound = weight.shape[1] ** -0.5 if layer < self._last else LAST_LAYER_INIT
                nn.init.uniform_(weight, -bound, bound, generator)

    def forward(self, observations: Tensor) -> Distribution:
        """[..., O] -> a distribution over actions [..., A]."""
        hidden = observations
        for layer in range(self._last):
            hidden = torch.relu_(self._linear(hidden, layer))  # in place: half the memory traffic
        # a mean rounded to bfloat16 would be off by as much as a small standard deviation
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.centre.dtype)
            return self._distribution(hidden, self._linear(hidden, self._last))

    @abstractmethod
    def _distribution(self, hidden: Tensor, raw: Tensor) -> Distribution:
        """Of the last hidden layer [..., H] and what the last layer gives [..., A]."""

    def _linear(self, inputs: Tensor, layer: int) -> Tensor:
        return nn.functional.linear(inputs, self.weights[2 * layer], self.weights[2 * layer + 1])

    def _squashed(self, raw: Tensor) -> Tensor:
        return self.centre + self.half_range * torch.tanh(raw)

    def _log_std(self, hidden: Tensor) -> Tensor:
        """[..., A] or [A], between the bounds of the spec."""
        if self.spec.state_dependent_std:
            logits = self._linear(hidden, self._last + 1)
        else:
            logits = self.weights[-1]
        low, high = self.spec.log_std_min, self.spec.log_std_max
        return low + torch.sigmoid(logits) * (high - low)

    def arrays(self) -> dict[str, Tensor]:
        """The parameters by their names in the spec; they share its memory."""
        weights = [weight.detach() for weight in self.weights]
        return dict(zip(self.spec.shapes, weights, strict=True))

    @torch.no_grad()
    def load_arrays(self, arrays: Mapping[str, Array | Tensor]) -> None:
        """Take over the parameters of another policy of this spec.

        Raises:
            KeyError: One of them is missing.
        """
        for name, weight in self.arrays().items():
            weight.copy_(torch.as_tensor(arrays[name]))

    def flat_vector(self) -> Tensor:
        """All parameters as one vector [P], in the order of `PolicySpec.shapes`."""
        return torch.cat([weight.flatten() for weight in self.arrays().values()])


class GaussianActor(Actor):
    """Independent normals around a mean inside the bounds."""

    def _distribution(self, hidden: Tensor, raw: Tensor) -> DiagonalGaussian:
        mean, log_std = self._squashed(raw), self._log_std(hidden)
        return DiagonalGaussian(mean, (log_std + self.half_range.log()).expand_as(mean))


class SquashedGaussianActor(Actor):
    """Samples, not their mean, go through the tanh."""

    def _distribution(self, hidden: Tensor, raw: Tensor) -> SquashedGaussian:
        inner = DiagonalGaussian(raw, self._log_std(hidden).expand_as(raw))
        return SquashedGaussian(inner, self.centre, self.half_range)


class DeterministicActor(Actor):
    """One action a state."""

    def _distribution(self, hidden: Tensor, raw: Tensor) -> Deterministic:
        mean, std = self._squashed(raw), self.spec.exploration_std
        return Deterministic(mean, self.centre, self.half_range, std)


ACTORS: dict[str, type[Actor]] = {
    "gaussian": GaussianActor,
    "squashed_gaussian": SquashedGaussianActor,
    "deterministic": DeterministicActor,
}


def make_actor(spec: PolicySpec, generator: Generator) -> Actor:
    """The trainable twin of a kind of policy."""
    return ACTORS[spec.kind](spec, generator)
