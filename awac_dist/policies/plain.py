"""A policy of somebody else's: a plain network from a file that knows no kind of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from awac_dist.errors import InputError
from awac_dist.policies.policy import NO_MEMORY
from awac_dist.types import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
    "none": lambda values: values,
}


class PlainPolicy:
    """Layers, activation, squash, normalisation of observations.

    `weight_i` [out, in] and `bias_i` [out] for i = 0, 1, ...; `activation` and `squash` by name;
    `observation_shift`, `observation_scale`, `observation_clip`; and `log_std` [A], or
    `log_std_weight` and `log_std_bias` (a head on the last hidden layer), or neither.
    A sample is squash(mean + exp(log_std) * noise). A missing array is an InputError.
    """

    version, memory_size = -1, 0
    low, high = -np.inf, np.inf  # such a file says nothing of the bounds

    def __init__(self, arrays: Mapping[str, np.ndarray], path: str) -> None:
        self._arrays = arrays
        try:
            count = sum(name.startswith("weight_") for name in arrays)
            self._layers = [(arrays[f"weight_{i}"].T, arrays[f"bias_{i}"]) for i in range(count)]
            self._activate = ACTIVATIONS[str(arrays["activation"])]
            self._squash = ACTIVATIONS[str(arrays["squash"])]
            self._shift, self._scale = arrays["observation_shift"], arrays["observation_scale"]
            self._clip = arrays["observation_clip"]
        except KeyError as error:
            raise InputError(f"{path}: is no policy file: {error} is missing or unknown") from error
        if not self._layers:
            raise InputError(f"{path}: is no policy file: it has no layers")
        self.input_size = len(self._layers[0][0])
        self.noise_size = self.action_size = self._layers[-1][0].shape[1]

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        hidden = np.clip((observations - self._shift) / self._scale, -self._clip, self._clip)
        for weight, bias in self._layers[:-1]:
            hidden = self._activate(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        mean = hidden @ weight + bias
        return np.asarray(self._squash(mean + self._std(hidden) * noise), np.float32)

    def mean(self, observations: Array, memory: Array = NO_MEMORY) -> Array:
        return self.sample(observations, np.zeros(self.noise_size, np.float32))

    def _std(self, hidden: Array) -> Array:
        arrays = self._arrays
        if "log_std_weight" in arrays:
            logits = hidden @ arrays["log_std_weight"].T + arrays["log_std_bias"]
            return np.exp(np.clip(logits, -20, 2))
        return np.exp(arrays.get("log_std", -np.inf))
