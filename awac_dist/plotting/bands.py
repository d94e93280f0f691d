"""Curves of several seeds: their interquartile mean, its interval, and how both are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
# where [n], rising, and what was found there [n]
Curve: TypeAlias = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]
RESAMPLES = 2_000
PLACES = 200  # where curves of more points are taken together: a panel shows no more
COLOURS = (
    *("#1f6fb4", "#cf5a16", "#2f8f4e", "#8a4fb0", "#b8860b"),
    *("#c2306b", "#0f8f9c", "#7a5a3a", "#5a6bd8", "#7f7f7f"),
)


class Interval(NamedTuple):
    """An interquartile mean over seeds, and its 95 % interval; NaN where one seed gives none."""

    middle: Numbers
    low: Numbers
    high: Numbers


class Band(NamedTuple):
    """What several curves say together; columns [n]."""

    at: Numbers
    over: Interval


def interquartile(*strata: Numbers) -> Interval:
    """IQM of seeds [n, ...], and a bootstrap that draws seeds anew within each task's stratum.

    Agarwal et al., 2021 (https://arxiv.org/abs/2108.13264). Of fewer than four numbers in all it is
    their mean.
    """
    from scipy.stats import bootstrap, trim_mean  # 0.6 s, which a run's own picture need not wait

    def middle(*resampled: Numbers, axis: int = 0) -> Numbers:
        return np.asarray(trim_mean(np.concatenate(resampled, axis), 0.25, axis))

    its = middle(*strata)
    if min(map(len, strata)) < 2:
        return Interval(its, *np.full((2, *its.shape), np.nan))
    found = bootstrap(
        strata, middle, n_resamples=RESAMPLES, axis=0, vectorized=True, method="percentile", rng=0
    )
    return Interval(its, *found.confidence_interval)


def over_seeds(curves: Sequence[Curve]) -> Band:
    """Curves together, where all of them are, each on the lines between its points."""
    places = _common([at for at, _ in curves])
    if not len(places):
        return Band(places, Interval(places, places, places))
    return Band(places, interquartile(np.stack([np.interp(places, *its) for its in curves])))


def _common(stretches: Sequence[NDArray[np.floating[Any]]]) -> Numbers:
    """The places of some curves at which all of them are; of one without any there are none."""
    if not stretches or not all(map(len, stretches)):
        return np.empty(0)
    begin, end = max(at[0] for at in stretches), min(at[-1] for at in stretches)
    places = np.unique(np.concatenate(stretches))
    places = places[(places >= begin) & (places <= end)]
    return places if len(places) <= PLACES else np.linspace(begin, end, PLACES)


def draw_seeds(
    axes: Axes, curves: Sequence[Curve], colour: str, label: str = "", style: str = "-"
) -> Band:
    """Draw the mean over seeds thick, its interval as a band, each of several seeds thin."""
    at, over = together = over_seeds(curves)
    axes.fill_between(at, over.low, over.high, color=colour, alpha=0.18, linewidth=0)
    drawn = [its for its in curves if len(its[0])]
    for where, found in drawn if len(curves) > 1 else ():
        axes.plot(where, found, "." * (len(where) == 1) or "-", color=colour, lw=0.7, alpha=0.45)
    style = "D" if len(at) == 1 else style  # a line of one point is none
    axes.plot(at, over.middle, style, color=colour, linewidth=2.0, markersize=5, label=label)
    return together
