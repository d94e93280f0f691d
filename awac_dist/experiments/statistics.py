"""What the field asks of results: interquartile means, bootstrap intervals, dips, regret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from awac_dist.cli.paper_table import RETURN, paper_row
from awac_dist.experiments.results import Row
from awac_dist.plotting.bands import Numbers

SWITCH_STEPS = 5_000  # online, in which a dip is looked for
CHANCE = 0.05 + 1e-9  # three seeds above three others are one order of 20
ORDERS = 10_000  # that are tried at most
PHASES = ("offline", "online")


def by_seed(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each seed of one variant."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["seed"], []).append(row)
    return found


def curve(rows: Sequence[Row], column: str, *, switch: bool) -> tuple[Numbers, Numbers]:
    """Where a run was and what a column says there.

    With a switch to online updates before it are below 0, whether or not the run went on. Without
    one they count from where the clone ended, which is none of it: its policy is another one.
    """
    known = [row for row in rows if row.get(column) is not None and row["phase"] != "clone"]
    before = "offline" if switch else "clone"
    zero = max((row["grad_steps"] for row in rows if row["phase"] == before), default=0.0)
    at = [
        row["grad_steps"] - zero if row["phase"] == "offline" else row["env_steps"] for row in known
    ]
    return np.array(at), np.array([row[column] for row in known], np.float64)


def ends(rows: Sequence[Row], measure: str) -> Numbers:
    """How good the policy of each seed was in the end [n]."""
    known = [
        [row[measure] for row in its if row[measure] is not None] for its in by_seed(rows).values()
    ]
    return np.array([its[-1] for its in known if its], np.float64)


def improvement(its: Numbers, others: Numbers) -> float:
    """The probability that a seed of these ends above one of the others; a draw is half of it."""
    if not len(its) or not len(others):
        return np.nan
    above, equal = its[:, None] > others, its[:, None] == others
    return float(np.mean(above + 0.5 * equal))


def standing(its: Numbers, others: Numbers) -> int:
    """1 where these seeds ended above the others, -1 below, 0 where neither can be said.

    By the exact test of Mann and Whitney, one-sided, at 5 %: of three seeds and three others all of
    the ones have to be above all of the others. All orders of the seeds are tried, which is exact
    where some are equal, too; of so many that they are not counted, a sample that is the same each
    time.
    """
    from scipy.stats import permutation_test

    def above(some: Numbers, rest: Numbers) -> bool:
        test = permutation_test(
            (some, rest), improvement, alternative="greater", n_resamples=ORDERS, rng=0
        )
        return bool(test.pvalue < CHANCE)

    return int(above(its, others)) - int(above(others, its))


def at_end(rows: Sequence[Row], phase: str, measure: str) -> tuple[float, float]:
    """How good the policy of one run was as a phase ended, and the standard error of that."""
    row = _last(rows, phase, measure)
    return (row[measure], _variance(row, measure) ** 0.5) if row else (np.nan, np.nan)


def at_switch(rows: Sequence[Row], measure: str, since: str = "offline") -> tuple[float, float]:
    """What one run loses as it goes online, below 0 where it gains, and the standard error of that.

    It is what the policy was as the phase before ended, less its mean within 5,000 steps after the
    switch: the least of some short evaluations lies below that even where nothing has changed. The
    error is that of evaluations of few episodes.
    """
    before, error = at_end(rows, since, measure)
    after = [
        row
        for row in rows
        if row["phase"] == "online"
        and row["env_steps"] <= SWITCH_STEPS
        and row[measure] is not None
    ]
    if not after:
        return np.nan, np.nan
    variance = sum(_variance(row, measure) for row in after) / len(after) ** 2
    mean = np.mean([row[measure] for row in after])
    return float(before - mean), float(np.sqrt(variance + error**2))


def _last(rows: Sequence[Row], phase: str, column: str) -> Row:
    """The last row of a phase in which a column is known; empty where there is none."""
    known = [row for row in rows if row["phase"] == phase and row.get(column) is not None]
    return known[-1] if known else {}


def _variance(row: Row, measure: str) -> float:
    """Of the mean of an evaluation's episodes."""
    mean, std, episodes = (row[name] for name in (measure, "return_std", "episodes"))
    if episodes is None or (std is None and measure == "return"):
        return np.nan
    return float(std**2 if measure == "return" else mean * (1 - mean)) / episodes


def figures(
    rows: Sequence[Row], task: str, metrics: Iterable[str] = (), measure: str = "return"
) -> dict[str, float]:
    """What the table says of one run: returns and what they cost, and metrics as phases ended.

    dip     of `at_switch`
    regret  what the mean return online lacks of the paper's expert

    Where the measure is success, all of them are of that.
    """

    def last(phase: str, column: str = measure) -> float:
        return float(_last(rows, phase, column).get(column, np.nan))

    def cost(column: str) -> float:
        return next((row[column] for row in rows if row[column]), np.nan)

    paper = paper_row(task.split()[0])
    knows = paper is not None and (paper.measure == RETURN) == (measure == "return")
    evaluated = [row for row in rows if row[measure] is not None and row["phase"] == "online"]
    mean = np.mean([row[measure] for row in evaluated]) if evaluated else np.nan
    return {
        "clone": last("clone"),
        "offline": last("offline"),
        "online": last("online"),
        "dip": at_switch(rows, measure)[0],
        "regret": paper.expert - mean if paper and knows else np.nan,
        **{f"{name}, {phase}": last(phase, name) for name in metrics for phase in PHASES},
        "CPU s": cost("cpu_s"),
        "MB": cost("memory_mb"),
    }
