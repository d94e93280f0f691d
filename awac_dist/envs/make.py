"""Environments by id, with errors that a person can use."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from awac_dist.envs.config import MODULE, OWN
from awac_dist.envs.guard import GUARD, EnvironmentFault
from awac_dist.envs.registration import make_known
from awac_dist.errors import InputError, first_line
from awac_dist.floats import LARGEST, flaw
from awac_dist.types import Array, EnvSpec

Environment = gymnasium.Env[Any, Any]
CLOSE = 0.8  # of names: most are alike in their ends
GOAL_KEYS = ("observation", "desired_goal", "achieved_goal")


def named_in_file(env_id: Any, file: str) -> str:
    """A task's name that a file gives; an InputError if it is none, or one of a module.

    Gymnasium would import that, and a module is imported only where a person typed it.
    """
    if not isinstance(env_id, str):
        raise InputError(f"{file}: the task is {env_id!r}, which is no name: give --env ID")
    if ":" in env_id:
        raise InputError(
            f"{file}: the task is {env_id!r}, and what a file names is not imported: "
            f"if you trust it, type --env {env_id}"
        )
    return env_id


def kwargs_in_file(kwargs: Any, file: str) -> dict[str, Any]:
    """Arguments of a task that a file gives; an InputError if they are no mapping.

    Nor may one look like module:Name, which some tasks import.
    """
    if not isinstance(kwargs, dict) or not all(isinstance(name, str) for name in kwargs):
        raise InputError(f"{file}: the task's kwargs are {kwargs!r}, which is no mapping of names")
    written = json.dumps(kwargs, default=str)
    if found := MODULE.search(written):
        raise InputError(
            f"{file}: the task's kwargs name {found[1]!r}, and what a file names is not imported: "
            f"if you trust it, type --env.kwargs '{written}'"
        )
    return kwargs


def make_env(env_id: str, /, **options: Any) -> Environment:
    """Build an environment whose observations are flat vectors.

    Those of a goal task are [observation, desired goal]: see `GoalAsInput`. An id with a module
    imports it, from the working folder, too: see `named_in_file`. The options are those of
    `gymnasium.make`.

    Raises:
        InputError: There is no such environment, or its package is not installed.
    """
    module, _, plain = env_id.rpartition(":")
    if module.endswith(".py") or {*"/\\:"} & {*module}:
        raise InputError(
            f"no environment {env_id!r}: {module!r} is no module's name: write it as Python "
            "imports it, without folder or .py, as in my_module:MyTask-v0"
        )
    if module and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # where `python -m` looks, too
    if not module and env_id not in gymnasium.registry:  # Fetch, Hand, AntMaze and others
        import_module("awac_dist.envs.robotics")
    try:
        env = gymnasium.make(env_id, **options)
    except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound) as error:
        raise InputError(_no_environment(module, plain)) from error
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        where = "; modules are looked for in the working folder, too" if module else ""
        why = first_line(error).rstrip(".")
        raise InputError(f"no environment {env_id!r}: {why}{where}") from error
    space = env.observation_space
    is_goal_task = isinstance(space, Dict) and set(space.spaces) == set(GOAL_KEYS)
    return GoalAsInput(env) if is_goal_task else env


def make_task(spec: EnvSpec, **options: Any) -> Environment:
    """Build the environment that a spec is of; raises as `make_env`."""
    make_known(spec)
    return make_env(spec.env_id, **{**spec.kwargs, **options})


def _no_environment(module: str, plain: str) -> str:
    """What to do about a name that nobody registered."""
    near = get_close_matches(plain, gymnasium.registry, n=3, cutoff=CLOSE)
    near = near or [known for known in gymnasium.registry if known.endswith(f"/{plain}")]
    remedy = f"did you mean {' or '.join(near)}? " if near else ""
    if plain.startswith(OWN):
        return f"no environment {plain!r}: it is a program's own: give its class, by code"
    if module:
        return f"no environment {module}:{plain}: {remedy}Importing {module} does not register it"
    return (
        f"no environment {plain!r}: {remedy}One's own is named with the module that registers it: "
        f"--env my_module:{plain}"
    )


def env_spec(env_id: str, /, **kwargs: Any) -> EnvSpec:
    """As `spec_of`, of one that is made by these arguments; an InputError if it cannot be made."""
    try:
        with GUARD, closing(make_env(env_id, **kwargs)) as env:
            return spec_of(env, env_id, **kwargs)
    except EnvironmentFault as fault:
        raise InputError(f"environment {env_id} cannot be made: {fault}") from fault


def spec_of(env: Environment, env_id: str, /, **kwargs: Any) -> EnvSpec:
    """Sizes and bounds of an environment that `make_env` made, by these arguments.

    Raises as `space_spec`, and where it has no step limit.
    """
    spec = space_spec(env_id, env.observation_space, env.action_space)
    if env.spec is None or env.spec.max_episode_steps is None:
        raise InputError(
            f"{env_id}: has no step limit: register it with max_episode_steps, or "
            "give that: --env.kwargs '{\"max_episode_steps\": N}'"
        )
    goal_size = env.goal_size if isinstance(env, GoalAsInput) else 0
    return replace(
        spec,
        observation_size=spec.observation_size - goal_size,
        max_episode_steps=env.spec.max_episode_steps,
        goal_size=goal_size,
        repeatable=not env.spec.nondeterministic,  # as it was registered with Gymnasium
        kwargs=kwargs,
    )


def space_spec(env_id: str, observations: Any, actions: Any) -> EnvSpec:
    """What its spaces tell of a task; an InputError where they are not flat and continuous.

    Or where bounds of actions cannot be used.
    """
    width = _width(env_id, "observations", observations)
    action_size = _width(env_id, "actions", actions)
    if actions.dtype.kind != "f":
        raise InputError(
            f"{env_id}: actions must be real numbers, but are {actions}: wrap the environment"
        )
    low, high = (tuple(map(float, bound)) for bound in (actions.low, actions.high))
    for column, pair in enumerate(zip(low, high, strict=True)):
        if not np.float32(pair[0]) < np.float32(pair[1]) or flaw(pair):
            raise InputError(
                f"{env_id}: action {column} has bounds {pair[0]:g} and {pair[1]:g}, and needs two "
                f"that differ, {LARGEST:g} at most: wrap the environment to rescale it or leave "
                "it out"
            )
    return EnvSpec(env_id, width, action_size, low, high, None, action_dtype=actions.dtype.name)


def _width(place: str, what: str, space: Any) -> int:
    """Of flat vectors; refuses all else."""
    if not isinstance(space, Box) or len(space.shape) != 1:
        flat = "gymnasium.wrappers.FlattenObservation"
        if what == "actions":
            flat = "a wrapper of yours that takes a vector of floats"
        raise InputError(
            f"{place}: {what} must be flat vectors (Box [n]), but are {space}: wrap the "
            f"environment in {flat}"
        )
    width: int = space.shape[0]
    if width < 1:
        raise InputError(f"{place}: {what} are {space}, and have to be one number at least")
    return width


class GoalAsInput(gymnasium.Wrapper[Array, Any, dict[str, Any], Any]):
    """Gives [observation, desired goal] as one vector, the achieved goal in `info`.

    A goal task follows Gymnasium-Robotics' convention: a Dict of `observation`, `desired_goal` and
    `achieved_goal`, each a flat vector, and a method `compute_reward(achieved_goal, desired_goal,
    info)`, its own or a wrapper's; else there is an InputError.
    """

    def __init__(self, env: gymnasium.Env[dict[str, Any], Any]) -> None:
        super().__init__(env)
        name = env.spec.id if env.spec else str(env)
        spaces: Any = env.observation_space
        observation_size, self.goal_size, _ = (
            _width(name, f"{key}s", spaces[key]) for key in GOAL_KEYS
        )
        if not env.has_wrapper_attr("compute_reward"):
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
        return inputs, {**info, "achieved_goal": seen["achieved_goal"]}
