"""Claims: what their laws say of results by hand, and that each of them can be judged."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from awac_dist.cli.main import main
from awac_dist.experiments import claims
from awac_dist.experiments.catalogue import experiment
from awac_dist.experiments.claims import CLAIMS, Claim
from awac_dist.experiments.experiment import Experiment, Variant
from awac_dist.experiments.judging import (
    TOO_FEW,
    Case,
    Law,
    against,
    below,
    dips,
    gains,
    lately,
    reaches,
    verdict,
)
from awac_dist.experiments.results import COLUMNS, KEY, Row
from awac_dist.experiments.statistics import improvement, standing

TASK = "Pendulum-v1"
ITS = Experiment("its", "", [Variant(name, "awac") for name in "abcdenrz"], {}, tasks={TASK: ""})


def test_of_three_seeds_all_have_to_be_above_three_others() -> None:
    low, high = np.array([1.0, 2, 3]), np.array([4.0, 5, 6])
    assert (standing(high, low), standing(low, high)) == (1, -1)
    assert standing(np.array([3.5, 5, 6]), np.array([1.0, 2, 4])) == 0
    assert standing(high[:2], low) == 0  # one order of ten
    assert standing(low, low) == 0


def test_draws_count_as_half() -> None:
    """Of the 56 orders of these 3 have as high a sum of ranks; scipy's p of them is 0.036."""
    its, others = np.array([1, 1, 2 / 3]), np.array([2 / 3, 0, 1 / 3, 0, 2 / 3])
    pool = np.concatenate([its, others])
    orders = [np.array(some) for some in combinations(range(8), 3)]
    sums = [improvement(pool[some], np.delete(pool, some)) for some in orders]
    at_least = np.mean(np.array(sums) >= improvement(its, others) - 1e-9)
    assert at_least > 0.05
    assert standing(its, others) == 0


def rows(variant: str, *seeds: Sequence[float], measure: str = "return") -> list[Row]:
    """Per seed its clone, its offline policy, and evaluations each 1,000 steps online.

    The standard error of each is 1.
    """
    blank: Row = dict.fromkeys(COLUMNS) | {"return_std": 40**0.5, "episodes": 40.0}
    found = []
    for seed, values in enumerate(seeds):
        for place, value in enumerate(values):
            phase, steps = ("clone", "offline", "online")[min(place, 2)], max(0, place - 1) * 1000
            its = dict(zip(KEY, ("small", TASK, variant, str(seed)), strict=True))
            where = {"phase": phase, "env_steps": float(steps), "grad_steps": float(place)}
            found.append(blank | its | where | {measure: value})
    return found


A = rows("a", [10, 20, 19, 30], [12, 25, 25, 32], [11, 18, 18, 31])
B = rows("b", [10, 20, 10, 15], [12, 25, 9, 33], [11, 18, 12, 5])
C = rows("c", [1, 9, 1, 2], [1, 9, 8, 3])
N = rows("n", *[[10, 20, 17, 18.6]] * 3)  # a dip of 2.2 and its error of 1.2
R = rows("r", *[[10, 4, 1, 1]] * 3)
Z = rows("z", *[[0, 0, 0.5, 0.5]] * 3)
E = [row for row in rows("e", *[[1, 9, 1, 2]] * 3) if row["phase"] != "offline"]


OFTEN = "loses a tenth or more in"


