"""A saved policy as a function: `action = policy(observation)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from awac_dist.floats import all_usable, flaw
from awac_dist.policies.npz import FilePolicy
from awac_dist.types import Array

READ = ("observation", "desired_goal")  # of a goal task's observation, in this order


class SavedPolicy:
    """Acts on one observation, or on several side by side."""

    def __init__(self, policy: FilePolicy) -> None:
        self._policy, self.version = policy, policy.version  # grad_steps behind it, -1 if unknown
        self.input_size = policy.input_size  # O, with the goal where the task has one
        self.action_size = policy.action_size  # A
        self.reset()

    def reset(self) -> None:
        """Forget the episode: to be called at its start, for policies that remember."""
        self._memory = np.zeros((0, self._policy.memory_size), np.float32)

    def __call__(self, observation: Any, rng: np.random.Generator | None = None) -> Array:
        """The action [A] or [B, A], inside the bounds that the policy was trained with.

        A file of somebody else's says no bounds: clip its actions to those of the task.

        Args:
            observation: [O], or [B, O] of B environments, the same ones at each call; or a goal
                task's own, a mapping whose `observation` and `desired_goal` are read.
            rng: Draws a sample; None acts by the mean.

        Raises:
            ValueError: The observation has another shape, or is no finite number.
        """
        if isinstance(observation, Mapping):
            observation = np.concatenate([observation[key] for key in READ], axis=-1)
        seen, policy = np.asarray(observation, np.float32), self._policy
        if seen.ndim not in (1, 2) or seen.shape[-1] != self.input_size:
            shape = f"[{self.input_size}] or [B, {self.input_size}]"
            raise ValueError(f"an observation has shape {shape}, not {list(seen.shape)}")
        if not all_usable(seen) and (found := flaw(seen)):
            raise ValueError(f"column {found[0][-1]} of the observation is {found[1]}")
        rows = np.atleast_2d(seen)
        if len(self._memory) != len(rows):
            self._memory = np.zeros((len(rows), policy.memory_size), np.float32)
        if rng is None:
            actions = policy.mean(rows, self._memory)
        else:
            noise = rng.standard_normal((len(rows), policy.noise_size), np.float32)
            actions = policy.sample(rows, noise, self._memory)
        inside: Array = np.clip(actions, policy.low, policy.high)
        return inside.reshape(*seen.shape[:-1], self.action_size)
