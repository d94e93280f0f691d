"""Environment steps a second of many workers, which collect without pause and with no learner.

A fast environment tells what it costs that workers share a few cores; one that sleeps for 20 ms a
step whether many slow ones are served at once. Section `slow` adds learner and rate limiter.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

from awac_dist.bench.acting import random_policy
from awac_dist.bench.hardware import hardware
from awac_dist.bench.replay import start_shard
from awac_dist.bench.report import Row
from awac_dist.distributed.handles import RayHandle
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.envs.make import env_spec
from awac_dist.messages import Future, Handle
from awac_dist.rollout.worker import FixedPolicy, PolicySource, RolloutWorker
from awac_dist.types import EnvSpec

FAST, SLOW = "HalfCheetah-v5", "awac_dist.bench.slow_env:Slow-v0"
WORKERS = (1, 2, 4, 8, 16, 32, 64)
FRAGMENT = {FAST: 250, SLOW: 25}  # steps of a call
ROUND_S = 5.0
LINEAR = 0.90  # of a core's worth each, while there are cores
CPUS = 0.01  # that a worker books: it need not have a core to itself


def start_workers(
    runtime: RayRuntime,
    spec: EnvSpec,
    number: int,
    shards: Sequence[Handle],
    policies: PolicySource,
) -> list[RayHandle]:
    """Rollout workers with one environment each, once all of them have started."""
    workers = [
        runtime.start(RolloutWorker, spec, 1, shards, policies, seed=0, worker=index, cpus=CPUS)
        for index in range(number)
    ]
    for worker in workers:
        worker.post("ready").result()
    return workers


class Collecting:
    """Workers that are asked for more as soon as they are done, in a round and between rounds.

    Args:
        runtime: Where they run.
        workers: Rollout workers.
        fragment: Environment steps of a call.
    """

    def __init__(self, runtime: RayRuntime, workers: Sequence[Handle], fragment: int) -> None:
        self._runtime, self._fragment = runtime, fragment
        self._asked = {self._ask(worker): worker for worker in workers}

    def steps_per_s(self, seconds: float) -> float:
        """Environment steps of the calls that end from now on, until one ends after the time."""
        steps, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds or not steps:
            for future in self._runtime.wait(list(self._asked), seconds):
                steps += future.result().env_steps
                worker = self._asked.pop(future)
                self._asked[self._ask(worker)] = worker
        return steps / elapsed

    def _ask(self, worker: Handle) -> Future:
        return worker.post("collect_steps", self._fragment, "online", "online")


def rows(repeats: int) -> Iterator[Row]:
    """Fast environments, then slow ones, each with 1 to 64 workers."""
    for env_id in (FAST, SLOW):
        yield from _curve(env_id, repeats)


def _curve(env_id: str, repeats: int) -> Iterator[Row]:
    cores, alone = hardware().cores, 0.0
    for number in WORKERS:
        measured = _rate(env_id, number, repeats)
        alone = alone or measured
        with_cores = env_id == SLOW or number <= cores
        yield Row(
            f"{env_id}, {number} worker{'s' if number > 1 else ''}",
            measured,
            "steps/s",
            peer="" if number == 1 else f"{number} x one worker",
            peer_value=None if number == 1 else number * alone,
            at_least=LINEAR if number > 1 and with_cores else None,
            note="" if env_id == SLOW else f"{cores} cores, which a shard and the driver share",
        )


def _rate(env_id: str, number: int, repeats: int) -> float:
    spec, runtime = env_spec(env_id), RayRuntime()
    try:
        shard = start_shard(runtime, 0, 1, spec)
        policies = FixedPolicy(random_policy(spec))
        workers = start_workers(runtime, spec, number, [shard], policies)
        collecting = Collecting(runtime, workers, FRAGMENT[env_id])
        collecting.steps_per_s(ROUND_S)  # all of them get going
        rounds = [collecting.steps_per_s(ROUND_S) for _ in range(repeats)]
    finally:
        runtime.close()
    return statistics.median(rounds)
