"""Goal tasks: what a policy reads of them.

A goal task follows Gymnasium-Robotics' convention: a Dict of `observation`, `desired_goal` and
`achieved_goal`, and a method `compute_reward(achieved_goal, desired_goal, info)`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from awac_dist.errors import InputError
from awac_dist.types import Array

GOAL_KEYS = ("observation", "desired_goal", "achieved_goal")


class GoalAsInput(gymnasium.Wrapper[Array, Any, dict[str, Any], Any]):
    """Gives [observation, desired goal] as one vector, the achieved goal in `info`.

    `info["success"]` is there wherever the task says `is_success`.

    Raises:
        InputError: A part of its observations is no flat vector, or it has no `compute_reward`.
    """

    def __init__(self, env: gymnasium.Env[dict[str, Any], Any]) -> None:
        super().__init__(env)
        name = env.spec.id if env.spec else str(env)
        assert isinstance(env.observation_space, Dict)
        sizes = []
        for key in GOAL_KEYS:
            part = env.observation_space.spaces.get(key)
            if not isinstance(part, Box) or len(part.shape) != 1:
                raise InputError(f"{name}: {key} must be a flat vector (Box [n]), but is {part}")
            sizes.append(part.shape[0])
        if not hasattr(env.unwrapped, "compute_reward"):
            raise InputError(f"{name}: has goals, but no compute_reward(achieved, desired, info)")
        observation_size, self.goal_size, _ = sizes
        width = observation_size + self.goal_size
        self.observation_space = Box(-np.inf, np.inf, (width,), np.float32)

    def reset(self, **options: Any) -> tuple[Array, dict[str, Any]]:
        return self._split(*self.env.reset(**options))

    def step(self, action: Any) -> tuple[Array, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        inputs, info = self._split(observation, info)
        return inputs, reward, terminated, truncated, info

    def _split(
        self, observation: dict[str, Any], info: dict[str, Any]
    ) -> tuple[Array, dict[str, Any]]:
        parts = (observation["observation"], observation["desired_goal"])
        seen = {"achieved_goal": np.asarray(observation["achieved_goal"], np.float32)}
        if "is_success" in info and "success" not in info:
            seen["success"] = info["is_success"]
        return np.concatenate(parts).astype(np.float32), {**info, **seen}
