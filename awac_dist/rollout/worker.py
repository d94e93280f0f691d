"""Acts with the newest policy and sends what happened straight to the shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from awac_dist.envs.guard import EnvironmentFault
from awac_dist.errors import ComponentDied
from awac_dist.messages import Future, Handle, RolloutReport, StreamState, WeightsReader, shard_of
from awac_dist.policies import make_policy
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.policy import Policy
from awac_dist.rollout.collector import Collected, Collector
from awac_dist.rollout.watchdog import Watchdog
from awac_dist.types import EnvSpec, Episode, Kind

POLL_S = 0.1
FIRST_POLICY_S = 60.0  # a worker waits so long for weights, which a new store has to be given
SHARD_BACK_S = 600.0  # and so long for a shard that died, which reads its share anew


@dataclass(frozen=True)
class FixedPolicy:
    """Always the same policy."""

    policy: Policy

    def newest(self) -> Policy:
        return self.policy


@dataclass
class PublishedPolicy:
    """The newest policy that the learner published, pulled if newer."""

    weights: WeightsReader
    _serial: int = -1
    _policy: Policy | None = None

    def newest(self) -> Policy:
        """The newest policy, or the last known one while nobody keeps them.

        Raises:
            RuntimeError: There was none for a long time.
        """
        deadline = time.monotonic() + FIRST_POLICY_S
        while True:
            newer = None
            with suppress(ComponentDied):
                newer = self.weights.pull(self._serial)
            if newer is not None:
                self._policy = make_policy(newer.spec, newer.vector, newer.version)
                self._serial = newer.serial
            if self._policy is not None:
                return self._policy
            if time.monotonic() > deadline:
                raise RuntimeError("asked to act before any policy was published")
            time.sleep(POLL_S)


PolicySource = FixedPolicy | PublishedPolicy


class RolloutWorker:
    """A plain object; `distributed.actors` gives it a process of its own.

    Args:
        shards: Where fragments go; those of one episode to one shard.
        incarnation: How often the worker of this number was replaced.
        noise: What the policy's samples are made of; None: it acts by its mean.
        step_timeout_s: Seconds after which a step is taken for hung, which ends the process;
            None never. Only a process of its own is ended.
    """

    owns_process = False

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
        noise: MakeNoise | None = WhiteNoise,
        step_timeout_s: float | None = None,
    ) -> None:
        stream = seed, worker, incarnation
        watchdog = Watchdog(step_timeout_s if self.owns_process else None)
        self._collector = Collector(spec, num_envs, stream, noise=noise, watchdog=watchdog)
        self._shards, self._policies = shards, policies
        self._ended: float | None = None  # the call before

    def ready(self) -> None:
        """Answers once the worker can be given work."""

    def close(self) -> None:
        """Close the environments, as well as they can be."""
        with suppress(EnvironmentFault):
            self._collector.close()

    def resume(self, state: StreamState) -> None:
        """Go on with a stream of this worker's number: where it was, or anew."""
        fragments = []
        for episode, steps in state.under_way:
            stream = (state.worker, state.incarnation, episode)
            ask = partial(self._home(stream).post, "fragments_of", stream, steps)
            fragments.append(_answer(ask(), ask))
        self._collector.resume(state, fragments)

    def collect_steps(
        self, steps: int, kind: Kind, source: str, num_envs: int | None = None
    ) -> RolloutReport:
        """Record `steps` steps in each (of the first `num_envs`) with the newest policy."""
        return self._collect(source, self._collector.collect_steps, steps, kind, num_envs)

    def collect_episodes(self, count: int, kind: Kind, source: str) -> RolloutReport:
        """Record `count` whole episodes with the newest policy."""
        return self._collect(source, self._collector.collect_episodes, count, kind)

    def flush(self) -> None:
        """Have everything that was sent put on disk."""
        for shard in self._shards:
            shard.post("flush").result()

    def _collect(
        self, source: str, collect: Callable[..., Collected], *arguments: int | str | None
    ) -> RolloutReport:
        wait_s = 0.0 if self._ended is None else time.perf_counter() - self._ended
        policy = self._policies.newest()
        start = time.perf_counter()
        collected = collect(policy, *arguments)
        acted, fragments = time.perf_counter(), collected.fragments
        inserts = [partial(self._insert, fragment, source) for fragment in fragments]
        answers = [insert() for insert in inserts]
        taken = [_answer(*its) for its in zip(answers, inserts, strict=True)]
        self._ended = ended = time.perf_counter()
        return RolloutReport(
            fragments=len(fragments),
            finished=collected.finished,
            env_steps=sum(len(fragment) for fragment in fragments),
            policy_version=policy.version,
            act_s=acted - start,
            send_s=ended - acted,
            dropped=len(collected.faults),
            fault=collected.faults[-1] if collected.faults else "",
            trace=collected.trace,
            stream=self._collector.state(),
            env_s=collected.env_s,
            policy_s=collected.policy_s,
            wait_s=wait_s,
            taken=all(taken),
        )

    def _home(self, stream: tuple[int, int, int]) -> Handle:
        return self._shards[shard_of(stream, len(self._shards))]

    def _insert(self, fragment: Episode, source: str) -> Future:
        return self._home(fragment.origin.stream).post("insert", fragment, source)


def _answer(answer: Future, ask: Callable[[], Future]) -> Any:
    """What a shard answers; it is asked again if it died, which does no harm."""
    deadline = time.monotonic() + SHARD_BACK_S
    while True:
        try:
            return answer.result()
        except ComponentDied as death:
            if time.monotonic() > deadline:
                raise RuntimeError(f"a replay shard did not come back: {death}") from death
        time.sleep(POLL_S)
        answer = ask()
