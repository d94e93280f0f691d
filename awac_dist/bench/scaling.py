"""Environment steps a second of many workers, which collect without pause and with no learner.

A fast environment tells what it costs that workers share a few cores; one that sleeps for 20 ms a
step whether many slow ones are served at once. Section `slow` adds learner and rate limiter.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

from awac_dist.bench.acting import random_policy
from awac_dist.bench.hardware import hardware
from awac_dist.bench.replay import start_shard
from awac_dist.bench.report import Row, of_workers
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.envs.make import env_spec
from awac_dist.messages import Future, Handle, RolloutReport
from awac_dist.rollout.worker import FixedPolicy, PolicySource, RolloutWorker
from awac_dist.runs.runtime import Runtime
from awac_dist.types import EnvSpec

FAST, SLOW = "HalfCheetah-v5", "awac_dist.bench.slow_env:Slow-v0"
WORKERS = (1, 2, 4, 8, 16, 32, 64)
FRAGMENT = {FAST: 250, SLOW: 25}  # steps of a call
ROUND_S = 5.0
LINEAR = 0.90  # of a core's worth each, while there are cores
CPUS = 0.01  # that a worker books: it need not have a core to itself


def start_workers(
    runtime: RayRuntime, spec: EnvSpec, number: int, policies: PolicySource | None = None
) -> list[Handle]:
    """Rollout workers with one environment each and a shard, once all of them have started."""
    shards = [start_shard(runtime, spec)]
    policies = policies or FixedPolicy(random_policy(spec))
    workers: list[Handle] = [
        runtime.start(RolloutWorker, spec, 1, shards, policies, seed=0, worker=index, cpus=CPUS)
        for index in range(number)
    ]
    for worker in workers:
        worker.post("ready").result()
    return workers


def ask(worker: Handle, steps: int) -> Future:
    """Have a worker collect so many steps."""
    return worker.post("collect_steps", steps, "online", "online")


def collect(workers: Sequence[Handle], steps: int) -> list[RolloutReport]:
    """Have all workers collect so many steps, at once."""
    asked = [ask(worker, steps) for worker in workers]
    return [future.result() for future in asked]


def rounds(
    runtime: Runtime, workers: Sequence[Handle], fragment: int, seconds: float = ROUND_S
) -> Iterator[float]:
    """Steps a second, round after round, of workers that collect in a round and between rounds.

    Counts the environment steps of the calls that end in the round, until one ends after its time.

    Args:
        runtime: Where they run.
        workers: Rollout workers, asked for more as soon as they are done.
        fragment: Environment steps of a call.
        seconds: Of a round.
    """
    asked = {ask(worker, fragment): worker for worker in workers}
    while True:
        steps, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds or not steps:
            for future in runtime.wait(list(asked), seconds):
                steps += future.result().env_steps
                worker = asked.pop(future)
                asked[ask(worker, fragment)] = worker
        yield steps / elapsed


def rows(repeats: int) -> Iterator[Row]:
    """Fast environments, then slow ones, each with 1 to 64 workers."""
    cores = hardware().cores
    for env_id in (FAST, SLOW):
        note = "" if env_id == SLOW else f"{cores} cores, which a shard and the driver share"
        alone = 0.0
        for number in WORKERS:
            with closing(RayRuntime()) as runtime:
                workers = start_workers(runtime, env_spec(env_id), number)
                measured = rounds(runtime, workers, FRAGMENT[env_id])
                next(measured)  # all of them get going
                rate = statistics.median(islice(measured, repeats))
            alone = alone or rate
            wanted = LINEAR if env_id == SLOW or number <= cores else None
            yield of_workers(number, rate, alone, f"{env_id}, ", note, at_least=wanted)
