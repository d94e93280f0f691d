"""Whole episodes of any policy: an episode's number decides where it starts."""

from __future__ import annotations

from collections.abc import Iterator

from awac_dist.messages import Finished
from awac_dist.policies.policy import Policy
from awac_dist.rollout.collector import Collector

SEED_STREAM = 0x5EED  # keeps evaluation seeds apart from those of the rollout workers
SIDE_BY_SIDE = 10


def stream_of(seed: int) -> tuple[int, int]:
    """What an evaluation's collector draws from: episode n always starts from the same state."""
    return seed, SEED_STREAM


def play(
    collector: Collector, policy: Policy, first: int, count: int, faults: list[str]
) -> Iterator[Finished]:
    """Play `count` whole episodes from number `first` on, and yield them in order.

    One whose environment fails is dropped, which `faults` is told, and the next number played.
    """
    collector.next_episode = first
    while count > 0:
        wave = collector.collect_episodes(policy, min(count, SIDE_BY_SIDE), "prior")
        numbers = [fragment.origin.episode for fragment in wave.fragments]
        for _, episode in sorted(zip(numbers, wave.finished, strict=True)):
            yield episode
        faults += wave.faults
        count -= len(wave.finished)
