"""Mean and standard deviation of the observations of prior data, however it is shared out.

Every episode's sums, in float64, become integers of a fixed point, and integers add up to the same
in any order: so the statistics do not depend on the number of shards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from awac_dist.messages import Sums
from awac_dist.types import Array

FIXED_POINT_BITS = 300  # the square of the smallest float32 is seen
STILL = 1e-6  # of its mean, a spread that is float32's own rounding


def sums_of(observations: Array) -> Sums:
    """Sums over the observations [T, O] of an episode."""
    values = observations.astype(np.float64)  # squares of float32 are exact in it
    return Sums(len(values), _fixed(values.sum(axis=0)), _fixed((values**2).sum(axis=0)))


def added(sums: Iterable[Sums]) -> Sums:
    """The sums over everything that some sums are over."""
    found = [each for each in sums if each.observations]
    return Sums(
        sum(each.observations for each in found),
        _columns(each.sums for each in found),
        _columns(each.squares for each in found),
    )


def statistics(sums: Sums) -> tuple[Array, Array]:
    """Shift and scale [O]: an observation o is given to networks as (o - shift) / scale.

    The scale is the standard deviation, so that the unit of a dimension does not matter; 1 where
    the prior data does not move.
    """
    means, stds = moments(sums)
    still = stds <= np.maximum(STILL * np.abs(means), np.finfo(np.float32).tiny)
    return means.astype(np.float32), np.where(still, 1, stds).astype(np.float32)


def moments(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [O]."""
    unit = sums.observations << FIXED_POINT_BITS
    means = [Fraction(total, unit) for total in sums.sums]
    squares = [Fraction(total, unit) for total in sums.squares]
    variances = [float(square - mean**2) for square, mean in zip(squares, means, strict=True)]
    return np.array(means, np.float64), np.sqrt(np.maximum(variances, 0.0))


def _fixed(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(math.ldexp(value, FIXED_POINT_BITS)) for value in values.tolist())


def _columns(rows: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))
