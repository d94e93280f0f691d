"""The policy as a few NumPy arrays: what acts needs no torch."""

from __future__ import annotations

import numpy as np

from awac_dist.types import Array, PolicySpec


class GaussianPolicy:
    """The torch actor's twin, read from one flat vector.

    Args:
        spec: Shapes and bounds.
        vector: [P] parameters in the order of `PolicySpec.shapes`.
        version: grad_steps behind them.

    Raises:
        ValueError: The vector has another length than the shapes need.
    """

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        if len(vector) != spec.size:
            raise ValueError(f"a policy of {spec.size} parameters was given {len(vector)}")
        self.version = version
        self._spec = spec
        ends = np.cumsum([np.prod(shape) for shape in spec.shapes])[:-1]
        arrays = [
            part.reshape(shape)
            for part, shape in zip(np.split(vector, ends), spec.shapes, strict=True)
        ]
        num_layers = len(spec.layer_sizes) - 1
        self._layers = [(arrays[2 * i].T, arrays[2 * i + 1]) for i in range(num_layers)]
        self._std_head = arrays[2 * num_layers :]
        low = np.array(spec.action_low, np.float32)
        high = np.array(spec.action_high, np.float32)
        self._centre, self._half_range = (high + low) / 2, (high - low) / 2

    def mean(self, observations: Array) -> Array:
        """The mean action [E, A], which is what gets evaluated."""
        return self._mean(self._last_hidden(observations))

    def sample(self, observations: Array, noise: Array) -> Array:
        """Actions [E, A] for observations [E, O] and standard normal noise [E, A]."""
        hidden = self._last_hidden(observations)
        return self._mean(hidden) + self._std(hidden) * noise

    def _last_hidden(self, observations: Array) -> Array:
        hidden = observations
        for weight, bias in self._layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0)
        return hidden

    def _mean(self, hidden: Array) -> Array:
        weight, bias = self._layers[-1]
        return self._centre + self._half_range * np.tanh(hidden @ weight + bias)

    def _std(self, hidden: Array) -> Array:
        if self._spec.state_dependent_std:
            weight, bias = self._std_head
            logits = hidden @ weight.T + bias
        else:
            (logits,) = self._std_head
        low, high = self._spec.log_std_min, self._spec.log_std_max
        log_std = low + (high - low) / (1 + np.exp(-logits))
        return self._half_range * np.exp(log_std)
