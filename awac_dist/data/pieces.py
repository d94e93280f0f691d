"""Pieces of episodes <-> episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from awac_dist.types import Array, Episode


class LoggedPiece(NamedTuple):
    """A piece as a log keeps it."""

    episode: Episode
    source: str
    row: int  # where the shard that accepted it kept it, -1 for nowhere
    time: int  # ns since 1970 at which it was accepted; within one log it only grows


class Mark(NamedTuple):
    """What a joined episode's first step of a piece cannot tell of that piece."""

    start: int  # step of the episode
    row: int
    time: int
    policy_version: int


def join_pieces(pieces: Iterable[Episode]) -> list[Episode]:
    """Join pieces that follow each other in one episode, in order of their first piece.

    The joined episode keeps the origin of its first piece; it ended as its last piece did.
    """
    return [_joined(run) for run in _runs(pieces)]


def join_logged(pieces: Iterable[LoggedPiece]) -> list[tuple[str, Episode, list[Mark]]]:
    """Join pieces of each source; yields (source, episode, its pieces), for `split`."""
    by_source: dict[str, dict[Episode, LoggedPiece]] = {}
    for piece in pieces:
        by_source.setdefault(piece.source, {})[piece.episode] = piece
    return [
        (source, _joined(run), [_mark(known[piece]) for piece in run])
        for source, known in by_source.items()
        for run in _runs(known)
    ]


def split(source: str, episode: Episode, marks: Sequence[Mark]) -> list[LoggedPiece]:
    """The pieces of an episode as they were before `join_logged`."""
    origin = episode.origin
    bounds = [mark.start - origin.start for mark in marks] + [len(episode)]
    pieces = []
    for mark, first, end in zip(marks, bounds[:-1], bounds[1:], strict=True):
        last = end == len(episode)
        piece = Episode(
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
        pieces.append(LoggedPiece(piece, source, mark.row, mark.time))
    return pieces


def _mark(piece: LoggedPiece) -> Mark:
    origin = piece.episode.origin
    return Mark(origin.start, piece.row, piece.time, origin.policy_version)


def _part(column: Array | None, first: int, end: int) -> Array | None:
    return None if column is None else column[first:end]


def _runs(pieces: Iterable[Episode]) -> list[list[Episode]]:
    """Pieces that follow each other, together."""
    streams: dict[tuple[int, int, int], list[list[Episode]]] = {}
    runs: list[list[Episode]] = []
    for piece in sorted(pieces, key=lambda p: (p.origin.stream, p.origin.start)):
        known = streams.setdefault(piece.origin.stream, [])
        if known and _follows(known[-1][-1], piece):
            known[-1].append(piece)
        else:
            known.append([piece])
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
        observations=_states([piece.observations for piece in run]),
        actions=np.vstack([piece.actions for piece in run]),
        rewards=np.concatenate([piece.rewards for piece in run]),
        terminated=run[-1].terminated,
        truncated=run[-1].truncated,
        desired_goals=_where_all([piece.desired_goals for piece in run], _states),
        achieved_goals=_where_all([piece.achieved_goals for piece in run], _states),
        successes=_where_all([piece.successes for piece in run], np.concatenate),
    )


def _states(columns: Sequence[Array]) -> Array:
    """Columns [T+1, ...] as one: a piece's last row is the next one's first."""
    return np.vstack([*(column[:-1] for column in columns), columns[-1][-1:]])


def _where_all(
    columns: Sequence[Array | None], join: Callable[[Sequence[Array]], Array]
) -> Array | None:
    """The columns joined, None where a piece lacks it."""
    known = [column for column in columns if column is not None]
    return join(known) if len(known) == len(columns) else None
