"""The points of a sweep: each draw of what is drawn, with every cell of its grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from awac_dist.algorithms import METHODS
from awac_dist.cli.parser import REQUIRED, Field
from awac_dist.cli.settings import METHOD, known_options
from awac_dist.errors import InputError, did_you_mean
from awac_dist.sweeps.config import SweepConfig

GRID, CHOICE, UNIFORM, LOG = KINDS = ("grid", "choice", "uniform", "loguniform")
RANGES = (UNIFORM, LOG)
OURS = {"seed": "`seeds` says how many there are", "run_dir": "each trial has its own"}
NAMES: Any = Literal[tuple(METHODS)]
Point: TypeAlias = Mapping[str, Any]  # the value of each option that is tried


class Axis(NamedTuple):
    """An option that is tried."""

    path: str
    kind: str  # of KINDS
    values: tuple[Any, ...]  # to take from; of a range, its two ends

    def draw(self, rng: np.random.Generator) -> Any:
        """A value; of a range whole where its ends are, else of four digits."""
        if self.kind == CHOICE:
            return self.values[rng.integers(len(self.values))]
        low, high = self.values
        if self.kind == LOG:
            drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            drawn = rng.uniform(low, high)
        value = round(drawn) if isinstance(low, int) else float(f"{drawn:.4g}")
        return min(max(value, low), high)


def axes_of(file: str, sweep: SweepConfig) -> list[Axis]:
    """The options that a sweep tries, in its order.

    Raises:
        InputError: There is none, or no such option, or it cannot have such values.
    """
    known = {**known_options()[1], METHOD: Field(METHOD, NAMES, False, REQUIRED, "", False, METHOD)}
    names = {"algorithm": METHOD} | {field.at: path for path, field in known.items()}
    axes = [
        _axis(f"{file}: search.{path}", path, values, known)
        for path, values in _leaves(sweep.search, names, "")
    ]
    if not axes:
        raise InputError(f"{file}: search: is empty: say what is tried")
    draws = any(axis.kind != GRID for axis in axes)
    if draws and sweep.samples is None:
        raise InputError(f"{file}: samples: say how many points are drawn")
    if sweep.samples is not None and not draws:
        raise InputError(f"{file}: samples: nothing is drawn: leave it out")
    return axes


def points_of(sweep: SweepConfig, axes: Sequence[Axis]) -> list[Point]:
    """All points; with more samples those that there were come first, as they were."""
    grid = [axis for axis in axes if axis.kind == GRID]
    cells = list(product(*(axis.values for axis in grid)))
    points = list[Point]()
    for number in range(sweep.samples or 1):
        rng = np.random.default_rng(number)
        drawn = {axis.path: axis.draw(rng) for axis in axes if axis.kind != GRID}
        for cell in cells:
            values = drawn | {axis.path: value for axis, value in zip(grid, cell, strict=True)}
            points.append({axis.path: values[axis.path] for axis in axes})
    return points


def _leaves(
    content: Mapping[str, Any], names: Mapping[str, str], above: str
) -> Iterator[tuple[str, Any]]:
    """Options and what is said of each, whether they are nested or have dots."""
    for key, value in content.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and not value.keys() & {*KINDS} and path not in names.values():
            yield from _leaves(value, names, f"{path}.")
        else:
            yield names.get(path, path), value


def _axis(where: str, path: str, said: Any, known: Mapping[str, Field]) -> Axis:
    if path in OURS:
        raise InputError(f"{where}: cannot be tried: {OURS[path]}")
    if path not in known:
        raise InputError(f"{where}: no option {path}; {did_you_mean(path, known)}")
    kind, values = next(iter(said.items())) if isinstance(said, dict) and said else ("", said)
    if kind not in KINDS or len(said) > 1:
        hint = did_you_mean(str(kind), KINDS, f"give one of {', '.join(KINDS)}")
        raise InputError(f"{where}: {said!r} does not say how to try values; {hint}")
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: {kind}: {values!r} is not a list of values")
    typed = tuple(known[path].typed(value, where) for value in values)
    if kind in RANGES:
        _check_range(f"{where}: {kind}", kind, typed)
    return Axis(path, kind, typed)


def _check_range(where: str, kind: str, ends: Sequence[Any]) -> None:
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise InputError(f"{where}: this option is no number: give grid or choice")
    if len(ends) != 2 or not ends[0] < ends[1] or (kind == LOG and ends[0] <= 0):
        above = " above 0" if kind == LOG else ""
        raise InputError(f"{where}: {[*ends]} is not [LOWEST, HIGHEST]{above}")
