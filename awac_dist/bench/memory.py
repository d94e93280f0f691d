"""Memory of many rollout workers, and of a replay shard beside the data that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psutil

from awac_dist.bench.products import HALF_CHEETAH
from awac_dist.bench.replay import STEPS, random_episodes, start_shard
from awac_dist.bench.report import Row
from awac_dist.bench.scaling import collect, start_workers
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.replay.layout import Layout

WORKERS = 32
FRAGMENT = 250
EPISODES = 2_000
WORKERS_GIB = 5.0
WANTED_SHARE = 1.2  # of a shard's data
MIB = 1 << 20


def rows(repeats: int) -> Iterator[Row]:
    """Workers that have acted, and a shard that holds two million steps. Once: nothing varies."""
    with closing(RayRuntime()) as runtime:
        yield _shard_row(runtime)
        workers = start_workers(runtime, HALF_CHEETAH, WORKERS)
        collect(workers, FRAGMENT)
        sizes = _own_mib("WatchedWorker")
        assert len(sizes) == WORKERS
        what = f"{WORKERS} workers with one HalfCheetah each"
        note = f"{sum(sizes) / WORKERS:.0f} MiB each (USS)"
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
