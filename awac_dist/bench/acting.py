"""A worker's environment steps a second beside a loop that does the very same steps and no more.

The loop repeats the actions that a worker chose, from the same resets, so that both have the same
physics: what a worker adds is its policy (two hidden layers of 256), noise, checks and records.
Both take turns in one process, so that a machine whose speed drifts slows both.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from awac_dist.bench.products import HIDDEN
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import Measure, in_turn, rate
from awac_dist.envs.make import Environment, env_spec, make_env
from awac_dist.nn.actors import make_actor
from awac_dist.nn.config import ActorConfig
from awac_dist.policies import make_policy
from awac_dist.policies.policy import Policy
from awac_dist.reporting.wording import counted
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
STEPS = 800  # between two looks at newer weights, over all environments
PAIRS = 3  # of turns in a round
WORKER, BARE = "worker", "env.step"


def random_policy(spec: EnvSpec) -> Policy:
    """A policy as a run begins with: two hidden layers of 256."""
    shape = ActorConfig(HIDDEN).policy_spec(spec)
    return make_policy(shape, make_actor(shape, torch.Generator()).flat_vector().numpy(), 0)


def worker(env_id: str, num_envs: int) -> Measure:
    """Measure a worker's steps a second."""
    collect = _collector(env_id, num_envs)
    return lambda: STEPS * rate(collect)


def beside_bare(env_id: str, num_envs: int) -> Measure:
    """Measure a worker's rate over that of `env.step` alone, on the very same steps."""
    collect, loop = _collector(env_id, num_envs), BareLoop(env_id, num_envs)

    def pair() -> float:
        began = time.perf_counter()
        fragments = collect()
        collected = time.perf_counter()
        loop.repeat(fragments)
        return (time.perf_counter() - collected) / (collected - began)

    return lambda: statistics.median(pair() for _ in range(PAIRS))


def _collector(env_id: str, num_envs: int) -> Callable[[], Sequence[Episode]]:
    """What a worker does between two looks at newer weights."""
    spec = env_spec(env_id)
    policy, worker = random_policy(spec), Collector(spec, num_envs, (0, 0, 0))
    return lambda: worker.collect_steps(policy, STEPS // num_envs, "online").fragments


class BareLoop:
    """As many environments as a collector's, which do again what those did."""

    def __init__(self, env_id: str, num_envs: int) -> None:
        spec = env_spec(env_id)
        self._bounds = np.array([spec.action_low, spec.action_high], np.float32)
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


def acting(repeats: int) -> Iterator[Row]:
    """Each task with one environment and with several side by side."""
    for env_id, target in TARGETS.items():
        for num_envs in ENVS:
            ways = {WORKER: worker, BARE: beside_bare}
            with one_thread():
                rounds = in_turn(
                    {name: partial(way, env_id, num_envs) for name, way in ways.items()}, repeats
                )
            steps_per_s, share = rounds.median(WORKER), rounds.median(BARE)
            what = f"{env_id}, {counted(num_envs, 'environment')}"
            yield Row(what, steps_per_s, "steps/s", BARE, steps_per_s / share, at_least=target)


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
