"""Many workers: steps a second, memory, and how soon all of them have a new policy.

`scaling` has them collect without pause and with no learner. A fast environment tells what it costs
that workers share a few cores; one that sleeps for 20 ms a step whether many slow ones are served
at once.

`slow` makes whole runs on the latter, with learner and rate limiter. More workers bring more steps
until the learner, who owes an update for each, is what all wait for: from there on the rate limiter
holds the workers, and their policies stay fresh.

In `broadcast` all workers ask at the same moment, which is the worst case: a worker asks for newer
weights when it begins a fragment (`rollout.fragment_steps`), and here all begin one at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from awac_dist.bench.acting import random_policy
from awac_dist.bench.hardware import hardware
from awac_dist.bench.products import HALF_CHEETAH, HIDDEN
from awac_dist.bench.replay import STEPS, random_episodes, start_shard
from awac_dist.bench.report import Row, of_workers
from awac_dist.bench.runs import rows_of_run
from awac_dist.data.parquet import write_episodes
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.envs.make import env_spec
from awac_dist.messages import Future, Handle, RolloutReport
from awac_dist.nn.config import ActorConfig
from awac_dist.replay.layout import Layout
from awac_dist.rollout.worker import FixedPolicy, PolicySource, PublishedPolicy, RolloutWorker
from awac_dist.runs.runtime import Runtime
from awac_dist.runs.weights import WeightStore
from awac_dist.types import EnvSpec

FAST, SLOW = "HalfCheetah-v5", "awac_dist.bench.slow_env:Slow-v0"
SLOW_STEPS = 300  # a worker, of a run: 6 seconds without a learner
CPUS = 0.01  # that a worker books: it need not have a core to itself
MANY = 32  # workers of `broadcast` and `memory`
SCALES = (1, 2, 4, 8, 16, 32, 64)  # workers of `scaling`
SLOW_SCALES = (1, 4, 16, 64)  # of `slow`
FRAGMENT = {FAST: 250, SLOW: 25}  # steps of a call
ROUND_S = 5.0
LINEAR = 0.90  # of a core's worth each, while there are cores
WITHIN_MS = 100.0
EPISODES = 2_000  # that a shard is filled with
WORKERS_GIB = 5.0
WANTED_SHARE = 1.2  # of a shard's data
MIB = 1 << 20
SLOW_RUN = {
    "env": SLOW,
    "clone.updates": 0,
    "offline.updates": 50,
    "rollout.fragment_steps": 25,
    "learner.updates_per_call": 50,
    "evaluation.episodes": 1,
    "evaluation.every_updates": 1_000_000,
    "algorithm.actor.hidden": (64, 64),
    "algorithm.critic.hidden": (64, 64),
}


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


def scaling(repeats: int) -> Iterator[Row]:
    """Fast environments, then slow ones, each with 1 to 64 workers."""
    cores = hardware().cores
    for env_id in (FAST, SLOW):
        note = "" if env_id == SLOW else f"{cores} cores, which a shard and the driver share"
        alone = 0.0
        for number in SCALES:
            with closing(RayRuntime()) as runtime:
                workers = start_workers(runtime, env_spec(env_id), number)
                measured = rounds(runtime, workers, FRAGMENT[env_id])
                next(measured)  # all of them get going
                rate = median(islice(measured, repeats))
            alone = alone or rate
            wanted = LINEAR if env_id == SLOW or number <= cores else None
            yield of_workers(number, rate, alone, f"{env_id}, ", note, at_least=wanted)


def slow(repeats: int) -> Iterator[Row]:
    """Online steps a second, with the time that workers wait and how old their policies get.

    Each run is one round, whatever the repeats: it takes a minute.
    """
    alone = 0.0
    with TemporaryDirectory() as folder:
        data = f"{folder}/prior.parquet"
        write_episodes(data, random_episodes(3), env_spec(SLOW))
        for workers in SLOW_SCALES:
            own = {"data": data, "workers": workers, "online.env_steps": SLOW_STEPS * workers}
            row = _slow_row(workers, alone, rows_of_run(SLOW_RUN | own))
            alone = alone or row.value
            yield row


def _slow_row(workers: int, alone: float, rows: Sequence[Mapping[str, Any]]) -> Row:
    """What the metrics of a run say of its online phase."""
    acted = [its for its in rows if its["phase"] == "online" and "rollout/wait_share" in its]
    first, last = acted[0], acted[-1]
    steps, seconds = (last[name] - first[name] for name in ("env_steps", "elapsed_s"))
    wait_share, lag = (
        mean(its[f"rollout/{name}"] for its in acted) for name in ("wait_share", "lag_mean")
    )
    note = f"workers wait {wait_share:.0%}, policies are {lag:.0f} updates old"
    return of_workers(workers, steps / seconds, alone, note=note)


def broadcast(repeats: int) -> Iterator[Row]:
    """Publishing, then a step of all workers with a new policy and with the one that they have."""
    shape = ActorConfig(HIDDEN).policy_spec(HALF_CHEETAH)
    vector = np.full(shape.size, 0.01, np.float32)
    with closing(RayRuntime()) as runtime:
        store = runtime.start(WeightStore)
        policies = PublishedPolicy(runtime.weights_reader(store))
        store.post("publish", 0, shape, vector).result()
        workers = start_workers(runtime, HALF_CHEETAH, MANY, policies)
        _step_ms(workers, 0)  # each has reset its environment
        published, newer, known = [], [], []
        for version in range(1, repeats + 1):
            began = time.perf_counter()
            store.post("publish", version, shape, vector).result()
            published.append(1e3 * (time.perf_counter() - began))
            newer.append(_step_ms(workers, version))
            known.append(_step_ms(workers, version))
    yield Row(f"publishing {vector.nbytes / 1e3:.0f} kB, once", median(published), "ms")
    what = f"{MANY} workers take a step with a policy that is new to them, until the last has"
    yield Row(what, median(newer), "ms")
    getting = median(a - b for a, b in zip(newer, known, strict=True))
    note = f"a step with the policy that they have takes {median(known):.0f} ms"
    yield Row("of that, getting it", getting, "ms", at_most=WITHIN_MS, note=note)


def _step_ms(workers: Sequence[Handle], version: int) -> float:
    """Milliseconds in which all workers took one step each, by the policy of a version."""
    began = time.perf_counter()
    reports = collect(workers, 1)
    elapsed_ms = 1e3 * (time.perf_counter() - began)
    assert {report.policy_version for report in reports} == {version}
    return elapsed_ms


def memory(repeats: int) -> Iterator[Row]:
    """Workers that have acted, and a shard that holds two million steps. Once: nothing varies."""
    with closing(RayRuntime()) as runtime:
        yield _shard_row(runtime)
        workers = start_workers(runtime, HALF_CHEETAH, MANY)
        collect(workers, FRAGMENT[FAST])
        sizes = _own_mib("WatchedWorker")
        assert len(sizes) == MANY
        what = f"{MANY} workers with one HalfCheetah each"
        note = f"{sum(sizes) / MANY:.0f} MiB each (USS)"
        yield Row(what, sum(sizes) / 1024, "GiB", at_most=WORKERS_GIB, note=note)


def _shard_row(runtime: RayRuntime) -> Row:
    """What a shard grows by while it is filled, beside what it was filled with."""
    shard = start_shard(runtime, HALF_CHEETAH)
    shard.post("flush").result()
    (empty,) = _own_mib("DurableShard")
    for episode in random_episodes(EPISODES):
        shard.post("insert", episode, "online").result()
    (full,) = _own_mib("DurableShard")
    return Row(
        f"a shard with {EPISODES * STEPS:,} steps",
        full - empty,
        "MiB",
        peer="its data",
        peer_value=4 * Layout.of(HALF_CHEETAH).row_width * EPISODES * (STEPS + 1) / MIB,
        at_most=WANTED_SHARE,
        note=f"besides {empty:.0f} MiB of an empty one (USS)",
    )


def _own_mib(component: str) -> list[float]:
    """Memory that each process of a component has to itself (USS)."""
    return [
        process.memory_full_info().uss / MIB
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::") and component in process.cmdline()[0]
    ]
