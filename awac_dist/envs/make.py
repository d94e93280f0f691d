"""Environments by id, with errors that a person can use."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from awac_dist.errors import InputError, did_you_mean, first_line
from awac_dist.types import Array, EnvSpec

Environment = gymnasium.Env[Any, Any]
GOAL_KEYS = ("observation", "desired_goal", "achieved_goal")


def named_in_file(env_id: Any, file: str) -> str:
    """A task's name that a file gives, if asking Gymnasium for it executes nothing of the file's.

    Raises:
        InputError: It is no name; or it names a module, which Gymnasium would import: a module is
            imported only where a person typed it.
    """
    if not isinstance(env_id, str):
        raise InputError(f"{file}: the task is {env_id!r}, which is no name: give --env ID")
    if ":" in env_id:
        raise InputError(
            f"{file}: the task is {env_id!r}, and what a file names is not imported: "
            f"if you trust it, type --env {env_id}"
        )
    return env_id


def make_env(env_id: str, **options: Any) -> Environment:
    """Build an environment whose observations are flat vectors.

    Those of a goal task are [observation, desired goal]: see `GoalAsInput`. An id with a module
    imports it: see `named_in_file`. The options are those of `gymnasium.make`.

    Raises:
        InputError: There is no such environment, or its package is not installed.
    """
    if env_id not in gymnasium.registry:  # Fetch, Hand, AntMaze and others, loaded when needed
        import_module("awac_dist.envs.robotics")
    try:
        env = gymnasium.make(env_id, **options)
    except gymnasium.error.Error as error:
        remedy = did_you_mean(env_id, gymnasium.registry, first_line(error), count=3)
        raise InputError(f"no environment {env_id!r}: {remedy}") from error
    except ImportError as error:
        raise InputError(f"environment {env_id!r} needs a package: {error}") from error
    space = env.observation_space
    is_goal_task = isinstance(space, Dict) and set(space.spaces) == set(GOAL_KEYS)
    return GoalAsInput(env) if is_goal_task else env


def env_spec(env_id: str) -> EnvSpec:
    """Sizes and bounds of an environment.

    Raises:
        InputError: As for its spaces; or it has no step limit.
    """
    with closing(make_env(env_id)) as env:
        spec = space_spec(env_id, env.observation_space, env.action_space)
        if env.spec is None or env.spec.max_episode_steps is None:
            raise InputError(f"{env_id}: has no step limit: register it with max_episode_steps")
        goal_size = env.goal_size if isinstance(env, GoalAsInput) else 0
        return replace(
            spec,
            observation_size=spec.observation_size - goal_size,
            max_episode_steps=env.spec.max_episode_steps,
            goal_size=goal_size,
            repeatable=not env.spec.nondeterministic,  # as it was registered with Gymnasium
        )


def space_spec(env_id: str, observations: Any, actions: Any) -> EnvSpec:
    """What its spaces tell of a task.

    Raises:
        InputError: They are not flat and continuous, or actions have no bounds.
    """
    width = _width(env_id, "observations", observations)
    action_size = _width(env_id, "actions", actions)
    if not actions.is_bounded():
        raise InputError(f"{env_id}: actions need finite bounds, but are {actions}")
    low, high = (tuple(map(float, bound)) for bound in (actions.low, actions.high))
    return EnvSpec(env_id, width, action_size, low, high, max_episode_steps=None)


def _width(place: str, what: str, space: Any) -> int:
    """Of flat vectors; refuses all else."""
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise InputError(
            f"{place}: {what} must be flat vectors (Box [n]), but are {space}: wrap the "
            "environment, observations in gymnasium.wrappers.FlattenObservation"
        )
    return space.shape[0]


class GoalAsInput(gymnasium.Wrapper[Array, Any, dict[str, Any], Any]):
    """Gives [observation, desired goal] as one vector, the achieved goal in `info`.

    A goal task follows Gymnasium-Robotics' convention: a Dict of `observation`, `desired_goal` and
    `achieved_goal`, and a method `compute_reward(achieved_goal, desired_goal, info)`.
    `info["success"]` is there wherever the task says `is_success`.

    Raises:
        InputError: A part of its observations is no flat vector, or it has no `compute_reward`.
    """

    def __init__(self, env: gymnasium.Env[dict[str, Any], Any]) -> None:
        super().__init__(env)
        name = env.spec.id if env.spec else str(env)
        spaces: Any = env.observation_space
        observation_size, self.goal_size, _ = (
            _width(name, f"{key}s", spaces[key]) for key in GOAL_KEYS
        )
        if not hasattr(env.unwrapped, "compute_reward"):
            raise InputError(f"{name}: has goals, but no compute_reward(achieved, desired, info)")
        width = observation_size + self.goal_size
        self.observation_space = Box(-np.inf, np.inf, (width,), np.float32)

    def reset(self, **options: Any) -> tuple[Array, dict[str, Any]]:
        return self._split(*self.env.reset(**options))

    def step(self, action: Any) -> tuple[Array, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        inputs, info = self._split(observation, info)
        return inputs, reward, terminated, truncated, info

    def _split(self, seen: dict[str, Any], info: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        inputs = np.concatenate([seen["observation"], seen["desired_goal"]]).astype(np.float32)
        told = {"achieved_goal": np.asarray(seen["achieved_goal"], np.float32)}
        if "is_success" in info and "success" not in info:
            told["success"] = info["is_success"]
        return inputs, {**info, **told}
