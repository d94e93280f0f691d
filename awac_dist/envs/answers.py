"""What an environment answers, checked and in our types: the one door to its methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from awac_dist.envs.guard import GUARD
from awac_dist.envs.make import Environment
from awac_dist.floats import LARGEST, all_usable, flaw
from awac_dist.types import Array, EnvSpec

SUCCESS_KEYS = ("success", "is_success")  # of `info`; the first that there is counts


class Seen(NamedTuple):
    """What a reset or a step shows."""

    inputs: Array  # [O + G] the observation, then the desired goal
    achieved: Array | None  # [G], where the task has goals


class Step(NamedTuple):
    """What a step brings."""

    seen: Seen
    reward: float
    terminated: bool
    truncated: bool
    success: float  # 1 or 0, NaN where the task does not say


class Guarded:
    """An environment whose answers are checked; each method may raise EnvironmentFault."""

    def __init__(self, env: Environment, spec: EnvSpec) -> None:
        self._env = env
        self._input_shape, self._goal_shape = (spec.input_size,), (spec.goal_size,)

    def reset(self, seed: int) -> Seen:
        """Begin an episode."""
        with GUARD:
            observation, info = self._env.reset(seed=seed)
            return self._seen(observation, info)

    def step(self, action: np.ndarray) -> Step:
        """Do an action [A] that is within its bounds."""
        with GUARD:
            observation, reward, terminated, truncated, info = self._env.step(action)
            seen, success = self._seen(observation, info), _success(info)
            return Step(seen, _reward(reward), bool(terminated), bool(truncated), success)

    def close(self) -> None:
        """Close it; another one has to be made."""
        with GUARD:
            self._env.close()

    def _seen(self, observation: Any, info: Mapping[str, Any]) -> Seen:
        inputs = _vector("observation", observation, self._input_shape)
        if not self._goal_shape[0]:
            return Seen(inputs, None)
        return Seen(inputs, _vector("achieved goal", info["achieved_goal"], self._goal_shape))


def _vector(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """A copy in float32, since the environment may use its own array again."""
    with np.errstate(over="ignore"):
        vector = np.array(values, np.float32)
    if vector.shape != shape:
        raise ValueError(f"the {what} has shape {vector.shape}, not {shape}")
    if not all_usable(vector) and (found := flaw(np.asarray(values))):
        (column,), words = found
        raise ValueError(f"column {column} of the {what} is {words}")
    return vector


def _reward(reward: Any) -> float:
    if getattr(reward, "ndim", 0):
        raise ValueError(f"the reward has shape {np.shape(reward)}, and should be a number")
    number = float(reward)
    if not abs(number) <= LARGEST and (found := flaw(number)):
        raise ValueError(f"the reward is {found[1]}")
    return number


def _success(info: Mapping[str, Any]) -> float:
    """A flag of any kind that is 0 or 1, alone or in an array; NaN where there is none."""
    for key in SUCCESS_KEYS:
        if key in info:
            flag = np.asarray(info[key])
            known = flag.size == 1 and flag.dtype.kind in "biuf" and flag.item() in (0, 1)
            return float(flag.item()) if known else math.nan
    return math.nan
