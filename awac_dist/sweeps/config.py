"""What a sweep's file may say; reading it needs neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from awac_dist.cli.parser import walk
from awac_dist.cli.settings import read_yaml, replaced
from awac_dist.errors import InputError
from awac_dist.ranges import Checked, Count, Exponent, Positive


@dataclass(frozen=True)
class HalvingConfig(Checked):
    """Ends trials that are behind others (ASHA: Li et al., 2018).

    Attributes:
        first: The first look at a trial comes after so many; None lets all come to their end.
        factor: Only the best of so many go on at a look; each comes after so many times as long as
            the one before.
        by: What is counted: updates, or env steps of the online phase.
    """

    first: Count | None = None
    factor: Exponent = 4.0
    by: Literal["grad_steps", "env_steps"] = "grad_steps"


@dataclass(frozen=True)
class SweepConfig(Checked):
    """A sweep's file.

    Attributes:
        config: Files of options, or presets by name, of every trial.
        options: Options of every trial, over those.
        search: The options that are tried, each with the values that it may have.
        samples: How many points are drawn; only where something is drawn.
        seeds: Trials of each point, with seeds 0, 1, ...
        metric: What makes a trial the better, the higher it is.
        cpus: Cores that a trial takes; as many go on at once as find room.
        asha: Ends trials that are behind others.
    """

    config: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    samples: Count | None = None
    seeds: Count = 1
    metric: Literal["eval/return", "eval/success_final"] = "eval/return"
    cpus: Positive = 1.0
    asha: HalvingConfig = field(default_factory=HalvingConfig)


def read_sweep(file: str) -> SweepConfig:
    """What a sweep's file says; an InputError names what is wrong with it."""
    known = {its.path: its for its in walk(SweepConfig())}
    sweep, given = SweepConfig(), read_yaml(file, known, "FILE")
    for path, where, value in given:
        sweep = replaced(sweep, path, known[path].typed(value, where))
    for path, problem in sweep.problems():
        raise InputError(f"{file}: {path}: {problem}")
    for path, where, _ in given:
        if path.startswith("asha.") and sweep.asha.first is None and path != "asha.first":
            raise InputError(f"{where}: has no effect without asha.first")
    return sweep
