"""Acts with the newest policy and sends what happened straight to the shards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from awac_dist.rollout.collector import Collector
from awac_dist.rollout.noise import NoiseProcess, WhiteNoise
from awac_dist.rollout.policy import GaussianPolicy, Policy
from awac_dist.types import (
    EnvSpec,
    Episode,
    Finished,
    Handle,
    Kind,
    PolicySpec,
    RolloutReport,
    WeightsReader,
)


@dataclass(frozen=True)
class RolloutConfig:
    """Rollout workers.

    Attributes:
        envs_per_worker: Environments that a worker steps side by side.
        fragment_steps: Steps of each environment between two looks at newer weights; what
            was collected goes to the replay after as many.
    """

    envs_per_worker: int = 1
    fragment_steps: int = 250


class PolicySource(Protocol):
    """Where a worker's policy comes from."""

    def newest(self) -> Policy: ...


class FixedPolicy:
    """Always the same policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def newest(self) -> Policy:
        return self._policy


class PublishedPolicy:
    """The newest policy that the learner published, pulled if newer.

    Args:
        spec: Shape of the policy.
        weights: Where publications are kept.
    """

    def __init__(self, spec: PolicySpec, weights: WeightsReader) -> None:
        self._spec = spec
        self._weights, self._serial = weights, -1
        self._policy: GaussianPolicy | None = None

    def newest(self) -> Policy:
        newer = self._weights.pull(self._serial)
        if newer is not None:
            self._policy = GaussianPolicy(self._spec, newer.vector, newer.version)
            self._serial = newer.serial
        if self._policy is None:
            raise RuntimeError("asked to act before any policy was published")
        return self._policy


class RolloutWorker:
    """A plain object; `distributed.actors` gives it a process of its own.

    Args:
        spec: The task.
        num_envs: Environments stepped side by side.
        shards: Where pieces go; those of one episode to one shard.
        policies: Where policies come from.
        seed: The run's seed.
        worker: Number of this worker.
        incarnation: How often it was replaced.
        noise: What the policy's samples are made of.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        shards: Sequence[Handle],
        policies: PolicySource,
        *,
        seed: int,
        worker: int,
        incarnation: int = 0,
        noise: type[NoiseProcess] = WhiteNoise,
    ) -> None:
        self._collector = Collector(
            spec, num_envs, seed=seed, worker=worker, incarnation=incarnation, noise=noise
        )
        self._shards, self._policies = shards, policies

    def collect_steps(self, steps: int, kind: Kind, source: str) -> RolloutReport:
        """Take `steps` steps in each environment with the newest policy."""
        policy = self._policies.newest()
        start = time.perf_counter()
        pieces, finished = self._collector.collect_steps(policy, steps, kind)
        return self._send(pieces, finished, source, policy.version, start)

    def collect_episodes(self, count: int, kind: Kind, source: str) -> RolloutReport:
        """Record `count` whole episodes with the newest policy."""
        policy = self._policies.newest()
        start = time.perf_counter()
        pieces, finished = self._collector.collect_episodes(policy, count, kind)
        return self._send(pieces, finished, source, policy.version, start)

    def flush(self) -> None:
        """Have everything that was sent put on disk."""
        for shard in self._shards:
            shard.post("flush").result()

    def _send(
        self,
        pieces: list[Episode],
        finished: list[Finished],
        source: str,
        version: int,
        start: float,
    ) -> RolloutReport:
        acted = time.perf_counter()
        answers = []
        for piece in pieces:
            number = piece.origin.worker + piece.origin.episode
            shard = self._shards[number % len(self._shards)]
            answers.append(shard.post("insert", piece, source))
        segments = [answer.result() for answer in answers]
        return RolloutReport(
            segments=segments,
            finished=finished,
            env_steps=sum(len(piece) for piece in pieces),
            policy_version=version,
            act_s=acted - start,
            send_s=time.perf_counter() - acted,
        )
