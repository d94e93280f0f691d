"""Kinds that propose N actions, and take the one that their critics like best.

a = argmax_{a_i} min_e Q_e(s, a_i)

The critics are those of the training, which travel along. What gets evaluated is without chance:
the choice among the candidates of one noise, always the same, of which the first has none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from awac_dist.policies import make_policy
from awac_dist.policies.network import ZERO, NetworkPolicy
from awac_dist.policies.policy import NO_MEMORY
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

CRITIC = "critic."  # before the names of `nn.critics.CriticEnsemble`
VARIANCE_FLOOR = np.float32(1e-5)  # of a layer normalisation, as torch has it


def joined(observations: Array, others: Array) -> Array:
    """Rows [N * E, O + n] of observations [E, O] and what belongs to them [N, E, n]."""
    repeated = np.broadcast_to(observations, (len(others), *observations.shape))
    return np.concatenate((repeated, others), axis=-1).reshape(len(others) * len(observations), -1)


def critic_shapes(spec: PolicySpec) -> dict[str, tuple[int, ...]]:
    """Shapes of the critics' arrays by name, in the order of the module's parameters."""
    members, shapes = spec.critic_members, dict[str, tuple[int, ...]]()
    sizes = (spec.input_size + spec.action_size, *spec.critic_hidden)
    for layer, (n, m) in enumerate(pairwise(sizes)):
        shapes |= _linear(f"layers.{layer}", members, n, m)
    for layer, width in enumerate(spec.critic_hidden if spec.critic_layer_norm else ()):
        shapes |= _linear(f"norms.{layer}", members, 1, width)
    return shapes | _linear("head", members, sizes[-1], 1)


def _linear(name: str, members: int, n: int, m: int) -> dict[str, tuple[int, ...]]:
    return {f"{CRITIC}{name}.weight": (members, n, m), f"{CRITIC}{name}.bias": (members, 1, m)}


def critic_values(spec: PolicySpec, arrays: Mapping[str, Array], inputs: Array) -> Array:
    """Q_e(s, a) [M, n] of rows [n, O + A]."""
    hidden = inputs
    for layer in range(len(spec.critic_hidden)):
        hidden = _times(arrays, f"layers.{layer}", hidden)
        if spec.critic_layer_norm:
            hidden -= hidden.mean(axis=-1, keepdims=True)
            variance = np.square(hidden).mean(axis=-1, keepdims=True)
            hidden /= np.sqrt(variance + VARIANCE_FLOOR)
            hidden *= arrays[f"{CRITIC}norms.{layer}.weight"]
            hidden += arrays[f"{CRITIC}norms.{layer}.bias"]
        np.maximum(hidden, ZERO, out=hidden)
    return _times(arrays, "head", hidden)[..., 0]


def _times(arrays: Mapping[str, Array], name: str, inputs: Array) -> Array:
    outputs: Array = inputs @ arrays[f"{CRITIC}{name}.weight"]
    outputs += arrays[f"{CRITIC}{name}.bias"]
    return outputs


class ChoosingPolicy(NetworkPolicy):
    """A kind says what its candidates are, and of how much noise."""

    @classmethod
    def shapes(cls, spec: PolicySpec) -> dict[str, tuple[int, ...]]:
        return super().shapes(spec) | critic_shapes(spec)

    @classmethod
    def noise_of_one(cls, spec: PolicySpec) -> int:
        """How many numbers of noise a candidate takes."""
        return spec.action_size

    @classmethod
    def mean_noise(cls, spec: PolicySpec) -> Array:
        draws = np.random.RandomState(0)  # draws the same in every NumPy
        table = draws.standard_normal((spec.candidates, cls.noise_of_one(spec)))
        table[0] = 0.0
        return table.astype(np.float32).ravel()

    @abstractmethod
    def actor(self) -> NetworkPolicy | None: ...

    @abstractmethod
    def _candidates(self, observations: Array, noise: Array) -> Array:
        """Actions [N, E, A] for observations [E, O] of the task's and the noise of a step."""

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        candidates = self._candidates(observations, noise)  # [N, E, A]
        scores = self._scores(self.values(observations, candidates), noise)
        best = scores.argmax(axis=0)  # [E]
        chosen: Array = candidates[best, np.arange(len(best))]
        return chosen

    def values(self, observations: Array, candidates: Array) -> Array:
        """The least of the critics' values [N, E] of actions [N, E, A] at observations [E, O]."""
        rows = joined(self._seen(observations), candidates)
        values: Array = critic_values(self.spec, self.arrays, rows).min(axis=0)  # [N * E]
        return values.reshape(len(candidates), -1)

    def _scores(self, values: Array, noise: Array) -> Array:
        """What is highest of the candidate that is taken: [N, E], of their values."""
        return values

    def mean(self, observations: Array, memory: Array = NO_MEMORY) -> Array:
        """The choice among the candidates of the one noise [E, A], which is what gets evaluated."""
        noise = np.broadcast_to(self._mean_noise, (len(observations), self.noise_size))
        return self.sample(observations, noise)

    def _by_candidate(self, noise: Array) -> Array:
        """The noise of a step [E, N * n] as that of each candidate: [N, E, n]."""
        return noise.reshape(len(noise), self.spec.candidates, -1).swapaxes(0, 1)

    def _part(self, kind: str, prefix: str = "") -> NetworkPolicy:
        """The policy of another kind whose arrays are here, too, under a prefix."""
        spec = replace(self.spec, kind=kind)
        own = {
            name: name if name.startswith("observation_") else prefix + name for name in spec.shapes
        }
        arrays = {name: self.arrays[its] for name, its in own.items()}
        return make_policy(spec, spec.flatten(arrays), self.version)
