"""What an environment answers, checked and in our types: the one door to its methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from awac_dist.envs.guard import GUARD, PASSING, fault_of
from awac_dist.envs.make import Environment
from awac_dist.floats import LARGEST, all_usable, flaw
from awac_dist.types import Array, EnvSpec

SUCCESS_KEYS = ("success", "is_success")  # of `info`; the first that there is counts
Seen = tuple[Array, Array | None]  # observation and desired goal [O + G]; achieved goal [G], if any
Step = tuple[Seen, float, bool, bool, float]  # reward, terminated, truncated; success, or NaN


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
        try:
            observation, reward, terminated, truncated, info = self._env.step(action)
            seen, success = self._seen(observation, info), _success(info)
            return seen, _reward(reward), bool(terminated), bool(truncated), success
        except PASSING:
            raise
        except BaseException as error:  # GUARD would take a microsecond
            raise fault_of(error) from error

    def close(self) -> None:
        """Close it; another one has to be made."""
        with GUARD:
            self._env.close()

    def _seen(self, observation: Any, info: Mapping[str, Any]) -> Seen:
        inputs = _vector("observation", observation, self._input_shape)
        if not self._goal_shape[0]:
            return inputs, None
        return inputs, _vector("achieved goal", info["achieved_goal"], self._goal_shape)


def _vector(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """A copy in float32, since the environment may use its own array again."""
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
            try:
                flag = np.asarray(info[key])
            except ValueError:  # of lists that are not alike
                return math.nan
            known = flag.size == 1 and flag.dtype.kind in "biuf" and flag.item() in (0, 1)
            return float(flag.item()) if known else math.nan
    return math.nan
