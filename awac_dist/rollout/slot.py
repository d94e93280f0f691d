"""One environment, and the fragment of an episode that is being recorded in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from awac_dist.envs.make import Environment
from awac_dist.errors import InputError
from awac_dist.messages import Finished
from awac_dist.policies.noise import MakeNoise
from awac_dist.types import Array, EnvSpec, Episode, Kind, Origin


class EnvironmentFault(Exception):  # noqa: N818 - no error of ours: the episode cannot go on
    """An environment raised, or gave what is no number."""


class Slot:
    """An environment and the episode it is in; its randomness is tied to the episode.

    Attributes:
        episode: Number of the episode in the stream.
        steps: Steps of the episode that were cut.
        recorded: Steps that are recorded, of the call that counts them from 0.
        faults_in_a_row: Episodes that failed since one ended.
        env_s: Seconds in the environment, of the call that counts them from 0.
        memory: [M] what the policy keeps from step to step, empty after a reset.
    """

    def __init__(self, spec: EnvSpec, noise: MakeNoise, make: Callable[[str], Environment]) -> None:
        self._spec, self._process, self._make = spec, noise, make
        self._env: Environment | None = make(spec.env_id)
        self._input_shape, self._goal_shape = (spec.input_size,), (spec.goal_size,)
        self.episode, self.recorded, self.faults_in_a_row = -1, 0, 0
        self.env_s = 0.0

    def begin(self, stream: Sequence[int], episode: int) -> None:
        """Reset for an episode of a stream, which is (seed, worker, incarnation).

        Raises:
            EnvironmentFault: The environment cannot be made or reset.
        """
        self._stream, self.episode, self.steps, self._return = stream, episode, 0, 0.0
        self._successes: list[float] = []  # of each step, NaN where it does not say
        self._rng = np.random.default_rng((*stream, episode))
        self._reset_seed = int(self._rng.integers(2**31))
        self._noise: Iterator[Array] | None = None
        self.memory = np.zeros(0, np.float32)
        self._record([], [])
        try:
            if self._env is None:
                self._env = self._make(self._spec.env_id)
            began = time.perf_counter()
            observation, info = self._env.reset(seed=self._reset_seed)
            self.env_s += time.perf_counter() - began
            self._see(observation, info)
        except InputError:
            raise
        except Exception as error:
            raise EnvironmentFault(_told(error)) from error

    def _record(self, inputs: list[Array], achieved: list[Array]) -> None:
        """Begin a fragment whose first rows are known; goals only where the task has some."""
        self._inputs, self._achieved = inputs, achieved
        self._actions: list[Array] = []
        self._rewards: list[float] = []

    def _see(self, observation: Any, info: dict[str, Any]) -> None:
        self.observation = _finite("observation", observation, self._input_shape)
        self._inputs.append(self.observation)
        if self._spec.goal_size:
            goal = _finite("achieved goal", info["achieved_goal"], self._goal_shape)
            self._achieved.append(goal)

    def go_on(self, stream: Sequence[int], episode: int, fragments: Sequence[Episode]) -> None:
        """Go into the middle of an episode, by doing again what was recorded of it.

        Raises:
            EnvironmentFault: The environment fails, or shows something else than it did then.
        """
        self.begin(stream, episode)
        bounds = np.array([self._spec.action_low, self._spec.action_high], np.float32)
        for fragment in fragments:
            for action, shown in zip(fragment.actions, fragment.observations[1:], strict=True):
                self.step(action, np.clip(action, *bounds))
                if not np.array_equal(self.observation[: len(shown)], shown):
                    raise EnvironmentFault(f"step {self.steps} shows something else when repeated")
            self.cut(fragment.origin.kind, fragment.origin.policy_version)

    def noise(self, size: int) -> Array:
        """Noise [size] for the next action."""
        if self._noise is None:
            done_already = self.steps
            self._noise = islice(self._process(self._rng, size), done_already, None)
        return next(self._noise)

    def step(self, action: Array, bounded: Array) -> tuple[bool, bool]:
        """Do the `bounded` action [A], and keep it as chosen; returns (terminated, truncated).

        Raises:
            EnvironmentFault: It raised, or an observation or the reward is no finite number.
        """
        assert self._env is not None, "begin comes first"
        try:
            began = time.perf_counter()
            observation, reward, terminated, truncated, info = self._env.step(bounded)
            self.env_s += time.perf_counter() - began
            self._see(observation, info)
            if not math.isfinite(reward):
                raise ValueError(f"the reward is {reward}")
            success = float(bool(info["success"])) if "success" in info else math.nan
        except InputError:
            raise
        except Exception as error:
            raise EnvironmentFault(_told(error)) from error
        self._actions.append(action)
        self._rewards.append(float(reward))
        self._successes.append(success)
        self.recorded += 1
        return bool(terminated), bool(truncated)

    def drop(self) -> None:
        """Forget the fragment that was being recorded, and the environment: it may be broken."""
        self.recorded -= len(self._actions)
        self.faults_in_a_row += 1
        with suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the environment; the next episode has another one."""
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def cut(
        self, kind: Kind, version: int, terminated: bool = False, truncated: bool = False
    ) -> list[Episode]:
        """Hand over what was recorded since the last cut: one fragment, or none."""
        if not self._actions:
            return []
        _, worker, incarnation, *_ = (*self._stream, 0)
        stream = worker, incarnation, self.episode
        successes = np.array(self._successes[self.steps :], np.float32)
        inputs, size = stacked(self._inputs), self._spec.observation_size
        fragment = Episode(
            observations=inputs[:, :size],
            actions=stacked(self._actions),
            rewards=np.array(self._rewards, np.float32),
            terminated=terminated,
            truncated=truncated,
            origin=Origin(kind, version, *stream, self.steps, self._reset_seed),
            desired_goals=inputs[:, size:] if self._achieved else None,
            achieved_goals=stacked(self._achieved) if self._achieved else None,
            successes=None if np.isnan(successes).any() else successes,
        )
        self.steps += len(self._actions)
        self._return = sum(self._rewards, self._return)
        self._record([self.observation], self._achieved[-1:])
        return [fragment]

    def end(self) -> Finished:
        """Totals of the episode, which is over and cut."""
        self.faults_in_a_row = 0
        told = [success for success in self._successes if not math.isnan(success)]
        success_steps = int(sum(told)) if told else None
        return Finished(self._return, self.steps, success_steps, self._successes[-1] == 1)


def _finite(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """A copy in float32, since the environment may use its own array again."""
    vector = np.array(values, np.float32)
    if vector.shape != shape:
        raise ValueError(f"the {what} has shape {vector.shape}, not {shape}")
    if not all_finite(vector):
        raise ValueError(f"the {what} holds NaN or infinity")
    return vector


def all_finite(values: Array) -> bool:
    """Whether no number is NaN or infinite; in about half the time of isfinite().all()."""
    return math.isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def stacked(vectors: Sequence[Array]) -> Array:
    """A new array [n, size] of n vectors; for small ones, three times as fast as np.stack."""
    return np.concatenate(vectors).reshape(len(vectors), -1)


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
