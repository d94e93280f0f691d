"""Laws by which results say whether a claim in words holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from awac_dist.experiments.experiment import Experiment
from awac_dist.experiments.results import Row, select
from awac_dist.experiments.statistics import at_end, at_switch, by_seed, ends, standing
from awac_dist.plotting.bands import Numbers
from awac_dist.reporting.wording import number

SEEDS = 3  # of each that is compared; fewer say nothing
EPISODES = 40  # over which a success rate is told
DIP = 0.1  # of what was before the switch: less is none
ERRORS = 2  # of a dip's standard errors: less may be the evaluations'
RUIN = 0.5  # of its clone: what has lost more before the switch has little to lose there
TOO_FEW = f"fewer than {SEEDS} seeds of"
MOST = 0.5  # of the seeds: a claim that holds in half of them holds by chance
PHASES = ("clone", "offline", "online")
WORDS = {1: "ahead of", 0: "level with", -1: "behind"}


class Case(NamedTuple):
    """One thing that was looked at, and in which share of the seeds it is as claimed."""

    holds: float | None  # None where that is open
    task: str
    seen: str
    whom: str = ""  # more cases with the same words go into one sentence
    weak: bool = False  # whether it holds because nothing can be told apart

    @property
    def is_missing(self) -> bool:
        """Whether too little was run to look at it."""
        return self.seen == TOO_FEW


Law: TypeAlias = Callable[[Experiment, Sequence[Row]], Iterator[Case]]


def against(
    label: str, others: str, *wanted: int, column: str = "", after: int = 0, least: float = -np.inf
) -> Law:
    """It ended ahead of (1), level with (0) or behind (-1) each of the others.

    Open before so many steps, and where both ended below what says that something was learned.
    """

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
            at = max(row["env_steps"] for row in select(rows, task=task, variant=label))
            for name, found in zip(names, theirs, strict=True):
                if len(found) < SEEDS:
                    yield Case(None, task, TOO_FEW, name)
                else:
                    place = standing(mine, found)
                    is_early, idle = at < after, max(np.mean(mine), np.mean(found)) < least
                    when = f" after {at:,.0f} steps" if is_early else ""
                    word = "has learned no more than" if idle else f"is {WORDS[place]}"
                    holds = None if is_early or idle else place in wanted
                    seen, whom = f"{label} {mean(mine)}{when} {word}", f"{name} {mean(found)}"
                    yield Case(holds, task, seen, whom, weak=bool(holds) and place == 0)

    return cases


def gains(labels: str, begin: str, end: str, *, wanted: bool = True) -> Law:
    """Its seeds are better as one phase ends than as another does, beyond noise."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        for task, label, told in phases(its, rows, labels):
            known = told[np.isfinite(told[begin] + told[end])]
            before, after = known[begin], known[end]
            noise = ERRORS * np.hypot(known[f"{begin} error"], known[f"{end} error"])
            is_better, count = after > before + noise, len(known)
            if len(told) < SEEDS:
                yield Case(None, task, TOO_FEW, label)
            elif count >= SEEDS:  # else it has no such phase
                seen = (
                    f"{label} {mean(before)} to {mean(after)}, "
                    f"better in {np.sum(is_better)} of {count} seeds"
                )
                yield Case(share(is_better, wanted), task, seen)

    return cases


def dips(labels: str, *, since: str = "offline", wanted: bool = True) -> Law:
    """Its seeds lose a tenth or more of what they were as they go online, beyond noise.

    That is what they were as a phase ended. Open where it was half of its clone or less by then.
    """

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        for task, label, told in phases(its, rows, labels, since):
            known = told[np.isfinite(told["dip"])]
            if len(told) < SEEDS:
                yield Case(None, task, TOO_FEW, label)
            elif len(known) >= SEEDS:  # else it has no such phase
                yield _at_the_switch(task, label, known, since, wanted)

    return cases


