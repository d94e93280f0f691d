"""What a policy is made of, enough to read it from one flat vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from awac_dist.policies import policy_class
from awac_dist.types import Array

MOST_CANDIDATES = 10_000  # a file that says more would take the memory


@dataclass(frozen=True)
class PolicySpec:
    """Kind and sizes of a policy: its arrays by name, in the order of its flat vector."""

    kind: str  # a key of `POLICIES`, which says what is computed from the arrays
    layer_sizes: tuple[int, ...]  # O, hidden ..., A
    action_low: tuple[float, ...]  # [A] bounds of the actions
    action_high: tuple[float, ...]
    state_dependent_std: bool = False  # read from the state, where there is one
    log_std_min: float = -6.0  # the policy's log standard deviation lies between them
    log_std_max: float = 0.0
    exploration_std: float = 0.1  # what a deterministic policy's samples add, in half ranges
    normalize_observations: bool = False  # the arrays hold a shift and a scale of them
    # of kinds that choose among candidates: see `ChoosingPolicy`
    candidates: int = 1  # N
    critic_hidden: tuple[int, ...] = ()  # widths of the critics' hidden layers
    critic_members: int = 1  # M critics, whose least value counts
    critic_layer_norm: bool = False
    choice_temperature: float = 0.0  # T of a choice by chance; 0 takes the best
    # of a perturbed VAE
    decoder_hidden: tuple[int, ...] = ()
    latent_size: int = 0  # Z
    max_perturbation: float = 0.0  # phi, in half ranges

    def __post_init__(self) -> None:
        sizes = {len(self.action_low), len(self.action_high), self.action_size}
        if len(sizes) > 1:
            raise ValueError(f"a policy of {self.action_size} actions has bounds of {sizes}")
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise ValueError(f"a policy has {self.candidates} candidates: 1 to {MOST_CANDIDATES}")

    @property
    def input_size(self) -> int:
        return self.layer_sizes[0]

    @property
    def action_size(self) -> int:
        return self.layer_sizes[-1]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays by name, in the order of the flat vector."""
        return policy_class(self.kind).shapes(self)

    @property
    def size(self) -> int:
        """P, the length of the flat vector."""
        return sum(prod(shape) for shape in self.shapes.values())

    def flatten(self, arrays: Mapping[str, Array]) -> Array:
        """The arrays as one vector [P]; a ValueError if they are not those of `shapes`."""
        found, shapes = {name: np.shape(arrays[name]) for name in arrays}, self.shapes
        if found != shapes:
            raise ValueError(f"a {self.kind} policy has arrays {shapes}, not {found}")
        return np.concatenate([np.ravel(arrays[name]) for name in shapes]).astype(np.float32)

    def unflatten(self, vector: Array) -> dict[str, Array]:
        """Views of a vector [P], by name; a ValueError if it has another length."""
        if len(vector) != self.size:
            raise ValueError(f"a policy of {self.size} parameters was given {len(vector)}")
        ends = np.cumsum([prod(shape) for shape in self.shapes.values()])[:-1]
        parts = zip(self.shapes.items(), np.split(vector, ends), strict=True)
        return {name: part.reshape(shape) for (name, shape), part in parts}
