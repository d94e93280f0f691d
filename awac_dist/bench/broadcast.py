"""How soon a publication of the policy is in the hands of many workers.

All workers ask at the same moment, which is the worst case: a worker asks for newer weights when it
begins a fragment (`rollout.fragment_steps`), and here all begin one at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np

from awac_dist.bench.replay import HALF_CHEETAH, start_shard
from awac_dist.bench.report import Row
from awac_dist.bench.scaling import start_workers
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.messages import Handle, RolloutReport
from awac_dist.nn.config import ActorConfig
from awac_dist.rollout.worker import PublishedPolicy
from awac_dist.runs.weights import WeightStore
from awac_dist.types import Array

WORKERS = 32
WITHIN_MS = 100.0


def rows(repeats: int) -> Iterator[Row]:
    """Publishing, then a step of all workers with a new policy and with the one that they have."""
    runtime = RayRuntime()
    try:
        shape = ActorConfig((256, 256)).policy_spec(HALF_CHEETAH)
        vector = np.full(shape.size, 0.01, np.float32)
        store = runtime.start(WeightStore)
        policies = PublishedPolicy(shape, runtime.weights_reader(store))
        store.post("publish", 0, vector).result()
        shards = [start_shard(runtime, 0, 1)]
        workers = start_workers(runtime, HALF_CHEETAH, WORKERS, shards, policies)
        yield from _rows(store, vector, workers, repeats)
    finally:
        runtime.close()


def _rows(store: Handle, vector: Array, workers: Sequence[Handle], repeats: int) -> Iterator[Row]:
    _step(workers, 0)  # each has reset its environment
    published, newer, known = [], [], []
    for version in range(1, repeats + 1):
        began = time.perf_counter()
        store.post("publish", version, vector).result()
        published.append(1e3 * (time.perf_counter() - began))
        newer.append(_step(workers, version))
        known.append(_step(workers, version))
    yield Row(f"publishing {vector.nbytes / 1e3:.0f} kB, once", statistics.median(published), "ms")
    yield Row(
        f"{WORKERS} workers take a step with a policy that is new to them, until the last has",
        statistics.median(newer),
        "ms",
    )
    yield Row(
        "of that, getting it",
        statistics.median(a - b for a, b in zip(newer, known, strict=True)),
        "ms",
        at_most=WITHIN_MS,
        note=f"a step with the policy that they have takes {statistics.median(known):.0f} ms",
    )


def _step(workers: Sequence[Handle], version: int) -> float:
    """Milliseconds in which all workers took one step each, by the policy of a version."""
    began = time.perf_counter()
    asked = [worker.post("collect_steps", 1, "online", "online") for worker in workers]
    reports: list[RolloutReport] = [future.result() for future in asked]
    elapsed_ms = 1e3 * (time.perf_counter() - began)
    assert {report.policy_version for report in reports} == {version}
    return elapsed_ms
