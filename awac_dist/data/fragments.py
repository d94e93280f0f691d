"""Fragments of episodes <-> episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from awac_dist.types import Episode

GOALS = ("desired_goals", "achieved_goals")
STATES = ("observations", *GOALS)  # [T+1, ...]
STEPS = ("actions", "rewards", "successes")  # [T, ...]


class LoggedFragment(NamedTuple):
    """A fragment as a log keeps it."""

    episode: Episode
    source: str = ""
    row: int = -1  # where the shard that accepted it kept it, -1 for nowhere
    time: int = 0  # ns since 1970 at which it was accepted; within one log it only grows


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
    return [episode for _, episode, _ in join_logged(map(LoggedFragment, fragments))]


def join_logged(fragments: Iterable[LoggedFragment]) -> list[tuple[str, Episode, list[Mark]]]:
    """Join fragments of each source; returns (source, episode, its fragments), for `split`."""
    by_source: dict[str, list[LoggedFragment]] = {}
    for fragment in fragments:
        by_source.setdefault(fragment.source, []).append(fragment)
    return [_joined(run) for its in by_source.values() for run in _runs(its)]


def split(source: str, episode: Episode, marks: Sequence[Mark]) -> list[LoggedFragment]:
    """The fragments of an episode as they were before `join_logged`."""
    bounds = [mark.start - episode.origin.start for mark in marks] + [len(episode)]
    if bounds[0] != 0 or bounds != sorted(set(bounds)):
        raise ValueError(f"{len(episode)} steps are not made of fragments that end at {bounds}")
    return [
        LoggedFragment(_part(episode, mark, first, end), source, mark.row, mark.time)
        for mark, (first, end) in zip(marks, pairwise(bounds), strict=True)
    ]


def cut(episode: Episode, steps: int) -> Iterator[Episode]:
    """An episode as several of so many steps, as if the clock had cut it.

    The last step before each cut is left out: what follows it may be the next reset.
    """
    for first in range(0, len(episode), steps):
        end = min(first + steps, len(episode))
        mark = Mark(episode.origin.start + first, -1, 0, episode.origin.policy_version)
        whole = end == len(episode)
        part = _part(episode, mark, first, end if whole else end - 1)
        yield part if whole else replace(part, truncated=True)


def _part(episode: Episode, mark: Mark, first: int, end: int) -> Episode:
    """Steps [first, end) of an episode."""
    columns: dict[str, Any] = {
        name: known[first : end + (name in STATES)]
        for name in (*STATES, *STEPS)
        if (known := getattr(episode, name)) is not None
    }
    last = end == len(episode)
    return replace(
        episode,
        **columns,
        terminated=episode.terminated and last,
        truncated=episode.truncated and last,
        origin=replace(episode.origin, start=mark.start, policy_version=mark.policy_version),
    )


def _runs(fragments: Iterable[LoggedFragment]) -> list[list[LoggedFragment]]:
    """Fragments that follow each other, together."""
    runs: list[list[LoggedFragment]] = []
    following: tuple[Any, ...] = ()  # key of the fragment that would go on with the last run
    for fragment in sorted(fragments, key=lambda its: _key(its.episode)):
        episode = fragment.episode
        if _key(episode) != following:
            runs.append([])
        runs[-1].append(fragment)
        ended = episode.terminated or episode.truncated
        following = () if ended else _key(episode, len(episode))
    return runs


def _key(episode: Episode, steps: int = 0) -> tuple[int, ...]:
    return *episode.origin.stream, episode.origin.start + steps


def _joined(run: Sequence[LoggedFragment]) -> tuple[str, Episode, list[Mark]]:
    parts = [fragment.episode for fragment in run]
    marks = [
        Mark(part.origin.start, row, time, part.origin.policy_version) for part, _, row, time in run
    ]
    joined: dict[str, Any] = {}
    for name in (*STATES, *STEPS):
        columns = [getattr(part, name) for part in parts]
        if any(column is None for column in columns):
            joined[name] = None
        else:  # a fragment's last state is the next one's first
            ends = zip(columns[:-1], parts[:-1], strict=True)
            cut = [column[: len(part)] for column, part in ends]
            joined[name] = np.concatenate([*cut, columns[-1]])
    last = parts[-1]
    whole = replace(parts[0], **joined, terminated=last.terminated, truncated=last.truncated)
    return run[0].source, whole, marks
