"""Steps a few environments side by side and cuts what happens into pieces of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from awac_dist.envs.make import Environment, make_env
from awac_dist.rollout.noise import NoiseProcess, WhiteNoise
from awac_dist.rollout.policy import Policy
from awac_dist.types import Array, EnvSpec, Episode, Finished, Kind, Origin


@dataclass
class _Piece:
    """Columns of a piece that is being recorded."""

    inputs: list[Array]  # one more than actions
    achieved: list[Array]  # as many as inputs, none where the task has no goals
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    successes: list[float] = field(default_factory=list)


class _Slot:
    """One environment and the episode it is in; its randomness is tied to the episode."""

    def __init__(
        self,
        env: Environment,
        spec: EnvSpec,
        noise: type[NoiseProcess],
        seed: Sequence[int],
        worker: int,
    ) -> None:
        self._env, self._spec, self._process = env, spec, noise
        self._seed, self._worker = tuple(seed), worker
        self.episode = -1
        self._low = np.array(spec.action_low, np.float32)
        self._high = np.array(spec.action_high, np.float32)

    def begin(self, episode: int) -> None:
        """Reset for an episode of the worker's stream."""
        self.episode = episode
        rng = np.random.default_rng((*self._seed, episode))
        self._reset_seed = int(rng.integers(2**31))
        self._noise = self._process(rng, self._spec.action_size)
        observation, info = self._env.reset(seed=self._reset_seed)
        self.observation = np.asarray(observation, np.float32)
        self._step, self._return = 0, 0.0
        self._piece = _Piece([self.observation], self._achieved(info))

    def noise(self) -> Array:
        """Noise [A] for the next action."""
        return self._noise.next()

    def step(self, action: Array) -> tuple[bool, bool]:
        """Act (clipped to the bounds; the action as chosen is what is kept)."""
        observation, reward, terminated, truncated, info = self._env.step(
            np.clip(action, self._low, self._high)
        )
        self.observation = np.asarray(observation, np.float32)
        self._piece.inputs.append(self.observation)
        self._piece.achieved += self._achieved(info)
        self._piece.actions.append(action)
        self._piece.rewards.append(float(reward))
        if "success" in info:
            self._piece.successes.append(float(info["success"]))
        self._return += float(reward)
        return bool(terminated), bool(truncated)

    def cut(self, kind: Kind, version: int, terminated: bool, truncated: bool) -> Episode | None:
        """Hand over what was recorded since the last cut, None if that is nothing."""
        piece, steps = self._piece, len(self._piece.actions)
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
        self._piece = _Piece([self.observation], piece.achieved[-1:])
        inputs, size = np.stack(piece.inputs), self._spec.observation_size
        return Episode(
            observations=inputs[:, :size],
            actions=np.stack(piece.actions),
            rewards=np.array(piece.rewards, np.float32),
            terminated=terminated,
            truncated=truncated,
            origin=origin,
            desired_goals=inputs[:, size:] if piece.achieved else None,
            achieved_goals=np.stack(piece.achieved) if piece.achieved else None,
            successes=_whole(piece.successes, steps),
        )

    def _achieved(self, info: dict[str, Any]) -> list[Array]:
        return [info["achieved_goal"]] if self._spec.goal_size else []

    @property
    def finished(self) -> Finished:
        return Finished(self._return, self._step)


def _whole(column: list[float], steps: int) -> Array | None:
    """The column [T], or None where some step did not report it."""
    return np.array(column, np.float32) if len(column) == steps else None


class Collector:
    """E environments and the stream of episodes that they produce.

    Episode numbers are dealt to environments in the order in which they finish their last
    one, and everything random follows from (seed, worker, incarnation, episode number).

    Args:
        spec: The task.
        num_envs: E.
        seed: The run's seed.
        worker: Number of the rollout worker.
        incarnation: How often that worker was replaced.
        noise: What the policy's samples are made of.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        *,
        seed: int,
        worker: int,
        incarnation: int = 0,
        noise: type[NoiseProcess] = WhiteNoise,
    ) -> None:
        stream = (seed, worker, incarnation)
        self._slots = [
            _Slot(make_env(spec.env_id), spec, noise, stream, worker) for _ in range(num_envs)
        ]
        self._next_episode = 0
        self._fresh = True

    def collect_steps(
        self, policy: Policy, steps: int, kind: Kind
    ) -> tuple[list[Episode], list[Finished]]:
        """Take exactly `steps` steps in each environment; episodes go on over the calls."""
        if self._fresh:
            self._begin_all()
        pieces: list[Episode] = []
        finished: list[Finished] = []
        for _ in range(steps):
            self._step_all(self._slots, policy, kind, pieces, finished)
        for slot in self._slots:
            piece = slot.cut(kind, policy.version, terminated=False, truncated=False)
            if piece is not None:
                pieces.append(piece)
        return pieces, finished

    def collect_episodes(
        self, policy: Policy, count: int, kind: Kind
    ) -> tuple[list[Episode], list[Finished]]:
        """Record `count` whole episodes, each from its reset to its end."""
        pieces: list[Episode] = []
        finished: list[Finished] = []
        while len(finished) < count:
            wave = self._slots[: count - len(finished)]
            for slot in wave:
                self._begin(slot)
            ended = len(finished) + len(wave)
            while len(finished) < ended:
                running = self._step_all(wave, policy, kind, pieces, finished, restart=False)
                wave = running
        self._fresh = True
        return pieces, finished

    def _begin_all(self) -> None:
        for slot in self._slots:
            self._begin(slot)
        self._fresh = False

    def _begin(self, slot: _Slot) -> None:
        slot.begin(self._next_episode)
        self._next_episode += 1

    def _step_all(
        self,
        slots: list[_Slot],
        policy: Policy,
        kind: Kind,
        pieces: list[Episode],
        finished: list[Finished],
        *,
        restart: bool = True,
    ) -> list[_Slot]:
        """One step of each; returns the slots whose episode goes on."""
        observations = np.stack([slot.observation for slot in slots])
        noise = np.stack([slot.noise() for slot in slots])
        running = []
        for slot, action in zip(slots, policy.sample(observations, noise), strict=True):
            terminated, truncated = slot.step(action)
            if terminated or truncated:
                piece = slot.cut(kind, policy.version, terminated, truncated)
                assert piece is not None  # there was at least this step
                pieces.append(piece)
                finished.append(slot.finished)
                if restart:
                    self._begin(slot)
            else:
                running.append(slot)
        return running