@pytest.mark.parametrize(
    ("law", "told"),
    [
        (against("a", "b; c", 1),
         [Case(False, TASK, "a 31.0 is level with", "b 17.7"), Case(None, TASK, TOO_FEW, "c")]),
        (against("a", "b", 1, 0), [Case(True, TASK, "a 31.0 is level with", "b 17.7", weak=True)]),
        (against("a", "b", 0, after=2000),
         [Case(True, TASK, "a 31.0 is level with", "b 17.7", weak=True)]),
        (against("a", "b", 0, after=2001),
         [Case(None, TASK, "a 31.0 after 2,000 steps is level with", "b 17.7")]),
        (against("a", "b", 0, least=31.1),
         [Case(None, TASK, "a 31.0 has learned no more than", "b 17.7")]),
        (against("b", "a", -1, least=30.9),
         [Case(False, TASK, "b 17.7 is level with", "a 31.0")]),
        (gains("a; c", "offline", "online"),
         [Case(True, TASK, "a 21.0 to 31.0, better in 3 of 3 seeds"),
          Case(None, TASK, TOO_FEW, "c")]),
        (gains("b", "offline", "online"),
         [Case(1 / 3, TASK, "b 21.0 to 17.7, better in 1 of 3 seeds")]),
        (gains("n", "clone", "online"),
         [Case(1, TASK, "n 10.0 to 18.6, better in 3 of 3 seeds")]),
        (gains("z", "offline", "online"),  # by half of an error
         [Case(0, TASK, "z 0 to 0.50, better in 0 of 3 seeds")]),
        (gains("b", "offline", "online", wanted=False),
         [Case(2 / 3, TASK, "b 21.0 to 17.7, better in 1 of 3 seeds")]),
        (dips("a; b"),
         [Case(0, TASK, f"a gains 4.83 (± 1.41) of 21.0, {OFTEN} 0 of 3 seeds, ends at 31.0"),
          Case(1, TASK, f"b loses 7.00 (± 1.41) of 21.0, {OFTEN} 3 of 3 seeds, ends at 17.7")]),
        (dips("a", wanted=False),
         [Case(1, TASK, f"a gains 4.83 (± 1.41) of 21.0, {OFTEN} 0 of 3 seeds, ends at 31.0")]),
        (dips("n"),
         [Case(0, TASK, f"n loses 2.20 (± 1.41) of 20.0, {OFTEN} 0 of 3 seeds, ends at 18.6")]),
        (dips("n", wanted=False),
         [Case(1, TASK, f"n loses 2.20 (± 1.41) of 20.0, {OFTEN} 0 of 3 seeds, ends at 18.6",
               weak=True)]),
        (dips("r"), [Case(None, TASK, "r 4.00 before it, of its clone's 10.0: not much to lose")]),
        (dips("z"),
         [Case(0, TASK, f"z gains 0.50 (± 1.41) of 0, {OFTEN} 0 of 3 seeds, ends at 0.50")]),
        (dips("c; d"), [Case(None, TASK, TOO_FEW, "c"), Case(None, TASK, TOO_FEW, "d")]),
        (dips("e"), []),  # never was offline
        (dips("r", since="clone"),
         [Case(1, TASK, f"r loses 9.00 (± 1.41) of 10.0, {OFTEN} 3 of 3 seeds, ends at 1.00")]),
        (gains("c", "clone", "online"), [Case(None, TASK, TOO_FEW, "c")]),
        (against("c", "a; b", 1), [Case(None, TASK, TOO_FEW, "c")]),
        (reaches("a", 30, 2000, TASK),
         [Case(True, TASK, "a 31.0 over the last 40 episodes within 2,000 steps")]),
        (reaches("a", 30, 1000, TASK),
         [Case(False, TASK, "a 20.7 over the last 40 episodes within 1,000 steps")]),
        (reaches("a", 40, 9000, TASK),
         [Case(None, TASK, "a 31.0 over the last 40 episodes within 2,000 steps")]),
        (reaches("a", 11, 9000, TASK), [Case(None, TASK, "a's clone is at 11.0 as it begins")]),
        (reaches("a", 30, 9000, "Other-v0"), []),
    ],
)  # fmt: skip
def test_laws_by_hand(law: Law, told: list[Case]) -> None:
    assert list(law(ITS, A + B + C + E + N + R + Z)) == told


def test_a_metric_is_compared_too() -> None:
    low = rows("a", [0, 1, 2], [0, 1, 3], [0, 1, 4], measure="loss")
    high = rows("b", [0, 1, 5], [0, 1, 6], [0, 1, 7], measure="loss")
    (case,) = against("b", "a", 1, column="loss")(ITS, low + high)
    assert case == Case(True, TASK, "b 6.00 is ahead of", "a 3.00")


def test_a_level_is_that_of_the_last_evaluations_and_of_enough_episodes() -> None:
    values = [0.2, 0.9, 0.5, 0.6, 0.4, 0.7]
    part = [row | {"episodes": 20.0} for row in rows("a", [0, 0, *values], measure="success")]
    assert lately(part, "success", 9_000) == pytest.approx(0.55)  # of 0.4 and 0.7
    assert lately(part, "success", 3_000) == pytest.approx(0.7)  # of 0.9 and 0.5
    assert lately(part, "success", 1_000) == -np.inf  # 20 episodes alone
    few = [row | {"episodes": 15.0} for row in part]
    assert lately(few, "success", 9_000) == pytest.approx(1.7 / 3)
    assert lately([row | {"episodes": 90.0} for row in part], "success", 9_000) == 0.7


