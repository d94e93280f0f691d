"""Between which numbers prior data lies, however it is shared out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from awac_dist.messages import FIRST_STEPS, Extents
from awac_dist.types import Array, Episode


def extents_of(episode: Episode) -> Extents:
    """Those of an episode."""
    columns = (
        episode.observations,
        episode.observations[:1],
        episode.rewards[:, None],
        episode.rewards[:FIRST_STEPS, None],
    )
    return Extents(*(_range(column) for column in columns))


def covering(extents: Iterable[Extents]) -> Extents:
    """Those of everything that some extents are of."""
    found = [each for each in extents if each.observations]
    return Extents(*(_covering(ranges) for ranges in zip(*found, strict=True)))


def _range(column: Array) -> tuple[tuple[float, float], ...]:
    lows, highs = column.min(axis=0).tolist(), column.max(axis=0).tolist()
    return tuple(zip(lows, highs, strict=True))


def _covering(ranges: Sequence[tuple[tuple[float, float], ...]]) -> tuple[tuple[float, float], ...]:
    edges = (zip(*each, strict=True) for each in zip(*ranges, strict=True))
    return tuple((min(lows), max(highs)) for lows, highs in edges)
