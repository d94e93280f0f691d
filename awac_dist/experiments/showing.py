"""The figure and the table of an experiment, from its csv alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awac_dist.experiments.experiment import Budget, Experiment, Variant
from awac_dist.experiments.results import Row, select
from awac_dist.experiments.statistics import (
    SWITCH_STEPS,
    by_seed,
    curve,
    ends,
    figures,
    improvement,
)
from awac_dist.plotting.bands import COLOURS, Interval, Numbers, draw_seeds, interquartile
from awac_dist.plotting.learning_curve import CLONE, TEXT, dress
from awac_dist.plotting.pictures import write_picture
from awac_dist.reporting.wording import counted, number

TOGETHER = 7  # variants that one panel can show; more have a panel each
ACROSS = 4  # panels in a row
LETTERS_AN_INCH = 11  # of the title
MEASURES = {"return": "Returns", "success": "Successes at the last step"}
COSTS = ("CPU s", "MB")  # told without an interval
SECONDS_AN_HOUR = 3_600
WIDTH = 95  # letters of a line
STATISTICS = (
    "Interquartile means over the seeds (of fewer than four: means), in brackets 95 % intervals\n"
    "by a bootstrap over seeds; of three seeds it ends at the least and the largest, which is too\n"
    "narrow. CPU s: processor time of all processes of a whole run, with its evaluations. MB: at\n"
    "the peak, all processes of the run."
)
RETURNS = (
    "{Measures} are those of {episodes} of the mean action at the end of a phase. dip: what was\n"
    f"before the switch to online less the mean within {SWITCH_STEPS:,} steps after it, below 0\n"
    "where it gained. regret: what the mean {measure} online lacks of the paper's expert."
)
PAIRS = "P(over {label}): share of pairs of seeds in which it ended above that one."


def table(experiment: Experiment, rows: Sequence[Row], budget: Budget) -> str:
    """The Markdown page of an experiment's results of a budget."""
    rows = its_rows(experiment, rows, budget)
    lines = [f"# {experiment.name}: {experiment.shows}", ""]
    if experiment.claim:
        lines += [f"The claim: {experiment.claim}.", ""]
    lines += [f"![{experiment.name}]({experiment.file(budget)}.png)", ""]
    for task in dict.fromkeys(row["task"] for row in rows):
        lines += [*table_of_task(experiment, select(rows, task=task), task, budget), ""]
    if experiment.reading:
        lines += [*wrap(experiment.reading, WIDTH), ""]
    if episodes := max((row["episodes"] for row in rows if row["episodes"]), default=0):
        its = {"measure": experiment.measure, "Measures": MEASURES[experiment.measure]}
        lines += [RETURNS.format(**its, episodes=counted(int(episodes), "episode"))]
    if experiment.reference:
        lines += [PAIRS.format(label=experiment.reference)]
    lines += [
        STATISTICS,
        "",
        _cost_of_all(rows),
        f"Made on: {_machines(rows)}.",
        "",
    ]
    lines += [f"Again: `awac-dist experiments run {experiment.name} --budget {budget}`, then"]
    lines += [f"`awac-dist experiments table {experiment.name} --budget {budget}`."]
    return "\n".join(lines) + "\n"


def _cost_of_all(rows: Sequence[Row]) -> str:
    each = [row["cpu_s"] for row in rows if row["cpu_s"]]
    hours = number(sum(each) / SECONDS_AN_HOUR)
    return f"In all: {counted(len(each), 'run')}, {hours} hours of one core."


def _machines(rows: Sequence[Row]) -> str:
    """Those that the runs were made on, each with all commits of the last of its packages."""
    found = defaultdict[str, list[str]](list)
    for machine in sorted({row["machine"] for row in rows if row["machine"]}):
        rest, _, commit = machine.rpartition(" ")
        found[rest].append(commit)
    return "; ".join(f"{rest} {', '.join(commits)}" for rest, commits in found.items())


def its_rows(experiment: Experiment, rows: Sequence[Row], budget: str) -> list[Row]:
    """Those of an experiment's own tasks and variants."""
    labels = {its.label for its in experiment.variants}
    return [
        row
        for row in select(rows, budget=budget)
        if row["task"] in experiment.tasks and row["variant"] in labels
    ]


def table_of_task(
    experiment: Experiment, rows: Sequence[Row], task: str, budget: str
) -> Iterator[str]:
    """The table of one task."""
    found = {its: select(rows, variant=its.label) for its in experiment.variants}
    cells = {its: summary(part, task, experiment) for its, part in found.items() if part}
    known = [name for each in cells.values() for name in each if np.isfinite(each[name].middle)]
    heads = [name for name in next(iter(cells.values()), ()) if name in known]
    measure, reference = experiment.measure, experiment.reference
    others = ends(select(rows, variant=reference), measure)
    yield f"{task}, budget {budget}:"
    yield ""
    over = [f"P(over {reference})"] if len(others) else []
    yield f"| variant | {' | '.join([*heads, *over])} | seeds | |"
    yield f"| --- |{' ---: |' * (len(heads) + len(over) + 1)} --- |"
    for its, each in cells.items():
        told = [_cell(each[name], bare=name in COSTS) for name in heads]
        if over:
            share = improvement(ends(found[its], measure), others)
            told += ["" if its.label == reference else f"{share:.2f}"]
        told += [str(len(by_seed(found[its]))), remark(its, budget)]
        yield f"| {its.label} | {' | '.join(told)} |"


