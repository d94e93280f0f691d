"""Whole episodes from many workers, a few a call, so that progress shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from awac_dist.types import Future, Handle, Kind, RolloutReport

EPISODES_PER_CALL = 2


def collect_episodes(
    workers: Sequence[Handle],
    episodes: int,
    kind: Kind,
    source: str,
    wait: Callable[[list[Future]], list[Future]],
) -> Iterator[tuple[int, RolloutReport]]:
    """Have the workers record `episodes` in all; yield (worker, report) as they come.

    Each worker has a fixed share, so that what is collected depends on no timing; the order in
    which reports come does.

    Args:
        workers: Who collects.
        episodes: How many, over all workers.
        kind: Kind of the episodes.
        source: Source that they are registered under.
        wait: Returns those of some futures that are done.
    """
    one_each, more = divmod(episodes, len(workers))
    left = [one_each + (index < more) for index in range(len(workers))]
    pending: dict[int, Future] = {}
    while any(left) or pending:
        for index, worker in enumerate(workers):
            if left[index] and index not in pending:
                count = min(left[index], EPISODES_PER_CALL)
                left[index] -= count
                pending[index] = worker.post("collect_episodes", count, kind, source)
        done = wait(list(pending.values()))
        for index in [index for index, answer in pending.items() if answer in done]:
            yield index, pending.pop(index).result()
