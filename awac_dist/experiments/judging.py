"""Laws by which results say whether a claim in words holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from awac_dist.experiments.experiment import Experiment
from awac_dist.experiments.results import Row, select
from awac_dist.experiments.statistics import by_seed, ends, figures, standing
from awac_dist.plotting.bands import Numbers
from awac_dist.reporting.wording import number

SEEDS = 3  # of each that is compared; fewer say nothing
DIP = 0.1  # of what was before the switch: less is none
TOO_FEW = f"fewer than {SEEDS} seeds of"
WORDS = {1: "ahead of", 0: "level with", -1: "behind"}


class Case(NamedTuple):
    """One thing that was looked at, and in which share of the seeds it is as claimed."""

    holds: float | None  # None where that is open
    task: str
    seen: str
    whom: str = ""  # more cases with the same words go into one sentence

    @property
    def is_missing(self) -> bool:
        """Whether too little was run to look at it."""
        return self.seen == TOO_FEW


Law: TypeAlias = Callable[[Experiment, Sequence[Row]], Iterator[Case]]


def against(label: str, others: str, *wanted: int, column: str = "") -> Law:
    """It ended ahead of (1), level with (0) or behind (-1) each of the others."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        names = of_its(its, others)
        for task in its.tasks:
            mine, *theirs = (
                ends(select(rows, task=task, variant=name), column or its.measure)
                for name in (label, *names)
            )
            if len(mine) < SEEDS:
                yield Case(None, task, TOO_FEW, label)
                continue
            for name, found in zip(names, theirs, strict=True):
                if len(found) < SEEDS:
                    yield Case(None, task, TOO_FEW, name)
                else:
                    place = standing(mine, found)
                    seen = f"{label} {mean(mine)} is {WORDS[place]}"
                    yield Case(place in wanted, task, seen, f"{name} {mean(found)}")

    return cases


def gains(labels: str, begin: str, end: str, *, wanted: bool = True) -> Law:
    """Its seeds are better as one phase ends than as another does."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        for task, label, told in phases(its, rows, labels):
            known = told[np.isfinite(told[begin] + told[end])]
            before, after = known[begin], known[end]
            better, count = int(np.sum(after > before)), len(known)
            if len(told) < SEEDS:
                yield Case(None, task, TOO_FEW, label)
            elif count >= SEEDS:  # else it has no such phase
                seen = (
                    f"{label} {mean(before)} to {mean(after)}, better in {better} of {count} seeds"
                )
                yield Case(share(after > before, wanted), task, seen)

    return cases


def dips(labels: str, *, wanted: bool = True) -> Law:
    """Its seeds lose a tenth or more of what they were as they go online."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        for task, label, told in phases(its, rows, labels):
            known = told[np.isfinite(told["dip"])]
            dipped = (known["dip"] > 0) & (known["dip"] >= DIP * np.abs(known["offline"]))
            if len(told) < SEEDS:
                yield Case(None, task, TOO_FEW, label)
            elif len(known) >= SEEDS:  # else it has no such phase
                seen = f"{label} loses {mean(known['dip'])} of {mean(known['offline'])}"
                often = f"a tenth or more in {np.sum(dipped)} of {len(known)} seeds"
                yield Case(share(dipped, wanted), task, f"{seen}, {often}")

    return cases


def reaches(label: str, level: float, steps: int, task: str) -> Law:
    """All its seeds are so good at one task within so many steps online."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        seeds = by_seed(select(rows, task=task, variant=label, phase="online"))
        found = [best(part, its.measure, steps) for part in seeds.values()]
        if len(found) >= SEEDS:
            reached = np.array(found) >= level
            at = min(steps, *(max(row["env_steps"] for row in part) for part in seeds.values()))
            short = at < steps and not all(reached)
            seen = f"{label} {mean(np.array(found))} at its best within {at:,.0f} steps"
            yield Case(None if short else share(reached), task, seen)

    return cases


def best(rows: Sequence[Row], measure: str, steps: int) -> float:
    """The best evaluation within so many steps."""
    known = [row[measure] for row in rows if row["env_steps"] <= steps]
    return max((value for value in known if value is not None), default=-np.inf)


def of_its(its: Experiment, labels: str) -> list[str]:
    """Those of the labels that an experiment has."""
    known = {variant.label for variant in its.variants}
    return [label for label in labels.split("; ") if label in known]


def phases(
    its: Experiment, rows: Sequence[Row], labels: str
) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Per task and label what its table says of each seed, as a record array [seeds]."""
    for task in its.tasks:
        for label in of_its(its, labels):
            part = by_seed(select(rows, task=task, variant=label)).values()
            told = [figures(seed, task, measure=its.measure) for seed in part]
            names = [(name, np.float64) for name in ("clone", "offline", "online", "dip")]
            values = [tuple(each[name] for name, _ in names) for each in told]
            yield task, label, np.array(values, names)


def share(seeds: NDArray[np.bool_], wanted: bool = True) -> float:
    """Of the seeds [n] in which something is as claimed."""
    return float(np.mean(seeds == wanted))


def mean(values: Numbers) -> str:
    """As it is told."""
    return number(float(np.mean(values)))


def verdict(cases: Sequence[Case]) -> str:
    """What many cases say together."""
    known = [case.holds for case in cases if case.holds is not None]
    if not known:
        looked_at = any(not case.is_missing for case in cases)
        return "open: not run so long" if looked_at else "open: not run"
    so_far = " so far" if any(case.is_missing for case in cases) else ""
    if min(known) == 1:
        return f"holds{so_far}"
    return f"holds in part{so_far}" if max(known) > 0 else f"does not hold{so_far}"
