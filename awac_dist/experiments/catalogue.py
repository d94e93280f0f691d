"""The experiments that there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from awac_dist.errors import InputError, did_you_mean
from awac_dist.experiments.comparison import methods
from awac_dist.experiments.experiment import Experiment
from awac_dist.experiments.paper import PAPER
from awac_dist.experiments.signatures import PARITY, SCRATCH, SIGNATURES

READY = {**SIGNATURES, **{its.name: its for its in (PARITY, SCRATCH)}}


def _ready(name: str) -> Experiment:
    return READY[name]


def _of_paper(name: str) -> Experiment:
    return PAPER[name](methods())


EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "methods": methods,
    **{name: partial(_of_paper, name) for name in PAPER},
    **{name: partial(_ready, name) for name in READY},
}


def experiment(name: str) -> Experiment:
    """The experiment of a name; an InputError names the nearest where there is none."""
    if name not in EXPERIMENTS:
        hint = did_you_mean(name, EXPERIMENTS, f"there are {', '.join(EXPERIMENTS)}")
        raise InputError(f"no experiment {name}; {hint}")
    return EXPERIMENTS[name]()
