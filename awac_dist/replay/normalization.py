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

FIXED_POINT_BITS = 100
SMALLEST_STD = 1e-3


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

    The scale is the standard deviation and a little, as in CORL, so that a dimension in which the
    prior data hardly moves does not explode.
    """
    unit = sums.observations << FIXED_POINT_BITS
    means = [Fraction(total, unit) for total in sums.sums]
    squares = [Fraction(total, unit) for total in sums.squares]
    variances = [float(square - mean**2) for square, mean in zip(squares, means, strict=True)]
    scales = np.sqrt(np.maximum(variances, 0.0)) + SMALLEST_STD
    return np.array(means, np.float32), scales.astype(np.float32)


def _fixed(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(math.ldexp(value, FIXED_POINT_BITS)) for value in values.tolist())


def _columns(rows: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))
