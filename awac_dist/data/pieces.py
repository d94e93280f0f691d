"""Pieces of episodes -> episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from awac_dist.types import Episode


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
    successes = [piece.successes for piece in run if piece.successes is not None]
    return replace(
        run[0],
        observations=np.vstack([*(p.observations[:-1] for p in run), run[-1].observations[-1:]]),
        actions=np.vstack([piece.actions for piece in run]),
        rewards=np.concatenate([piece.rewards for piece in run]),
        terminated=run[-1].terminated,
        truncated=run[-1].truncated,
        successes=np.concatenate(successes) if len(successes) == len(run) else None,
    )
