"""Memory of many rollout workers, and of a replay shard beside the data that it holds."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from awac_dist.bench.acting import random_policy
from awac_dist.bench.replay import HALF_CHEETAH, STEPS, random_episodes, start_shard
from awac_dist.bench.report import Row
from awac_dist.bench.scaling import start_workers
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.replay.layout import Layout
from awac_dist.rollout.worker import FixedPolicy

WORKERS = 32
FRAGMENT = 250
EPISODES = 2_000
WORKERS_GIB = 5.0
WANTED_SHARE = 1.2  # of a shard's data
GIB = 1 << 30


def rows(repeats: int) -> Iterator[Row]:
    """Workers that have acted, and a shard that holds two million steps. Once: nothing varies."""
    runtime = RayRuntime()
    try:
        yield _shard_row(runtime)
        yield _workers_row(runtime)
    finally:
        runtime.close()


def _workers_row(runtime: RayRuntime) -> Row:
    shard = start_shard(runtime, 0, 1)
    policies = FixedPolicy(random_policy(HALF_CHEETAH))
    workers = start_workers(runtime, HALF_CHEETAH, WORKERS, [shard], policies)
    asked = [worker.post("collect_steps", FRAGMENT, "online", "online") for worker in workers]
    for future in asked:
        future.result()
    sizes = _own_bytes("WatchedWorker")
    assert len(sizes) == WORKERS
    return Row(
        f"{WORKERS} workers with one HalfCheetah each",
        sum(sizes) / GIB,
        "GiB",
        at_most=WORKERS_GIB,
        note=f"{sum(sizes) / WORKERS / 2**20:.0f} MiB each (USS)",
    )


def _shard_row(runtime: RayRuntime) -> Row:
    """What a shard grows by while it is filled, beside what it was filled with."""
    shard = start_shard(runtime, 0, 1)
    shard.post("flush").result()
    (empty,) = _own_bytes("DurableShard")
    for episode in random_episodes(EPISODES):
        shard.post("insert", episode, "online").result()
    (full,) = _own_bytes("DurableShard")
    data = 4 * Layout.of(HALF_CHEETAH).row_width * EPISODES * (STEPS + 1)
    return Row(
        f"a shard with {EPISODES * STEPS:,} steps",
        (full - empty) / 2**20,
        "MiB",
        peer="its data",
        peer_value=data / 2**20,
        at_most=WANTED_SHARE,
        note=f"besides {empty / 2**20:.0f} MiB of an empty one (USS)",
    )


def _own_bytes(component: str) -> list[int]:
    """Memory that each process of a component has to itself (USS)."""
    processes = psutil.Process().children(recursive=True)
    return [
        process.memory_full_info().uss
        for process in processes
        if process.name().startswith("ray::") and component in process.cmdline()[0]
    ]
