"""An experiment as data: what it shows, and the runs that it is made of."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from awac_dist.errors import InputError, did_you_mean

DOCS = Path(__file__).parents[2] / "docs"  # of a checkout
METRICS = DOCS / "metrics.md"
DATA = "{data}"  # in words: the folder of the prior data that experiments make for themselves
Budget: TypeAlias = Literal["small", "medium", "paper"]
ALONE = (  # a run is one process with one core, and repeats itself; as many go side by side as fit
    "--runtime inline --mode sync --workers 1 --learner.threads 1 --learner.compile true"
)
LOOK = "look"  # stands for the budget of runs with further words


@dataclass(frozen=True)
class Variant:
    """A line of the table: a method, and what it is told on top of its preset."""

    label: str
    method: str  # of the registry
    words: str = ""  # of the command line, which win over those of task and budget
    note: str = ""  # what a reader of the table has to know
    small: str = ""  # further words in the small budget, where it is dear; the table says so
    peer: bool = False  # of others' code, which puts its rows into the results itself
    preset: str = ""  # of configs/, where it is not that of the method


def cheaper(variants: Iterable[Variant], words: Mapping[str, str]) -> list[Variant]:
    """The variants, with these words of their methods in the small budget before their own."""
    return [
        replace(each, small=f"{words.get(each.method, '')} {each.small}".strip())
        for each in variants
    ]


@dataclass(frozen=True)
class Experiment:
    """What is compared on what, how long and how often."""

    name: str
    shows: str
    variants: Sequence[Variant]
    budgets: Mapping[Budget, str]  # words, and with them how long a run is
    claim: str = ""  # a paper's, where one has it
    reading: str = ""  # of its table: what lies behind differences
    tasks: Mapping[str, str] = field(default_factory=lambda: {"HalfCheetah-v5": ""})
    # id -> words, which win over the budget's; more behind the id tells apart what has the same
    seeds: int = 3
    panels: Mapping[str, str] = field(default_factory=lambda: {"return": "return of an episode"})
    # columns of the results that are drawn, in words; metrics of updates go by their names
    levels: Mapping[str, Mapping[float, str]] = field(default_factory=dict)  # lines in a panel
    wide: frozenset[str] = frozenset()  # panels whose values span orders of magnitude
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)  # labels that share a panel
    of: str = ""  # the experiment that has its runs and results, where that is another
    reference: str = ""  # the label that others are compared with

    @property
    def family(self) -> str:
        """The name under which its runs and results are kept."""
        return self.of or self.name

    @property
    def measure(self) -> str:
        """The column by which it says how good a policy is."""
        return next((name for name in self.panels if name in ("return", "success")), "return")

    def file(self, budget: Budget) -> str:
        """What its figure and its table of a budget are called."""
        return self.name if budget == "small" else f"{self.name}-{budget}"

    def data(self) -> set[str]:
        """Prior data that its words name, by their folders."""
        told = " ".join([*self.tasks.values(), *(its.words for its in self.variants)])
        return {*re.findall(rf"{DATA}/([\w-]+)", told)}

    @property
    def metrics(self) -> list[str]:
        """Metrics of updates that its results keep."""
        return [name for name in self.panels if "/" in name]

    def runs(
        self,
        budget: Budget,
        *,
        methods: Sequence[str] = (),
        task: str | None = None,
        seeds: int | None = None,
        words: str = "",
    ) -> Iterator[Run]:
        """The runs of so many seeds, one seed of all after the other.

        Args:
            budget: How long each is.
            methods: Lines of these labels alone, or of a method that is no label itself all of
                its lines; all where there is none.
            task: Of this task alone.
            seeds: Other than its own number.
            words: Instead of the budget's, to try things out.
        """
        labels = {its.label for its in self.variants}
        of_method = {*methods} - labels
        known = labels | {its.method for its in self.variants}
        for given, names in ((methods, known), ((task,) if task else (), self.tasks)):
            for name in given:
                if name not in names:
                    hint = did_you_mean(name, names, f"there are {', '.join(sorted(names))}")
                    raise InputError(f"experiment {self.name} has no {name}; {hint}")
        if budget not in self.budgets:
            raise InputError(f"experiment {self.name} has budgets {', '.join(self.budgets)} alone")
        for seed in range(self.seeds if seeds is None else seeds):
            for name in [task] if task else self.tasks:
                for variant in [its for its in self.variants if not its.peer]:
                    if not methods or variant.label in methods or variant.method in of_method:
                        yield Run(self, budget, name, variant, seed, words)


class Run(NamedTuple):
    """One run of an experiment."""

    experiment: Experiment
    budget: Budget
    task: str
    variant: Variant
    seed: int
    more: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the others, as the results say it."""
        return LOOK if self.more else self.budget, self.task, self.variant.label, str(self.seed)

    def __str__(self) -> str:
        return " ".join((self.experiment.name, *self.key))

    @property
    def words(self) -> list[str]:
        """What the launcher is told, but for the run's folder."""
        its, budget = self.variant, self.experiment.budgets[self.budget]
        dear = its.small if self.budget == "small" else ""
        told = (ALONE, budget, self.experiment.tasks[self.task], self.more, its.words, dear)
        where = ["--config", its.preset or its.method, "--env", self.task.split()[0]]
        return [*where, "--seed", str(self.seed), *shlex.split(" ".join(told))]

    def words_with(self, out: Path) -> list[str]:
        """What it is told where the data lies in a folder of the runs."""
        return [word.replace(DATA, str(out / "data")) for word in self.words]

    def folder(self, out: Path) -> Path:
        """Where it lies: its log is beside it."""
        budget, task, label, seed = (re.sub(r"[^\w.+-]+", "-", word) for word in self.key)
        return out / self.experiment.family / budget / task / label / f"seed-{seed}"


def runs_folder(given: str | None) -> Path:
    """Where runs lie: as given, or below AWAC_DIST_RUNS, or in the user's cache.

    An InputError refuses URIs.
    """
    ours = os.environ.get("AWAC_DIST_RUNS") or "~/.cache/awac_dist"
    folder = given or f"{ours}/experiments"
    if "://" in folder:
        raise InputError(
            f"{folder}: is no folder of this machine, and experiments need one: name it with "
            "--out, and one for --results"
        )
    return Path(folder).expanduser().resolve()


def results_folder() -> Path:
    """Where results lie: in a checkout's docs, else beside the runs."""
    return DOCS / "results" if METRICS.exists() else runs_folder(None) / "results"
