"""Which shard keeps which episode."""

from __future__ import annotations


def shard_of(stream: tuple[int, int, int], num_shards: int) -> int:
    """The shard of all fragments of one of our workers' episodes, an `Origin.stream`."""
    worker, _, episode = stream
    return (worker + episode) % num_shards
