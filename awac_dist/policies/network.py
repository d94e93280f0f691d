"""What the kinds of policy share: layers read from a flat vector, and a tanh into the bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np

from awac_dist.policies.policy import NO_MEMORY
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

ZERO = np.zeros((), np.float32)  # compared at half the cost of Python's 0
MOST_STDS = np.float32(10)  # that a normalised observation is from the mean
Layers = Sequence[tuple[Array, Array]]  # weight [n, m] and bias [m] of each


def layer_shapes(sizes: Sequence[int], prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of linear layers from size to size, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (n, m) in enumerate(pairwise(sizes)):
        shapes |= {f"{prefix}weight_{layer}": (m, n), f"{prefix}bias_{layer}": (m,)}
    return shapes


def layers_of(arrays: Mapping[str, Array], count: int, prefix: str = "") -> Layers:
    """The same layers, to be multiplied with."""
    weights = (arrays[f"{prefix}weight_{layer}"].T for layer in range(count))
    return [(weight, arrays[f"{prefix}bias_{layer}"]) for layer, weight in enumerate(weights)]


def through(layers: Layers, inputs: Array) -> Array:
    """[..., n] after layers with a rectifier each."""
    hidden = inputs
    for weight, bias in layers:
        hidden = hidden @ weight
        hidden += bias
        np.maximum(hidden, ZERO, out=hidden)
    return hidden


class NetworkPolicy:
    """A multi-layer perceptron, whose samples lie around the mean unless a kind says otherwise.

    Its parameters are a vector [P] in the order of `PolicySpec.shapes`, `version` grad_steps old.
    """

    has_std: ClassVar[bool] = True  # whether arrays say how far samples spread
    std_in_half_ranges: ClassVar[bool] = True  # of the bounds; else in units of the last layer
    memory_size = 0

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        self.spec, self.version = spec, version
        self.input_size = spec.input_size
        self._mean_noise = self.mean_noise(spec)
        self.action_size, self.noise_size = spec.action_size, len(self._mean_noise)
        self.low, self.high = np.array([spec.action_low, spec.action_high], np.float32)
        self._centre, self._half_range = (self.high + self.low) / 2, (self.high - self.low) / 2
        arrays = self.arrays = spec.unflatten(vector)
        self._layers = layers_of(arrays, len(spec.layer_sizes) - 1)
        self._same_std = self._bounded(arrays["log_std"]) if "log_std" in arrays else None

    @classmethod
    def shapes(cls, spec: PolicySpec) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays by name, in the order of the flat vector."""
        shapes = layer_shapes(spec.layer_sizes)
        actions, observations = (spec.action_size,), (spec.input_size,)
        if cls.has_std and spec.state_dependent_std:
            shapes |= {"log_std_weight": (*actions, spec.layer_sizes[-2]), "log_std_bias": actions}
        elif cls.has_std:
            shapes |= {"log_std": actions}
        if spec.normalize_observations:
            shapes |= {"observation_shift": observations, "observation_scale": observations}
        return shapes

    @classmethod
    def mean_noise(cls, spec: PolicySpec) -> Array:
        """The noise [N] of a sample that is the mean: none."""
        return np.zeros(spec.action_size, np.float32)

    def actor(self) -> NetworkPolicy | None:
        """What another run can start from: the policy of its network alone, if that is one."""
        return self

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        """Actions [E, A] for observations [E, O] and standard normal noise [E, N]."""
        hidden = self._last_hidden(observations)
        actions = self._squashed(self._raw(hidden))
        actions += self._std(hidden) * noise
        return actions

    def mean(self, observations: Array, memory: Array = NO_MEMORY) -> Array:
        """The mean action [E, A], which is what gets evaluated."""
        return self._squashed(self._raw(self._last_hidden(observations)))

    def _seen(self, observations: Array) -> Array:
        """Observations [E, O] as networks get them."""
        if not self.spec.normalize_observations:
            return observations
        shift, scale = self.arrays["observation_shift"], self.arrays["observation_scale"]
        return np.clip((observations - shift) / scale, -MOST_STDS, MOST_STDS)

    def _last_hidden(self, observations: Array) -> Array:
        return through(self._layers[:-1], self._seen(observations))

    def _raw(self, hidden: Array) -> Array:
        """What the last layer gives: any number [E, A]."""
        weight, bias = self._layers[-1]
        raw: Array = hidden @ weight
        raw += bias
        return raw

    def _squashed(self, raw: Array) -> Array:
        """The same inside the bounds, in place."""
        np.tanh(raw, out=raw)
        raw *= self._half_range
        raw += self._centre
        return raw

    def _std(self, hidden: Array) -> Array:
        """Standard deviations of samples, the same in all states [A] or not [E, A]."""
        if self._same_std is not None:
            return self._same_std
        return self._bounded(hidden @ self.arrays["log_std_weight"].T + self.arrays["log_std_bias"])

    def _bounded(self, logits: Array) -> Array:
        """Standard deviations whose logarithms lie in the spec's bounds, by a sigmoid."""
        low, high = self.spec.log_std_min, self.spec.log_std_max
        std = np.exp(low + (high - low) / (1 + np.exp(-logits)))
        return np.asarray(self._half_range * std if self.std_in_half_ranges else std, np.float32)
