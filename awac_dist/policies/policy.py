"""The policy as a few NumPy arrays: what acts needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from awac_dist.errors import InputError, RunFailed
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array, EnvSpec

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
    "none": lambda values: values,
}


ZERO = np.zeros((), np.float32)  # compared at half the cost of Python's 0


class PolicyFault(RunFailed):
    """A policy gave an action that is no finite number."""


class Policy(Protocol):
    """What a collector acts with."""

    version: int

    def sample(self, observations: Array, noise: Array) -> Array:
        """Actions [E, A] for observations [E, O] and noise [E, A]."""
        ...


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
        low = np.array(spec.action_low, np.float32)
        high = np.array(spec.action_high, np.float32)
        self._centre, self._half_range = (high + low) / 2, (high - low) / 2
        self._std_head = arrays[2 * num_layers :]
        self._same_std = None if spec.state_dependent_std else self._spread(self._std_head[0])

    def mean(self, observations: Array) -> Array:
        """The mean action [E, A], which is what gets evaluated."""
        return self._mean(self._last_hidden(observations))

    def sample(self, observations: Array, noise: Array) -> Array:
        """Actions [E, A] for observations [E, O] and standard normal noise [E, A]."""
        hidden = self._last_hidden(observations)
        actions = self._mean(hidden)
        actions += self._std(hidden) * noise
        return actions

    def _last_hidden(self, observations: Array) -> Array:
        hidden = observations
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, ZERO, out=hidden)
        return hidden

    def _mean(self, hidden: Array) -> Array:
        weight, bias = self._layers[-1]
        mean = hidden @ weight
        mean += bias
        np.tanh(mean, out=mean)
        mean *= self._half_range
        mean += self._centre
        return mean

    def _std(self, hidden: Array) -> Array:
        if self._same_std is not None:
            return self._same_std
        weight, bias = self._std_head
        return self._spread(hidden @ weight.T + bias)

    def _spread(self, logits: Array) -> Array:
        """Standard deviations of the actions, which may lie between two bounds."""
        low, high = self._spec.log_std_min, self._spec.log_std_max
        log_std = low + (high - low) / (1 + np.exp(-logits))
        return np.asarray(self._half_range * np.exp(log_std), np.float32)


class UnitPolicy:
    """Noise alone, in units of half of the action range around its centre, kept inside it."""

    version = -1

    def __init__(self, spec: EnvSpec) -> None:
        low = np.array(spec.action_low, np.float32)
        high = np.array(spec.action_high, np.float32)
        self._centre, self._half_range = (high + low) / 2, (high - low) / 2

    def sample(self, observations: Array, noise: Array) -> Array:
        inside = np.clip(noise, -1, 1)
        return (self._centre + self._half_range * inside).astype(np.float32)


def check_sizes(name: str, inputs: int, actions: int, spec: EnvSpec) -> None:
    """Refuse a policy for a task of other sizes.

    Raises:
        InputError: It is one.
    """
    if (inputs, actions) != (spec.input_size, spec.action_size):
        raise InputError(
            f"{name}: reads {inputs} observations and gives {actions} actions, but "
            f"{spec.env_id} has {spec.input_size} and {spec.action_size}"
        )


class FilePolicy:
    """A policy from an `.npz` file: layers, activation, squash, normalisation of observations.

    `weight_i` [out, in] and `bias_i` [out] for i = 0, 1, ...; `activation` and `squash` by name;
    `observation_shift`, `observation_scale`, `observation_clip`; and `log_std` [A], or
    `log_std_weight` and `log_std_bias` (a head on the last hidden layer), or neither.
    A sample is squash(mean + exp(log_std) * noise).

    Args:
        arrays: The file's arrays.
        path: Its name, for errors.
        spec: The task.

    Raises:
        InputError: An array is missing, or its sizes are another task's.
    """

    version = -1

    def __init__(self, arrays: Mapping[str, np.ndarray], path: str, spec: EnvSpec) -> None:
        try:
            count = sum(name.startswith("weight_") for name in arrays)
            self._layers = [(arrays[f"weight_{i}"].T, arrays[f"bias_{i}"]) for i in range(count)]
            self._activate = ACTIVATIONS[str(arrays["activation"])]
            self._squash = ACTIVATIONS[str(arrays["squash"])]
            self._shift, self._scale = arrays["observation_shift"], arrays["observation_scale"]
            self._clip = arrays["observation_clip"]
        except KeyError as error:
            raise InputError(f"{path}: is no policy file: {error} is missing or unknown") from error
        self._log_std = arrays.get("log_std")
        self._head = arrays.get("log_std_weight"), arrays.get("log_std_bias")
        check_sizes(path, len(self._layers[0][0]), self._layers[-1][0].shape[1], spec)

    def sample(self, observations: Array, noise: Array) -> Array:
        hidden = np.clip((observations - self._shift) / self._scale, -self._clip, self._clip)
        for weight, bias in self._layers[:-1]:
            hidden = self._activate(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        mean = hidden @ weight + bias
        return np.asarray(self._squash(mean + self._std(hidden) * noise), np.float32)

    def _std(self, hidden: Array) -> Array | float:
        weight, bias = self._head
        if weight is not None and bias is not None:
            return np.exp(np.clip(hidden @ weight.T + bias, -20, 2))
        return 0.0 if self._log_std is None else np.exp(self._log_std)


def load_file_policy(path: str, spec: EnvSpec) -> FilePolicy:
    """Read an `.npz` policy; nothing in it is executed.

    Raises:
        InputError: It cannot be read, or does not fit the task.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return FilePolicy(dict(file), path, spec)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a policy file: {reason}") from error
