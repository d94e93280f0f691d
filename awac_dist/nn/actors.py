"""The Gaussian actor: tanh on the mean only, so that samples may leave the bounds.

Squashing the mean and not the sample is the released AWAC's choice: the log-probability
of a logged action is a plain Gaussian density, finite for every action in the data.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from awac_dist.nn.distributions import DiagonalGaussian
from awac_dist.policies.spec import PolicySpec

LAST_LAYER_INIT = 1e-3


class GaussianActor(nn.Module):
    """State -> Gaussian over actions, in the units of the environment.

    The parameters stand in the order of `PolicySpec.shapes`, which is what makes the
    flat vector readable without torch.
    """

    centre: Tensor
    half_range: Tensor

    def __init__(self, spec: PolicySpec, generator: Generator) -> None:
        super().__init__()
        self.spec = spec
        self.weights = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in spec.shapes])
        low, high = torch.tensor(spec.action_low), torch.tensor(spec.action_high)
        self.register_buffer("centre", (high + low) / 2, persistent=False)
        self.register_buffer("half_range", (high - low) / 2, persistent=False)
        self._num_layers = len(spec.layer_sizes) - 1
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: Generator) -> None:
        last = self._num_layers - 1
        for layer in range(self._num_layers):
            weight = self.weights[2 * layer]
            bound = LAST_LAYER_INIT if layer == last else weight.shape[1] ** -0.5
            weight.uniform_(-bound, bound, generator=generator)
        if self.spec.state_dependent_std:
            self.weights[2 * self._num_layers].uniform_(
                -LAST_LAYER_INIT, LAST_LAYER_INIT, generator=generator
            )

    def forward(self, observations: Tensor) -> DiagonalGaussian:
        """[..., O] -> a distribution over actions [..., A]."""
        hidden = observations
        for layer in range(self._num_layers - 1):
            hidden = torch.relu(self._linear(hidden, layer))
        # a mean rounded to bfloat16 would be off by as much as a small standard deviation
        with torch.autocast(hidden.device.type, enabled=False):
            return self._distribution(hidden.to(self.centre.dtype))

    def _distribution(self, hidden: Tensor) -> DiagonalGaussian:
        """Read mean and standard deviation [..., A] off the last hidden layer [..., H]."""
        raw = self._linear(hidden, self._num_layers - 1)
        mean = self.centre + self.half_range * torch.tanh(raw)
        if self.spec.state_dependent_std:
            logits = self._linear(hidden, self._num_layers)
        else:
            logits = self.weights[2 * self._num_layers]
        low, high = self.spec.log_std_min, self.spec.log_std_max
        log_std = low + torch.sigmoid(logits) * (high - low)
        return DiagonalGaussian(mean, (log_std + self.half_range.log()).expand_as(mean))

    def _linear(self, inputs: Tensor, layer: int) -> Tensor:
        return nn.functional.linear(inputs, self.weights[2 * layer], self.weights[2 * layer + 1])

    def flat_vector(self) -> Tensor:
        """All parameters as one vector [P], in the order of `PolicySpec.shapes`."""
        return torch.cat([weight.detach().flatten() for weight in self.weights])
