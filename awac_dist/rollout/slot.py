"""One environment, and the fragment of an episode that is being recorded in it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from awac_dist.envs.make import Environment, make_env
from awac_dist.errors import InputError
from awac_dist.messages import Finished
from awac_dist.policies.noise import NoiseProcess
from awac_dist.types import Array, EnvSpec, Episode, Kind, Origin


class EnvironmentFault(Exception):  # noqa: N818 - no error of ours: the episode cannot go on
    """An environment raised, or gave what is no number."""


@dataclass
class _Fragment:
    """Columns of a fragment that is being recorded."""

    inputs: list[Array]  # one more than actions
    achieved: list[Array]  # as many as inputs, none where the task has no goals
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    successes: list[float] = field(default_factory=list)


class Slot:
    """An environment and the episode it is in; its randomness is tied to the episode.

    Attributes:
        episode: Number of the episode in the worker's stream.
        recorded: Steps that are recorded, of the call that counts them from 0.
        faults_in_a_row: Episodes that failed since one ended.
        env_s: Seconds in the environment, of the call that counts them from 0.
    """

    def __init__(
        self, spec: EnvSpec, noise: type[NoiseProcess], seed: Sequence[int], worker: int
    ) -> None:
        self._env: Environment | None = make_env(spec.env_id)
        self._spec, self._process = spec, noise
        self._seed, self._worker = tuple(seed), worker
        self.episode = -1
        self.recorded = 0
        self.faults_in_a_row = 0
        self.env_s = 0.0
        self._low = np.array(spec.action_low, np.float32)
        self._high = np.array(spec.action_high, np.float32)
        self._shape, self._goal_shape = (spec.input_size,), (spec.goal_size,)

    def begin(self, episode: int) -> None:
        """Reset for an episode of the worker's stream.

        Raises:
            EnvironmentFault: The environment cannot be made or reset.
        """
        self.episode = episode
        rng = np.random.default_rng((*self._seed, episode))
        self._reset_seed = int(rng.integers(2**31))
        self._noise = self._process(rng, self._spec.action_size)
        self._step, self._return = 0, 0.0
        self._fragment = _Fragment([], [])
        try:
            if self._env is None:
                self._env = make_env(self._spec.env_id)
            began = time.perf_counter()
            observation, info = self._env.reset(seed=self._reset_seed)
            self.env_s += time.perf_counter() - began
            self.observation = self._finite("observation", observation, self._shape)
            achieved = [self._achieved(info)] if self._spec.goal_size else []
        except InputError:
            raise
        except Exception as error:
            raise EnvironmentFault(_told(error)) from error
        self._fragment = _Fragment([self.observation], achieved)

    def go_on(self, episode: int, fragments: Sequence[Episode]) -> None:
        """Go into the middle of an episode, by doing again what was done in it.

        Args:
            episode: Its number.
            fragments: What was recorded of it, from its reset on.

        Raises:
            EnvironmentFault: The environment fails, or shows something else than it did then.
        """
        self.begin(episode)
        for fragment in fragments:
            for action, shown in zip(fragment.actions, fragment.observations[1:], strict=True):
                self.noise()
                self.step(action, np.clip(action, self._low, self._high))
                if not np.array_equal(self.observation[: len(shown)], shown):
                    raise EnvironmentFault(f"step {self._step} shows something else when repeated")
            self.cut(fragment.origin.kind, fragment.origin.policy_version, False, False)

    @property
    def steps(self) -> int:
        """Steps of the episode that were cut."""
        return self._step

    def noise(self) -> Array:
        """Noise [A] for the next action."""
        return self._noise.next()

    def step(self, action: Array, bounded: Array) -> tuple[bool, bool]:
        """Act.

        Args:
            action: [A] as chosen, which is what is kept.
            bounded: [A] the same inside the bounds, which is what is done.

        Returns:
            Whether it terminated, whether it was truncated.

        Raises:
            EnvironmentFault: It raised, or an observation or the reward is no finite number.
        """
        assert self._env is not None, "begin comes first"
        fragment = self._fragment
        try:
            began = time.perf_counter()
            observation, reward, terminated, truncated, info = self._env.step(bounded)
            self.env_s += time.perf_counter() - began
            seen = self._finite("observation", observation, self._shape)
            if not math.isfinite(reward):
                raise ValueError(f"the reward is {reward}")
            if self._spec.goal_size:
                fragment.achieved.append(self._achieved(info))
            if "success" in info:
                fragment.successes.append(float(info["success"]))
        except InputError:
            raise
        except Exception as error:
            raise EnvironmentFault(_told(error)) from error
        self.observation = seen
        fragment.inputs.append(seen)
        fragment.actions.append(action)
        fragment.rewards.append(float(reward))
        self.recorded += 1
        return bool(terminated), bool(truncated)

    def drop(self) -> None:
        """Forget the fragment that was being recorded, and the environment: it may be broken."""
        self.recorded -= len(self._fragment.actions)
        self.faults_in_a_row += 1
        if self._env is not None:
            with suppress(Exception):
                self._env.close()
        self._env = None

    def cut(self, kind: Kind, version: int, terminated: bool, truncated: bool) -> Episode | None:
        """Hand over what was recorded since the last cut, None if that is nothing."""
        fragment, steps = self._fragment, len(self._fragment.actions)
        if steps == 0:
            return None
        origin = Origin(
            kind=kind,
            policy_version=version,
            worker=self._worker,
            incarnation=self._seed[-1],
            episode=self.episode,
            start=self._step,
            seed=self._reset_seed,
        )
        self._step += steps
        self._return = sum(fragment.rewards, self._return)
        self._fragment = _Fragment([self.observation], fragment.achieved[-1:])
        inputs, size = stacked(fragment.inputs), self._spec.observation_size
        return Episode(
            observations=inputs[:, :size],
            actions=stacked(fragment.actions),
            rewards=np.array(fragment.rewards, np.float32),
            terminated=terminated,
            truncated=truncated,
            origin=origin,
            desired_goals=inputs[:, size:] if fragment.achieved else None,
            achieved_goals=stacked(fragment.achieved) if fragment.achieved else None,
            successes=_whole(fragment.successes, steps),
        )

    def end(self) -> Finished:
        """Totals of the episode, which is over and cut."""
        self.faults_in_a_row = 0
        return Finished(self._return, self._step)

    def _achieved(self, info: dict[str, Any]) -> Array:
        return self._finite("achieved goal", info["achieved_goal"], self._goal_shape)

    def _finite(self, what: str, values: Any, shape: tuple[int, ...]) -> Array:
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


def _whole(column: list[float], steps: int) -> Array | None:
    """The column [T], or None where some step did not report it."""
    return np.array(column, np.float32) if len(column) == steps else None