def _at_the_switch(task: str, label: str, known: NDArray[Any], since: str, wanted: bool) -> Case:
    clone, before, lost = (float(np.mean(known[name])) for name in ("clone", since, "dip"))
    if before < clone - RUIN * abs(clone):
        seen = f"{label} {number(before)} before it, of its clone's {number(clone)}"
        return Case(None, task, f"{seen}: not much to lose")
    least = np.maximum(DIP * np.abs(known[since]), ERRORS * known["error"])
    dipped = (known["dip"] > 0) & (known["dip"] >= least)
    noise = ERRORS * float(np.linalg.norm(known["error"])) / len(known)
    word = "loses" if lost > 0 else "gains"
    seen = f"{label} {word} {number(abs(lost))} (± {number(noise)}) of {number(before)}"
    often = f"loses a tenth or more in {np.sum(dipped)} of {len(known)} seeds"
    end = f"ends at {mean(known['online'])}"
    weak = not wanted and lost + noise > DIP * abs(before)
    return Case(share(dipped, wanted), task, f"{seen}, {often}, {end}", weak=weak)


def reaches(label: str, level: float, steps: int, task: str) -> Law:
    """All its seeds are so good at one task within so many steps online, and not as they began."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        seeds = by_seed(select(rows, task=task, variant=label))
        clone = ends(select(rows, task=task, variant=label, phase="clone"), its.measure)
        found = np.array([lately(part, its.measure, steps) for part in seeds.values()])
        if len(found) < SEEDS:
            return
        if len(clone) and np.mean(clone) >= level:
            yield Case(None, task, f"{label}'s clone is at {mean(clone)} as it begins")
            return
        at = min(steps, *(max(row["env_steps"] for row in part) for part in seeds.values()))
        reached = found >= level
        seen = f"{label} {mean(found)} over the last {EPISODES} episodes within {at:,.0f} steps"
        yield Case(None if at < steps and not all(reached) else share(reached), task, seen)

    return cases


def below(label: str, column: str, other: str, words: str) -> Law:
    """In its seeds one column is below another as they end."""

    def cases(its: Experiment, rows: Sequence[Row]) -> Iterator[Case]:
        for task in its.tasks:
            mine = select(rows, task=task, variant=label)
            low, high = ends(mine, column), ends(mine, other)
            if len(low) < SEEDS or len(low) != len(high):
                yield Case(None, task, TOO_FEW, label)
            else:
                told = words.format(mean(low), mean(high))
                often = f"below it in {np.sum(low < high)} of {len(low)} seeds"
                yield Case(share(low < high), task, f"{label} {told}, {often}")

    return cases


def lately(rows: Sequence[Row], measure: str, steps: int) -> float:
    """The mean of its last evaluations online within so many steps, of 40 episodes or more in all.

    The best of many would tell of luck.
    """
    known = [
        (row[measure], row["episodes"])
        for row in rows
        if row["phase"] == "online" and row["env_steps"] <= steps and row[measure] is not None
    ]
    values, episodes = np.array(known[::-1] or np.empty((0, 2)), np.float64).T
    count = 1 + int(np.sum(np.cumsum(episodes) < EPISODES))
    if count > len(known):
        return -np.inf
    return float(np.average(values[:count], weights=episodes[:count]))


def of_its(its: Experiment, labels: str) -> list[str]:
    """Those of the labels that an experiment has."""
    known = {variant.label for variant in its.variants}
    return [label for label in labels.split("; ") if label in known]


def phases(
    its: Experiment, rows: Sequence[Row], labels: str, since: str = "offline"
) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Per task and label how each seed ended its phases, and its dip: a record array [seeds]."""
    for task in its.tasks:
        for label in of_its(its, labels):
            part = by_seed(select(rows, task=task, variant=label)).values()
            ended = [[at_end(seed, phase, its.measure) for phase in PHASES] for seed in part]
            dipped = [at_switch(seed, its.measure, since) for seed in part]
            told = [tuple(chain(*each, lost)) for each, lost in zip(ended, dipped, strict=True)]
            names = [name for phase in PHASES for name in (phase, f"{phase} error")]
            kinds = [(name, np.float64) for name in (*names, "dip", "error")]
            yield task, label, np.array(told, kinds)


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
        return "open" if looked_at else "open: not run"
    so_far = " so far" if any(case.is_missing for case in cases) else ""
    if min(known) == 1:
        weak = any(case.weak for case in cases)
        return f"not contradicted{so_far}" if weak else f"holds{so_far}"
    return f"holds in part{so_far}" if max(known) > MOST else f"does not hold{so_far}"
