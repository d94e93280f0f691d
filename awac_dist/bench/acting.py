"""A worker's environment steps a second beside a loop that does the very same steps and no more.

The loop repeats the actions that a worker chose, from the same resets, so that both have the same
physics: what a worker adds is its policy (two hidden layers of 256), noise, checks and records.
Both take turns in one process, so that a machine whose speed drifts slows both.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from awac_dist.bench.report import Row
from awac_dist.bench.rounds import Contestant, Measure, in_turn
from awac_dist.envs.make import Environment, env_spec, make_env
from awac_dist.nn.config import ActorConfig
from awac_dist.policies import make_policy
from awac_dist.policies.policy import Policy
from awac_dist.rollout.collector import Collector
from awac_dist.types import EnvSpec, Episode

TARGETS = {  # of a worker's rate over the loop's
    "HalfCheetah-v5": 0.70,
    "Walker2d-v5": 0.85,
    "Ant-v5": 0.85,
    "awac_dist/PenBinary-v0": 0.85,
    "AdroitHandDoor-v1": 0.85,
}
ENVS = (1, 4, 16)  # side by side in a worker
STEPS = 800  # of a round, over all environments
PAIRS = 3  # of turns in a round
WORKER, BARE = "worker", "env.step"


def random_policy(spec: EnvSpec) -> Policy:
    """A policy as a run begins with: two hidden layers of 256."""
    shape = ActorConfig((256, 256)).policy_spec(spec)
    rng = np.random.default_rng(0)
    sizes = list(shape.shapes.values())
    scales = [s[-1] ** -0.5 if len(s) == 2 else 0.0 for s in sizes]
    parts = [
        rng.uniform(-scale, scale, size).ravel() for size, scale in zip(sizes, scales, strict=True)
    ]
    return make_policy(shape, np.concatenate(parts).astype(np.float32), 0)


def collector(env_id: str, num_envs: int) -> Measure:
    """Measure what a worker does between two looks at newer weights."""
    spec = env_spec(env_id)
    policy, acting = random_policy(spec), Collector(spec, num_envs, (0, 0, 0))

    def measure() -> float:
        began = time.perf_counter()
        acting.collect_steps(policy, STEPS // num_envs, "online")
        return STEPS / (time.perf_counter() - began)

    return measure


def beside_bare(env_id: str, num_envs: int) -> Measure:
    """Measure a worker's rate over that of `env.step` alone, on the very same steps."""
    spec = env_spec(env_id)
    policy, acting = random_policy(spec), Collector(spec, num_envs, (0, 0, 0))
    loop = BareLoop(env_id, num_envs)

    def measure() -> float:
        return statistics.median(pair() for _ in range(PAIRS))

    def pair() -> float:
        began = time.perf_counter()
        fragments = acting.collect_steps(policy, STEPS // num_envs, "online").fragments
        collected = time.perf_counter()
        loop.repeat(fragments)
        return (time.perf_counter() - collected) / (collected - began)

    return measure


class BareLoop:
    """Environments that do again what a collector's did.

    Args:
        env_id: The task.
        num_envs: Environments of the collector.
    """

    def __init__(self, env_id: str, num_envs: int) -> None:
        spec = env_spec(env_id)
        self._bounds = np.array(spec.action_low, np.float32), np.array(spec.action_high, np.float32)
        self._free = [make_env(env_id) for _ in range(num_envs)]
        self._under_way: dict[tuple[int, int, int], Environment] = {}

    def repeat(self, fragments: Sequence[Episode]) -> None:
        """Do all steps of some fragments, in the order in which they were cut."""
        for fragment in fragments:
            stream = fragment.origin.stream
            env = self._under_way.pop(stream) if fragment.origin.start else self._free.pop()
            if fragment.origin.start == 0:
                env.reset(seed=fragment.origin.seed)
            for action in np.clip(fragment.actions, *self._bounds):
                env.step(action)
            if fragment.terminated or fragment.truncated:
                self._free.append(env)
            else:
                self._under_way[stream] = env


def rows(repeats: int) -> Iterator[Row]:
    """Each task with one environment and with several side by side."""
    for env_id, target in TARGETS.items():
        for num_envs in ENVS:
            with one_thread():
                contestants = {
                    WORKER: Contestant(collector, env_id, num_envs),
                    BARE: Contestant(beside_bare, env_id, num_envs),
                }
            rounds = in_turn(contestants, repeats)
            rate, share = rounds.median(WORKER), rounds.median(BARE)
            yield Row(
                f"{env_id}, {num_envs} environment{'s' if num_envs > 1 else ''}",
                rate,
                "steps/s",
                peer=BARE,
                peer_value=rate / share,
                at_least=target,
            )


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that begin in here multiply with one thread, as Ray has its workers do."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
