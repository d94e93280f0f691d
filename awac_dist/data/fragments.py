"""Fragments of episodes <-> episodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from awac_dist.types import Episode

STATES = ("observations", "desired_goals", "achieved_goals")  # [T+1, ...]
STEPS = ("actions", "rewards", "successes")  # [T, ...]


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
    bounds = [mark.start - episode.origin.start for mark in marks] + [len(episode)]
    return [
        LoggedFragment(_part(episode, mark, first, end), source, mark.row, mark.time)
        for mark, (first, end) in zip(marks, pairwise(bounds), strict=True)
    ]


def _mark(fragment: LoggedFragment) -> Mark:
    origin = fragment.episode.origin
    return Mark(origin.start, fragment.row, fragment.time, origin.policy_version)


def _part(episode: Episode, mark: Mark, first: int, end: int) -> Episode:
    """Steps [first, end) of an episode."""
    known: dict[str, Any] = {name: getattr(episode, name) for name in (*STATES, *STEPS)}
    cut: dict[str, Any] = {
        name: None if of is None else of[first : end + (name in STATES)]
        for name, of in known.items()
    }
    last = end == len(episode)
    return Episode(
        **cut,
        terminated=episode.terminated and last,
        truncated=episode.truncated and last,
        origin=replace(episode.origin, start=mark.start, policy_version=mark.policy_version),
    )


def _runs(fragments: Iterable[Episode]) -> list[list[Episode]]:
    """Fragments that follow each other, together."""
    runs: list[list[Episode]] = []
    for fragment in sorted(fragments, key=lambda f: (f.origin.stream, f.origin.start)):
        if runs and _follows(runs[-1][-1], fragment):
            runs[-1].append(fragment)
        else:
            runs.append([fragment])
    return runs


def _follows(earlier: Episode, later: Episode) -> bool:
    before, after = earlier.origin, later.origin
    ended = earlier.terminated or earlier.truncated
    meets = before.stream == after.stream and before.start + len(earlier) == after.start
    return meets and not ended


def _joined(run: list[Episode]) -> Episode:
    if len(run) == 1:
        return run[0]
    columns = {name: [getattr(part, name) for part in run] for name in (*STATES, *STEPS)}
    for name in STATES:  # a fragment's last row is the next one's first
        columns[name][:-1] = [None if of is None else of[:-1] for of in columns[name][:-1]]
    joined: dict[str, Any] = {
        name: None if any(of is None for of in parts) else np.concatenate(parts)
        for name, parts in columns.items()
    }
    return replace(run[0], **joined, terminated=run[-1].terminated, truncated=run[-1].truncated)
