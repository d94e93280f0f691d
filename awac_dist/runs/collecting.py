"""Whole episodes from many workers, a few a call, so that progress shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from awac_dist.messages import Future, RolloutReport
from awac_dist.runs.workforce import Workforce
from awac_dist.types import Kind

EPISODES_PER_CALL = 2


def collect_episodes(
    workers: Workforce,
    episodes: int,
    kind: Kind,
    source: str,
    wait: Callable[[list[Future]], list[Future]],
) -> Iterator[tuple[int, RolloutReport]]:
    """Have the workers record `episodes` in all; yield (worker, report) as they come.

    Each worker has a fixed share, so that what is collected depends on no timing; the order in
    which reports come does. Only where a worker died, and another waits for its place, do the
    others take over its share.

    Args:
        workers: Who collects.
        episodes: How many, over all workers.
        kind: Kind of the episodes.
        source: Source that they are registered under.
        wait: Returns those of some futures that are done.
    """
    one_each, more = divmod(episodes, len(workers))
    left = [one_each + (number < more) for number in range(len(workers))]
    asked: dict[int, int] = {}  # episodes of each worker's call
    while any(left) or asked:
        for number in range(len(workers)):
            if number in asked or not workers.is_ready(number):
                continue
            owner = number if left[number] else _orphaned(workers, left)
            if owner is not None:
                asked[number] = min(left[owner], EPISODES_PER_CALL)
                left[owner] -= asked[number]
                workers.post(number, "collect_episodes", asked[number], kind, source)
        for number, report in workers.reports(wait(workers.answers())):
            left[number] += asked.pop(number) - len(
                report.placements
            )  # fragments are whole episodes
            yield number, report


def _orphaned(workers: Workforce, left: list[int]) -> int | None:
    """A worker that died, has no successor yet, and leaves a share."""
    for number, episodes in enumerate(left):
        if episodes and workers.incarnations[number] and workers.is_starting(number):
            return number
    return None
