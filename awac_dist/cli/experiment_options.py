"""The options of `awac-dist experiments ...`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from awac_dist.cli.parser import positional
from awac_dist.ranges import Checked, Count, Processes

Budget = Literal["small", "medium", "paper"]


@dataclass(frozen=True, kw_only=True)
class List(Checked):
    """Say which experiments there are, and what each shows."""


@dataclass(frozen=True, kw_only=True)
class OfExperiment(Checked):
    """A command about one experiment.

    Attributes:
        name: Of the experiment; `list` lists them.
        budget: How long its runs are.
        results: Folder of the csv, the picture and the table; None is docs/results of a checkout,
            else AWAC_DIST_RUNS/experiments/results.
    """

    name: str = positional()
    budget: Budget = "small"
    results: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run(OfExperiment):
    """Start the runs of an experiment, or go on with them.

    Those that are finished are skipped, also on another machine, where the results have them; those
    that failed before are named.

    Attributes:
        methods: These lines of the table alone, or all of a method that is none itself.
        task: Those of this task alone.
        seeds: How many of each; None is the experiment's own number.
        jobs: How many go on at once, one thread each; None is one a core, or on the cluster that
            RAY_ADDRESS names as many as it has room for.
        again: Those that failed before, too.
        policies: Folder with what demonstrates in tasks for which no data ships with the package;
            docs/experiments.md names it.
        out: Folder for the runs; None is AWAC_DIST_RUNS/experiments, or
            ~/.cache/awac_dist/experiments.
        words: In the place of the budget's, for a first look, such as
            --words="--offline.updates 200"; results stay with the runs then.
    """

    methods: tuple[str, ...] = ()
    task: str | None = None
    seeds: Count | None = None
    jobs: Processes | None = None
    again: bool = False
    policies: str | None = None
    out: str | None = None
    words: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plot(OfExperiment):
    """Draw the figure of an experiment from its csv."""


@dataclass(frozen=True, kw_only=True)
class Table(OfExperiment):
    """Write the table of an experiment from its csv."""


@dataclass(frozen=True, kw_only=True)
class Pages(Checked):
    """Write docs/methods/, a page for each method.

    They are made from code, presets, docs/metrics.md and docs/results/methods.csv.

    Attributes:
        out: Folder for the pages; None is docs/methods.
    """

    out: str | None = None


@dataclass(frozen=True, kw_only=True)
class Redraw(Checked):
    """Make all that a folder of results can say: figures, tables, and claims.md.

    The last has what the paper claims, and what our results say of it.

    Attributes:
        results: Folder of the csv and of what is made; None is docs/results of a checkout, else
            AWAC_DIST_RUNS/experiments/results.
    """

    results: str | None = None
