"""How soon a publication of the policy is in the hands of many workers.

All workers ask at the same moment, which is the worst case: a worker asks for newer weights when it
begins a fragment (`rollout.fragment_steps`), and here all begin one at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from statistics import median

import numpy as np

from awac_dist.bench.products import HALF_CHEETAH, HIDDEN
from awac_dist.bench.report import Row
from awac_dist.bench.scaling import collect, start_workers
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.messages import Handle
from awac_dist.nn.config import ActorConfig
from awac_dist.rollout.worker import PublishedPolicy
from awac_dist.runs.weights import WeightStore

WORKERS = 32
WITHIN_MS = 100.0


def rows(repeats: int) -> Iterator[Row]:
    """Publishing, then a step of all workers with a new policy and with the one that they have."""
    shape = ActorConfig(HIDDEN).policy_spec(HALF_CHEETAH)
    vector = np.full(shape.size, 0.01, np.float32)
    with closing(RayRuntime()) as runtime:
        store = runtime.start(WeightStore)
        policies = PublishedPolicy(shape, runtime.weights_reader(store))
        store.post("publish", 0, vector).result()
        workers = start_workers(runtime, HALF_CHEETAH, WORKERS, policies)
        _step_ms(workers, 0)  # each has reset its environment
        published, newer, known = [], [], []
        for version in range(1, repeats + 1):
            began = time.perf_counter()
            store.post("publish", version, vector).result()
            published.append(1e3 * (time.perf_counter() - began))
            newer.append(_step_ms(workers, version))
            known.append(_step_ms(workers, version))
    yield Row(f"publishing {vector.nbytes / 1e3:.0f} kB, once", median(published), "ms")
    what = f"{WORKERS} workers take a step with a policy that is new to them, until the last has"
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
