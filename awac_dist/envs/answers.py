"""What an environment answers, checked and in our types: the one door to its methods."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from awac_dist.envs.make import Environment, make_env
from awac_dist.errors import InputError, told
from awac_dist.floats import all_usable, flaw
from awac_dist.types import Array, EnvSpec

MAX_FAULTS = 5  # in a row that an environment is forgiven


class EnvironmentFault(Exception):  # noqa: N818 - no error of ours: the episode cannot go on
    """It cannot be made, raised, or answered what nothing can be learned from; says which."""


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


class _Guard:
    """Around code that is not ours: whatever it raises is a fault, SystemExit, too."""

    def __enter__(self) -> None:
        """Nothing is prepared."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt | InputError):
            raise EnvironmentFault(told(error)) from error


GUARD = _Guard()


class Guarded:
    """An environment whose answers are checked, and whose failures are all of one kind.

    Every method, and building one, raises EnvironmentFault.

    Args:
        spec: The task.
        make: Makes the environment; its InputError passes.
    """

    def __init__(self, spec: EnvSpec, make: Callable[[str], Environment] = make_env) -> None:
        with GUARD:
            self._env = make(spec.env_id)
            box = self._env.action_space
        self._low, self._high = box.low, box.high  # in its own dtype, as the task compares them
        self._input_shape, self._goal_shape = (spec.input_size,), (spec.goal_size,)

    def reset(self, seed: int) -> Seen:
        """Begin an episode."""
        with GUARD:
            observation, info = self._env.reset(seed=seed)
            return self._seen(observation, info)

    def step(self, action: Array) -> Step:
        """Do an action [A], clipped to the task's bounds."""
        inside = np.minimum(np.maximum(action.astype(self._low.dtype), self._low), self._high)
        with GUARD:
            observation, reward, terminated, truncated, info = self._env.step(inside)
            seen, success = self._seen(observation, info), _success(info)
            return Step(seen, _reward(reward), bool(terminated), bool(truncated), success)

    def close(self) -> None:
        """Close it; another one has to be made."""
        with GUARD:
            self._env.close()

    def _seen(self, observation: Any, info: dict[str, Any]) -> Seen:
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
        raise ValueError(f"the {what} is {words}, in column {column}")
    return vector


def _reward(reward: Any) -> float:
    if np.ndim(reward) != 0:
        raise ValueError(f"the reward has shape {np.shape(reward)}, and should be a number")
    number = float(reward)
    if found := flaw(number):
        raise ValueError(f"the reward is {found[1]}")
    return number


def _success(info: dict[str, Any]) -> float:
    return float(bool(info["success"])) if "success" in info else math.nan
