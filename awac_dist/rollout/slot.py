"""One environment, and the fragment of an episode that is being recorded in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np

from awac_dist.envs.answers import Guarded, Seen
from awac_dist.envs.guard import GUARD, EnvironmentFault
from awac_dist.envs.make import Environment
from awac_dist.messages import Finished
from awac_dist.policies.noise import MakeNoise
from awac_dist.types import Array, EnvSpec, Episode, Kind, Origin

MakeEnv = Callable[[EnvSpec], Environment]


class Slot:
    """An environment and the episode it is in; its randomness is tied to the episode.

    Args:
        beat: Is called before each call into the environment.

    Attributes:
        episode: Number of the episode in the stream.
        steps: Steps of the episode that were cut.
        recorded: Steps that are recorded, of the call that counts them from 0.
        faults_in_a_row: Episodes that failed since one ended.
        env_s: Seconds in the environment, of the call that counts them from 0.
        memory: [M] what the policy keeps from step to step, empty after a reset.
    """

    def __init__(
        self, spec: EnvSpec, noise: MakeNoise, make: MakeEnv, beat: Callable[[], object]
    ) -> None:
        self._spec, self._process, self._make, self._beat = spec, noise, make, beat
        self._env: Guarded | None = None
        with suppress(EnvironmentFault):  # which the first episode will tell
            self._env = self._made()
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
        if self._env is None:
            self._env = self._made()
        self._beat()
        began = time.perf_counter()
        seen = self._env.reset(self._reset_seed)
        self.env_s += time.perf_counter() - began
        self._see(seen)

    def _made(self) -> Guarded:
        self._beat()
        with GUARD:
            return Guarded(self._make(self._spec), self._spec)

    def _record(self, inputs: list[Array], achieved: list[Array]) -> None:
        """Begin a fragment whose first rows are known; goals only where the task has some."""
        self._inputs, self._achieved = inputs, achieved
        self._actions: list[Array] = []
        self._rewards: list[float] = []

    def _see(self, seen: Seen) -> None:
        self.observation, achieved = seen
        self._inputs.append(self.observation)
        if achieved is not None:
            self._achieved.append(achieved)

    def go_on(self, stream: Sequence[int], episode: int, fragments: Sequence[Episode]) -> None:
        """Go into the middle of an episode, by doing again what was recorded of it.

        Raises:
            EnvironmentFault: The environment fails, or shows something else than it did then.
        """
        self.begin(stream, episode)
        for fragment in fragments:
            for action, shown in zip(fragment.actions, fragment.observations[1:], strict=True):
                self.step(action, self._spec.bounded(action))
                if not np.array_equal(self.observation[: len(shown)], shown):
                    raise EnvironmentFault(f"step {self.steps} shows something else when repeated")
            self.cut(fragment.origin.kind, fragment.origin.policy_version)

    def noise(self, size: int) -> Array:
        """Noise [size] for the next action."""
        if self._noise is None:
            self._noise = islice(self._process(self._rng, size), self.steps, None)  # of the rest
        return next(self._noise)

    def step(self, action: Array, bounded: np.ndarray) -> tuple[bool, bool]:
        """Do the `bounded` action [A], and keep it as chosen; returns (terminated, truncated).

        Raises:
            EnvironmentFault: It raised, or answered what nothing can be learned from.
        """
        assert self._env is not None, "begin comes first"
        self._beat()
        began = time.perf_counter()
        seen, reward, terminated, truncated, success = self._env.step(bounded)
        self.env_s += time.perf_counter() - began
        self._see(seen)
        self._actions.append(action)
        self._rewards.append(reward)
        self._successes.append(success)
        self.recorded += 1
        return terminated, truncated

    def drop(self) -> None:
        """Forget the fragment that was being recorded, and the environment: it may be broken."""
        self.recorded -= len(self._actions)
        self.faults_in_a_row += 1
        self._beat()
        with suppress(EnvironmentFault):
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
            successes=None if np.isnan(successes).all() else successes,
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


def stacked(vectors: Sequence[Array]) -> Array:
    """A new array [n, size] of n vectors; for small ones, three times as fast as np.stack."""
    return np.concatenate(vectors).reshape(len(vectors), -1)