def summary(rows: Sequence[Row], task: str, experiment: Experiment) -> dict[str, Interval]:
    """The figures of a variant over its seeds."""
    metrics, measure = experiment.metrics, experiment.measure
    each = [figures(its, task, metrics, measure) for its in by_seed(rows).values()]
    known = {name: [its[name] for its in each if np.isfinite(its[name])] for name in each[0]}
    return {name: interquartile(np.array(its or [np.nan])) for name, its in known.items()}


def remark(variant: Variant, budget: str) -> str:
    """What a reader has to know of a variant."""
    small = f"here `{variant.small}`" if variant.small and budget == "small" else ""
    return "; ".join(filter(None, (variant.note, small)))


def _cell(its: Interval, *, bare: bool) -> str:
    middle, low, high = map(float, its)
    if not np.isfinite(middle):
        return "-"
    around = [number(end, like=middle) for end in (low, high) if np.isfinite(end) and not bare]
    return number(middle) + (f" ({' to '.join(around)})" if around else "")


def figure(experiment: Experiment, rows: Sequence[Row], budget: str, path: Path) -> None:
    """Draw the curves of all variants, of a few in one panel, of many in a panel each."""
    rows = its_rows(experiment, rows, budget)
    variants = [its for its in experiment.variants if select(rows, variant=its.label)]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    shown = [(task, column) for task in tasks for column in experiment.panels]
    parts = panels_of(experiment, variants)
    apart = len(parts) > 1
    panels = [(task, column, name) for task, column in shown for name in parts]
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    size = (3.4 * across + 1, 2.6 * down + 0.6) if apart else (5.2 * across, 4.2 * down)
    drawing = Figure(figsize=size, dpi=110, layout="constrained")
    grid = list(
        drawing.subplots(down, across, squeeze=False, sharey=apart and len(shown) == 1).flat
    )
    for axes, (task, column, name) in zip(grid, panels, strict=False):
        its, part = select(rows, task=task), parts[name]
        axes.set_yscale("symlog" if column in experiment.wide else "linear")
        _draw(axes, {each.label: select(its, variant=each.label) for each in part}, column)
        for level, words in experiment.levels.get(column, {}).items():
            axes.axhline(level, color=TEXT, ls="--", lw=1, label=words)
        if len(part) > 1 or column in experiment.levels:
            axes.legend(frameon=False, fontsize=8)
        alone = apart and len(tasks) == 1
        title = name if alone else f"{name or experiment.panels[column]}, {task}"
        axes.set_title(title, loc="left", fontsize=10)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    by_itself = any(len(part) == 1 for part in parts.values()) and select(rows, phase="clone")
    what = ", ".join(experiment.panels.values()) + ("; dashed: the clone" if by_itself else "")
    what = what if apart else experiment.shows
    title = "\n".join(wrap(f"{experiment.name}: {what}", int(LETTERS_AN_INCH * size[0])))
    drawing.suptitle(title, color=TEXT, fontsize=12, parse_math=False)
    write_picture(drawing, path)


def panels_of(experiment: Experiment, variants: Sequence[Variant]) -> dict[str, Sequence[Variant]]:
    """Which variants share a panel: as the experiment says, else all if they are few enough."""
    if experiment.groups:
        parts = {
            name: [its for its in variants if its.label in labels]
            for name, labels in experiment.groups.items()
        }
        return {name: part for name, part in parts.items() if part}
    if len(variants) > TOGETHER:
        return {its.label: [its] for its in variants}
    return {"": variants}


def _draw(axes: Axes, variants: Mapping[str, Sequence[Row]], column: str) -> None:
    """Curves with bands over seeds; the switch to online is at 0, updates stand left of it."""
    phases = {row["phase"] for rows in variants.values() for row in rows}
    for (label, rows), colour in zip(variants.items(), COLOURS, strict=False):
        found = [curve(its, column, switch="online" in phases) for its in by_seed(rows).values()]
        seeds = [its for its in found if len(its[0])]
        draw_seeds(axes, seeds, colour, label if seeds else "")
        if column in MEASURES and len(clone := clones(rows, column)) and len(variants) == 1:
            axes.axhline(float(np.mean(clone)), color=CLONE, ls="--", lw=1)
    if {"offline", "online"} <= phases:
        axes.axvline(0, color=CLONE, lw=1, ls=":")
    axes.xaxis.set_major_formatter(lambda x, _: f"{abs(x) / 1000:g}k")
    words = {"offline": "updates offline", "online": "steps online"}
    axes.set_xlabel("  |  ".join(words[name] for name in words if name in phases), fontsize=8)
    dress(axes)


def clones(rows: Sequence[Row], measure: str) -> Numbers:
    """How good the clone of each seed is [n]."""
    its: list[Any] = [row[measure] for row in select(rows, phase="clone")]
    return np.array([value for value in its if value is not None], np.float64)
