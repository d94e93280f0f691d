"""Pieces of episodes -> episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from awac_dist.types import Array, Episode


def join_pieces(pieces: Iterable[Episode]) -> list[Episode]:
    """Join pieces that follow each other in one episode, in order of their first piece.

    The joined episode keeps the origin of its first piece; it ended as its last piece did.
    """
    streams: dict[tuple[int, int, int], list[list[Episode]]] = {}
    runs: list[list[Episode]] = []
    for piece in sorted(pieces, key=lambda p: (p.origin.stream, p.origin.start)):
        known = streams.setdefault(piece.origin.stream, [])
        if known and _follows(known[-1][-1], piece):
            known[-1].append(piece)
        else:
            known.append([piece])
            runs.append(known[-1])
    return [_joined(run) for run in runs]


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
