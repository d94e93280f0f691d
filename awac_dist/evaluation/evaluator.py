"""Runs the mean action over whole episodes, on the same seeds every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from awac_dist.envs.make import Environment, make_env
from awac_dist.evaluation.result import Evaluation
from awac_dist.rollout.policy import GaussianPolicy
from awac_dist.types import EnvSpec, PolicySpec, WeightsReader

SEED_STREAM = 0x5EED  # keeps evaluation seeds apart from those of the rollout workers
SIDE_BY_SIDE = 10


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation of the deterministic policy.

    Attributes:
        episodes: Episodes at the end of each phase, which the summary quotes.
        curve_episodes: Episodes of each evaluation during a phase.
        every_updates: Updates between two evaluations during a phase.
    """

    episodes: int = 40
    curve_episodes: int = 10
    every_updates: int = 2_500


class Evaluator:
    """A plain object; `distributed.actors` gives it a process of its own.

    Args:
        spec: The task.
        policy: Shape of the policy.
        weights: Where policies come from.
        seed: The run's seed; episode i always starts from the same state.
    """

    def __init__(
        self, spec: EnvSpec, policy: PolicySpec, weights: WeightsReader, *, seed: int
    ) -> None:
        self._spec, self._policy_spec = spec, policy
        self._weights, self._seed = weights, seed
        self._envs: list[Environment] = []
        self._policy: GaussianPolicy | None = None

    def load(self) -> int:
        """Take the newest policy and return its version: what `run` will evaluate."""
        newest = self._weights.pull(-1)
        if newest is None:
            raise RuntimeError("asked to evaluate before any policy was published")
        self._policy = GaussianPolicy(self._policy_spec, newest.vector, newest.version)
        return newest.version

    def run(self, label: str, episodes: int) -> Evaluation:
        """Evaluate the loaded policy over `episodes` whole episodes."""
        assert self._policy is not None, "load comes first"
        while len(self._envs) < min(episodes, SIDE_BY_SIDE):
            self._envs.append(make_env(self._spec.env_id))
        results = []
        for first in range(0, episodes, SIDE_BY_SIDE):
            numbers = range(first, min(first + SIDE_BY_SIDE, episodes))
            results += self._wave(self._policy, list(numbers))
        returns, lengths, successes = zip(*results, strict=True)
        known = tuple(s for s in successes if s is not None)
        return Evaluation(label, self._policy.version, returns, lengths, known)

    def _wave(
        self, policy: GaussianPolicy, numbers: list[int]
    ) -> list[tuple[float, int, float | None]]:
        """Run the episodes of these numbers side by side until the last one ends."""
        envs = self._envs[: len(numbers)]
        seeds = [np.random.default_rng((self._seed, SEED_STREAM, n)) for n in numbers]
        observations = [
            env.reset(seed=int(rng.integers(2**31)))[0]
            for env, rng in zip(envs, seeds, strict=True)
        ]
        totals, lengths = [0.0] * len(envs), [0] * len(envs)
        successes: list[float | None] = [None] * len(envs)
        running = list(range(len(envs)))
        low = np.array(self._spec.action_low, np.float32)
        high = np.array(self._spec.action_high, np.float32)
        while running:
            stacked = np.stack([observations[i] for i in running]).astype(np.float32)
            actions = np.clip(policy.mean(stacked), low, high)
            ended = set()
            for i, action in zip(running, actions, strict=True):
                observations[i], reward, terminated, truncated, info = envs[i].step(action)
                totals[i] += float(reward)
                lengths[i] += 1
                if "success" in info:
                    successes[i] = float(info["success"])
                if terminated or truncated:
                    ended.add(i)
            running = [i for i in running if i not in ended]
        return list(zip(totals, lengths, successes, strict=True))
