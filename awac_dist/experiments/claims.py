"""The paper's claims in words, and what our results say of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from awac_dist.experiments.catalogue import experiment
from awac_dist.experiments.experiment import Budget
from awac_dist.experiments.judging import (
    DIP,
    ERRORS,
    SEEDS,
    Case,
    Law,
    against,
    below,
    dips,
    gains,
    reaches,
    verdict,
)
from awac_dist.experiments.results import read_results
from awac_dist.experiments.showing import its_rows
from awac_dist.experiments.statistics import SWITCH_STEPS

LONGEST_FIRST: tuple[Budget, ...] = ("paper", "medium", "small")
SAC_FAMILY = "sac; sac, cloned; sac_bc"
PAPERS = f"abm; awr; bear; brac; dapg; marwil; {SAC_FAMILY}; sac, no data"  # Figure 5's others
OF_THE_HAND = "abm; awr; brac; dapg; sac, cloned; sac_bc"


class Claim(NamedTuple):
    """What is claimed where, and how the results of an experiment judge it."""

    source: str
    says: str
    experiment: str
    law: Law


CLAIMS = (
    Claim("Abstract", "AWAC learns offline from demonstrations and poor attempts: its policy is "
          "better than the clone of them", "locomotion", gains("awac", "clone", "offline")),
    Claim("Abstract", "it goes on to improve online", "locomotion",
          gains("awac", "offline", "online")),
    Claim("Abstract", "without a dip at the switch", "locomotion", dips("awac", wanted=False)),
    Claim("Figure 2, 1", "DAPG, AWR and MARWIL are far slower than AWAC", "challenges",
          against("awac", "dapg; awr; marwil", 1)),
    Claim("Figure 2, 2", "SAC does not gain from prior data in its buffer", "challenges",
          against("sac", "sac, no data", 0, -1)),
    Claim("Figure 2, 2", "SAC that starts as a clone dips as it goes online", "challenges",
          dips("sac, from a clone", since="clone")),
    Claim("Figure 2, 3", "BEAR hardly improves online", "challenges",
          gains("bear", "offline", "online", wanted=False)),
    Claim("Figure 2, 3", "BEAR with a loose constraint dips", "challenges", dips("bear, loose")),
    Claim("Figure 2, 4", "the log-likelihood of the behaviour model on online data falls",
          "behaviour", below("brac", "behaviour/log_prob_online", "behaviour/log_prob_prior",
                             "gives collected actions a log-likelihood of {}, prior ones {}")),
    Claim("Figure 3", "AWAC solves pen in 120,000 steps", "dexterous",
          reaches("awac", 0.8, 120_000, "awac_dist/PenBinary-v0")),
    Claim("Figure 3", "AWAC solves door in 300,000 steps (here from a policy's demonstrations)",
          "dexterous", reaches("awac", 0.8, 300_000, "awac_dist/DoorBinary-v0")),
    Claim("Figure 3", "AWAC solves door in 300,000 steps (from human demonstrations)", "hand",
          reaches("awac", 0.8, 300_000, "awac_dist/DoorBinary-v0 human")),
    Claim("Figure 3", "AWAC solves relocate in 5 million steps (here from a policy's "
          "demonstrations)", "hand",
          reaches("awac", 0.5, 5_000_000, "awac_dist/RelocateBinary-v0")),
    Claim("Figure 3", "AWAC is ahead of all others on the hand (here from a policy's "
          "demonstrations)", "dexterous", against("awac", OF_THE_HAND, 1, after=120_000)),
    Claim("Figure 4", "AWAC learns to push fastest", "pushing",
          against("awac", "abm; brac; sac; sac_bc", 1, least=0.3)),
    Claim("Figure 5", "AWAC is best or level with the best in all locomotion", "locomotion",
          against("awac", PAPERS, 1, 0)),
    Claim("Figure 5", "the SAC family dips at the switch", "locomotion", dips(SAC_FAMILY)),
    Claim("Figure 7", "AWAC is ahead of CQL and AlgaeDICE online", "extra-baselines",
          against("awac", "cql; algae_dice", 1)),
    Claim("Figure 8", "AWAC after fine-tuning is ahead of BEAR or level, whatever the data",
          "data-quality", against("awac", "bear", 1, 0)),
    Claim("Table 1", "AWAC without Z(s) is ahead of AWAC with it", "normaliser",
          against("awac", "awac, Z(s)", 1)),
    Claim("Table 3", "the clone of more data, its own attempts, is better than that of "
          "demonstrations alone", "prior-data", gains("bc", "clone", "offline")),
    Claim("later papers", "what came after AWAC is ahead of it on its own task", "successors",
          against("awac", "iql; cal_ql; rlpd; wsrl; sope; ibrl", -1)),
)  # fmt: skip


HEAD = f"""# The paper's claims, and what was seen here

Each claim of [the paper](https://arxiv.org/abs/2006.09359) in our words, judged by results of
[experiments](../experiments.md) that anybody can repeat: of the budget in which most of it was run
with {SEEDS} seeds or more, of two alike the longer.

| where | claim | verdict | what was seen |
| --- | --- | --- | --- |"""
FOOT = f"""
*ahead*, *behind*: by the exact test of Mann and Whitney, one-sided at 5 %, of how each seed ended,
draws and all; with three seeds of each all have to be above all others. *level*: neither, which
of so few seeds does not say that they are equal. A *dip* is a loss of {DIP:.0%} or more, on average
over the {SWITCH_STEPS:,} steps after the switch, and of more than {ERRORS} standard errors of the
evaluations (± are as many of the mean over the seeds); *better* is by more than that. Figures are
means over seeds.

*holds*: in all cases and seeds named. *in part*: in some of the cases, or most seeds of one. *does
not hold*: in no case in more than half of the seeds. *not contradicted*: all of it may hold, but
something in it cannot be told apart. *so far*: of what was run; what is missing is named. *open*:
what was run does not answer it.

Again: `awac-dist experiments redraw`.
"""


def page(folder: Path) -> str:
    """The Markdown page of all claims, from the csv of a folder."""
    return "\n".join([HEAD, *(row(claim, folder) for claim in CLAIMS), FOOT])


def row(claim: Claim, folder: Path) -> str:
    """A claim's line of the table."""
    budget, cases = judged(claim, folder)
    seen = "; ".join(sentences(cases))
    its_page = f"{experiment(claim.experiment).file(budget)}.md"
    where = f"[{claim.experiment}]({its_page})" if cases else f"`{claim.experiment}`"
    told = f"{where}, budget {budget}: {seen}" if cases else where
    return f"| {claim.source} | {claim.says} | **{verdict(cases)}** | {told} |"


def judged(claim: Claim, folder: Path) -> tuple[Budget, list[Case]]:
    """What the budget says in which most was compared, the longer of two; none where none has."""
    its = experiment(claim.experiment)
    rows = read_results(folder / f"{its.family}.csv")
    answers = {
        budget: list(claim.law(its, its_rows(its, rows, budget))) for budget in LONGEST_FIRST
    }
    known = {budget: sum(not case.is_missing for case in its) for budget, its in answers.items()}
    best = max(LONGEST_FIRST, key=known.__getitem__)
    cases = answers[best] if known[best] else []
    return best, sorted(cases, key=lambda case: case.is_missing)


def sentences(cases: Sequence[Case]) -> Iterator[str]:
    """Neighbours that say the same of others in one."""
    for (task, seen), its in groupby(cases, lambda case: (case.task, case.seen)):
        whom = ", ".join(case.whom for case in its if case.whom)
        yield f"{task}: {seen} {whom}".rstrip()
