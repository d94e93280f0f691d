"""Acts with the newest policy and sends what happened straight to the shards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from awac_dist.rollout.collector import Collector
from awac_dist.rollout.policy import GaussianPolicy
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


class RolloutWorker:
    """A plain object; `distributed.actors` gives it a process of its own.

    Args:
        spec: The task.
        policy: Shape of the policy.
        num_envs: Environments stepped side by side.
        shards: Where pieces go, in turn.
        weights: Where policies come from.
        seed: The run's seed.
        worker: Number of this worker.
        incarnation: How often it was replaced.
    """

    def __init__(
        self,
        spec: EnvSpec,
        policy: PolicySpec,
        num_envs: int,
        shards: Sequence[Handle],
        weights: WeightsReader,
        *,
        seed: int,
        worker: int,
        incarnation: int = 0,
    ) -> None:
        self._collector = Collector(
            spec, num_envs, seed=seed, worker=worker, incarnation=incarnation
        )
        self._policy_spec = policy
        self._shards, self._next_shard = shards, worker
        self._weights, self._serial = weights, -1
        self._policy: GaussianPolicy | None = None

    def collect_steps(self, steps: int, kind: Kind, source: str) -> RolloutReport:
        """Take `steps` steps in each environment with the newest policy."""
        policy = self._newest_policy()
        start = time.perf_counter()
        pieces, finished = self._collector.collect_steps(policy, steps, kind)
        return self._send(pieces, finished, source, policy.version, start)

    def collect_episodes(self, count: int, kind: Kind, source: str) -> RolloutReport:
        """Record `count` whole episodes with the newest policy."""
        policy = self._newest_policy()
        start = time.perf_counter()
        pieces, finished = self._collector.collect_episodes(policy, count, kind)
        return self._send(pieces, finished, source, policy.version, start)

    def _newest_policy(self) -> GaussianPolicy:
        newer = self._weights.pull(self._serial)
        if newer is not None:
            self._policy = GaussianPolicy(self._policy_spec, newer.vector, newer.version)
            self._serial = newer.serial
        if self._policy is None:
            raise RuntimeError("asked to act before any policy was published")
        return self._policy

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
            shard = self._shards[self._next_shard % len(self._shards)]
            answers.append(shard.post("insert", piece, source))
            self._next_shard += 1
        segments = [answer.result() for answer in answers]
        return RolloutReport(
            segments=segments,
            finished=finished,
            env_steps=sum(len(piece) for piece in pieces),
            policy_version=version,
            act_s=acted - start,
            send_s=time.perf_counter() - acted,
        )
