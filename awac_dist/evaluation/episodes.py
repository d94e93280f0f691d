"""Whole episodes of any policy: an episode's number decides where it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from awac_dist.envs.make import Environment, make_env
from awac_dist.evaluation.result import Played
from awac_dist.evaluation.video import Film, filmed_env
from awac_dist.policies.noise import NoiseProcess, NoNoise
from awac_dist.policies.policy import Policy
from awac_dist.types import Array, EnvSpec

SEED_STREAM = 0x5EED  # keeps evaluation seeds apart from those of the rollout workers
SIDE_BY_SIDE = 10


class EpisodePlayer:
    """Plays numbered episodes, ten of them side by side.

    Args:
        spec: The task.
        seed: Episode n always starts from the same state, and has the same noise.
        noise: What is added to the mean action; none by default.
        film: Takes every frame; episodes are then played one by one.
    """

    def __init__(
        self,
        spec: EnvSpec,
        *,
        seed: int,
        noise: type[NoiseProcess] = NoNoise,
        film: Film | None = None,
    ) -> None:
        self._spec, self._seed, self._noise, self._film = spec, seed, noise, film
        self._side_by_side = 1 if film else SIDE_BY_SIDE
        self._envs: list[Environment] = []
        self._low = np.array(spec.action_low, np.float32)
        self._high = np.array(spec.action_high, np.float32)

    def play(self, policy: Policy, numbers: Sequence[int]) -> Iterator[Played]:
        """Play the episodes of these numbers, each to its end, and yield them in order."""
        while len(self._envs) < min(len(numbers), self._side_by_side):
            build = filmed_env if self._film else make_env
            self._envs.append(build(self._spec.env_id))
        for first in range(0, len(numbers), self._side_by_side):
            yield from self._wave(policy, numbers[first : first + self._side_by_side])

    def close(self) -> None:
        """Close the environments."""
        while self._envs:
            self._envs.pop().close()

    def _wave(self, policy: Policy, numbers: Sequence[int]) -> list[Played]:
        """Play the episodes side by side until the last one ends."""
        seats = [self._seat(env, n) for env, n in zip(self._envs, numbers, strict=False)]
        running = seats
        while running:
            observations = np.stack([seat.observation for seat in running])
            noise = np.stack([seat.noise.next() for seat in running])
            actions = np.clip(policy.sample(observations, noise), self._low, self._high)
            for seat, action in zip(running, actions, strict=True):
                seat.step(action)
                self._show(seat)
            running = [seat for seat in running if not seat.ended]
        return [seat.played for seat in seats]

    def _seat(self, env: Environment, number: int) -> _Seat:
        rng = np.random.default_rng((self._seed, SEED_STREAM, number))
        seat = _Seat(env, int(rng.integers(2**31)), self._noise(rng, self._spec.action_size))
        self._show(seat)
        return seat

    def _show(self, seat: _Seat) -> None:
        if self._film:
            self._film.shoot(seat.env)


class _Seat:
    """An environment and the episode that it is in."""

    def __init__(self, env: Environment, reset_seed: int, noise: NoiseProcess) -> None:
        self.env, self.noise = env, noise
        self._observe(env.reset(seed=reset_seed)[0])
        self.ended = False
        self._return, self._length = 0.0, 0
        self._success_steps: int | None = None
        self._success_last = False

    def step(self, action: Array) -> None:
        """Take one step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._observe(observation)
        self._return += float(reward)
        self._length += 1
        self._success_last = bool(info.get("success", False))
        if "success" in info:
            self._success_steps = (self._success_steps or 0) + self._success_last
        self.ended = bool(terminated or truncated)

    @property
    def played(self) -> Played:
        return Played(self._return, self._length, self._success_steps, self._success_last)

    def _observe(self, observation: Any) -> None:
        self.observation = np.asarray(observation, np.float32)
