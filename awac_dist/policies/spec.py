"""What a policy is made of, enough to read it from one flat vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PolicySpec:
    """Shape of a Gaussian policy, enough to read it from one flat vector.

    mean = centre + half_range * tanh(MLP(s)); std = half_range * exp(log_std), where
    log_std is squashed into [min, max] by a sigmoid. The flat vector holds, layer by
    layer, weight [out, in] then bias [out]; then either log-std logits [A], or the
    weight and bias of a second head on the last hidden layer.
    """

    layer_sizes: tuple[int, ...]  # O, hidden ..., A
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    state_dependent_std: bool
    log_std_min: float = -6.0
    log_std_max: float = 0.0

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays in the flat vector, in order."""
        pairs = zip(self.layer_sizes[:-1], self.layer_sizes[1:], strict=True)
        layers = [shape for n, m in pairs for shape in ((m, n), (m,))]
        action_size = self.layer_sizes[-1]
        if self.state_dependent_std:
            return (*layers, (action_size, self.layer_sizes[-2]), (action_size,))
        return (*layers, (action_size,))

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)