def test_one_column_below_another() -> None:
    def measured(*seeds: tuple[float, float]) -> list[Row]:
        low = [[0, 0, its] for its, _ in seeds]
        high = [[0, 0, its] for _, its in seeds]
        both = zip(rows("a", *low, measure="x"), rows("a", *high, measure="y"), strict=True)
        return [row | {"y": other["y"]} for row, other in both]

    law = below("a", "x", "y", "has {} of {}")
    (case,) = law(ITS, measured((1, 2), (3, 2), (1, 4)))
    assert case == Case(2 / 3, TASK, "a has 1.67 of 2.67, below it in 2 of 3 seeds")
    assert list(law(ITS, measured((1, 2), (3, 2)))) == [Case(None, TASK, TOO_FEW, "a")]


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ([], "open: not run"),
        ([None], "open"),
        ([True, None], "holds"),
        ([True, False], "holds in part"),
        ([2 / 3], "holds in part"),
        ([1 / 2], "does not hold"),
        ([1 / 3, 0], "does not hold"),
        ([False, None], "does not hold"),
    ],
)
def test_a_verdict_is_that_of_all_cases(holds: list[float | None], said: str) -> None:
    cases = [Case(each, TASK, "") for each in holds]
    assert verdict(cases) == said
    lacking = [*cases, Case(None, TASK, TOO_FEW, "d")]
    assert verdict(lacking) == (said if said.startswith("open") else f"{said} so far")


def test_what_cannot_be_told_apart_is_not_contradicted() -> None:
    weak, strong = Case(True, TASK, "", weak=True), Case(True, TASK, "")
    assert verdict([weak, strong]) == "not contradicted"
    assert verdict([weak, Case(False, TASK, "")]) == "holds in part"
    assert verdict([weak, Case(None, TASK, TOO_FEW)]) == "not contradicted so far"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.says[:40])
def test_every_claim_is_about_what_its_experiment_runs(claim: Claim) -> None:
    """With results of all that it runs each law has a case for each name that it is given."""
    its = experiment(claim.experiment)
    found: list[Row] = []
    for task in its.tasks:
        for number, variant in enumerate(its.variants):
            part = rows(variant.label, *np.arange(12.0).reshape(3, 4) + number)
            wide = {name: row["return"] for row in part for name in (its.measure, *its.metrics)}
            found += [row | wide | {its.measure: row["return"], "task": task} for row in part]
    cases = list(claim.law(its, found))
    named = [name for cell in claim.law.__closure__ or () for name in labels(cell.cell_contents)]
    assert {name for case in cases for name in told(case)} == {*named} & {
        variant.label for variant in its.variants
    }
    assert cases
    assert named


def labels(value: object) -> list[str]:
    return value.split("; ") if isinstance(value, str) else []


def told(case: Case) -> list[str]:
    mine = re.split(
        r"'s clone | (?:loses |gains |gives |-?[\d.,]+ (?:is|to|at|before|after|over) )", case.seen
    )[0]
    return [mine, *([case.whom.rsplit(" ", 1)[0]] if case.whom else [])]


def test_the_budget_counts_in_which_most_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claim("Figure 9", "a is first", "its", against("a", "b; e", 1))
    monkeypatch.setattr(claims, "experiment", lambda name: ITS)
    monkeypatch.setattr(claims, "read_results", lambda path: A + B + E + longer)
    longer = [row | {"budget": "medium"} for row in A + B]
    assert claims.judged(claim, tmp_path)[0] == "small"
    longer += [row | {"budget": "medium"} for row in E]
    assert claims.judged(claim, tmp_path)[0] == "medium"


def test_the_page_says_what_the_longest_budget_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claim("Figure 9", "a learns", "its", gains("a", "clone", "online"))
    monkeypatch.setattr(
        claims, "CLAIMS", (claim, claim._replace(law=gains("c", "clone", "online")))
    )
    monkeypatch.setattr(claims, "experiment", lambda name: ITS)
    longer = [row | {"budget": "medium"} for row in rows("a", [5, 5, 4], [5, 5, 4], [5, 5, 4])]
    with (tmp_path / "its.csv").open("w") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(A + longer)
    assert main(["experiments", "redraw", "--results", str(tmp_path)]) == 0
    text = (tmp_path / "claims.md").read_text()
    assert (
        "| Figure 9 | a learns | **does not hold** | [its](its-medium.md), budget medium: "
        "Pendulum-v1: a 5.00 to 4.00, better in 0 of 3 seeds |\n"
    ) in text
    assert "| Figure 9 | a learns | **open: not run** | `its` |\n" in text
