"""Fragments of episodes <-> episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from awac_dist.types import Array, Episode


class LoggedFragment(NamedTuple):
    """A fragment as a log keeps it."""

    episode: Episode
    source: str
    row: int  # where the shard that accepted it kept it, -1 for nowhere
    time: int  # ns since 1970 at which it was accepted; within one log it only grows


class Mark(NamedTuple):
    """What a joined episode's first step of a fragment cannot tell of that fragment."""

    start: int  # step of the episode
    row: int
    time: int
    policy_version: int


def join_fragments(fragments: Iterable[Episode]) -> list[Episode]:
    """Join fragments that follow each other in one episode, in order of their first fragment.

    The joined episode keeps the origin of its first fragment; it ended as its last fragment did.
    """
    return [_joined(run) for run in _runs(fragments)]


def join_logged(fragments: Iterable[LoggedFragment]) -> list[tuple[str, Episode, list[Mark]]]:
    """Join fragments of each source; yields (source, episode, its fragments), for `split`."""
    by_source: dict[str, dict[Episode, LoggedFragment]] = {}
    for fragment in fragments:
        by_source.setdefault(fragment.source, {})[fragment.episode] = fragment
    return [
        (source, _joined(run), [_mark(known[fragment]) for fragment in run])
        for source, known in by_source.items()
        for run in _runs(known)
    ]


def split(source: str, episode: Episode, marks: Sequence[Mark]) -> list[LoggedFragment]:
    """The fragments of an episode as they were before `join_logged`."""
    origin = episode.origin
    bounds = [mark.start - origin.start for mark in marks] + [len(episode)]
    fragments = []
    for mark, first, end in zip(marks, bounds[:-1], bounds[1:], strict=True):
        last = end == len(episode)
        fragment = Episode(
            episode.observations[first : end + 1],
            episode.actions[first:end],
            episode.rewards[first:end],
            terminated=episode.terminated and last,
            truncated=episode.truncated and last,
            origin=replace(origin, start=mark.start, policy_version=mark.policy_version),
            desired_goals=_part(episode.desired_goals, first, end + 1),
            achieved_goals=_part(episode.achieved_goals, first, end + 1),
            successes=_part(episode.successes, first, end),
        )
        fragments.append(LoggedFragment(fragment, source, mark.row, mark.time))
    return fragments


def _mark(fragment: LoggedFragment) -> Mark:
    origin = fragment.episode.origin
    return Mark(origin.start, fragment.row, fragment.time, origin.policy_version)


def _part(column: Array | None, first: int, end: int) -> Array | None:
    return None if column is None else column[first:end]


def _runs(fragments: Iterable[Episode]) -> list[list[Episode]]:
    """Fragments that follow each other, together."""
    streams: dict[tuple[int, int, int], list[list[Episode]]] = {}
    runs: list[list[Episode]] = []
    for fragment in sorted(fragments, key=lambda p: (p.origin.stream, p.origin.start)):
        known = streams.setdefault(fragment.origin.stream, [])
        if known and _follows(known[-1][-1], fragment):
            known[-1].append(fragment)
        else:
            known.append([fragment])
            runs.append(known[-1])
    return runs


def _follows(earlier: Episode, later: Episode) -> bool:
    ended = earlier.terminated or earlier.truncated
    return not ended and earlier.origin.start + len(earlier) == later.origin.start


def _joined(run: list[Episode]) -> Episode:
    if len(run) == 1:
        return run[0]
    return replace(
        run[0],
        observations=_states([fragment.observations for fragment in run]),
        actions=np.vstack([fragment.actions for fragment in run]),
        rewards=np.concatenate([fragment.rewards for fragment in run]),
        terminated=run[-1].terminated,
        truncated=run[-1].truncated,
        desired_goals=_where_all([fragment.desired_goals for fragment in run], _states),
        achieved_goals=_where_all([fragment.achieved_goals for fragment in run], _states),
        successes=_where_all([fragment.successes for fragment in run], np.concatenate),
    )


def _states(columns: Sequence[Array]) -> Array:
    """Columns [T+1, ...] as one: a fragment's last row is the next one's first."""
    return np.vstack([*(column[:-1] for column in columns), columns[-1][-1:]])


def _where_all(
    columns: Sequence[Array | None], join: Callable[[Sequence[Array]], Array]
) -> Array | None:
    """The columns joined, None where a fragment lacks it."""
    known = [column for column in columns if column is not None]
    return join(known) if len(known) == len(columns) else None
