"""`awac-dist compare`: runs beside each other, as one table, as a picture, as a page."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from awac_dist.cli.commands import Compare
from awac_dist.cli.compared import read_runs
from awac_dist.cli.page import page
from awac_dist.errors import InputError, writable
from awac_dist.files import write_file
from awac_dist.plotting.bands import interquartile
from awac_dist.plotting.comparison import draw_picture, panels_of
from awac_dist.reporting.groups import Group, Run, groups_of
from awac_dist.reporting.rows import Row
from awac_dist.reporting.screen import say, width_of
from awac_dist.reporting.wording import aligned, duration, interval, number, percent

REACHED = {  # what the table says of a run: of which phase's last evaluation, by which name
    "clone": ("clone", "eval/return"),
    "offline": ("offline", "eval/return"),
    "online": ("online", "eval/return"),
    "solved": ("", "eval/success_final"),
    "steps": ("", "env_steps"),
    "updates": ("", "grad_steps"),
    "time": ("", "elapsed_s"),
}
WRITTEN: Mapping[str, Callable[[float], str]] = {
    "solved": percent,
    "steps": "{:,.0f}".format,
    "updates": "{:,.0f}".format,
    "time": duration,
}
LEAST_OF_A_NAME = 20  # letters on a line, however narrow the terminal is
GOES_ON: Mapping[str, Any] = {"subsequent_indent": "  ", "break_on_hyphens": False}
INTERVAL = "95 % interval"  # of the column before it
PARTIAL = "in brackets: how many of the runs a value is of, where not all have one"


def run(options: Compare) -> None:
    """Say the table; draw what was asked for."""
    runs, notes = read_runs(options.runs)
    groups = groups_of(runs)
    if any(
        _is_partial(its, group.runs) for group in groups for its in _values(group.runs).values()
    ):
        notes.insert(0, PARTIAL)
    panels = panels_of(_rows_by_name(groups), options.metrics)
    known = {panel.measure.name for panel in panels}
    if missing := [name for name in options.metrics if name not in known]:
        raise InputError(f"--metrics: no run has {missing[0]}; docs/metrics.md lists them")
    say("\n".join(_told(groups, notes, width_of(sys.stdout))))
    if options.plot:
        with writable(f"--plot {options.plot}"):
            draw_picture(panels, options.plot)
        say(f"picture: {options.plot}")
    if options.html:
        text = page(groups, panels, _reached(groups), _each_run(groups), notes)
        with writable(f"--html {options.html}"):
            write_file(options.html, text.encode())
        say(f"page: {options.html}")


def _rows_by_name(groups: Sequence[Group]) -> dict[str, dict[str, dict[str, Sequence[Row]]]]:
    """As pictures are told of runs: task -> group -> run -> rows."""
    found: dict[str, dict[str, dict[str, Sequence[Row]]]] = {}
    for group in groups:
        found.setdefault(group.task, {})[group.label] = {its.name: its.rows for its in group.runs}
    return found


def _told(groups: Sequence[Group], notes: Sequence[str], width: int) -> Iterator[str]:
    for task, ((_, *heads), *lines) in _reached(groups).items():
        yield from aligned(list(_fitting([(task, *heads), *lines], width)))
        yield ""
    yield "returns of the mean action at the end of each phase, interquartile means over runs"
    yield from notes


def _fitting(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[tuple[str, ...]]:
    """Rows whose names go on below them, where the table would be wider than the terminal."""
    others = sum(2 + max(map(len, column)) for column in list(zip(*rows, strict=True))[1:])
    for name, *cells in rows:
        parts = textwrap.wrap(name, max(width - others, LEAST_OF_A_NAME), **GOES_ON)
        first, *rest = parts or [name]
        yield first, *cells
        yield from ((part, *[""] * len(cells)) for part in rest)


def _reached(groups: Sequence[Group]) -> dict[str, list[tuple[str, ...]]]:
    """The table of each task."""
    tasks = dict.fromkeys(group.task for group in groups)
    return {task: table([group for group in groups if group.task == task]) for task in tasks}


def _each_run(groups: Sequence[Group]) -> list[list[str]]:
    """Heads, and a line for each run."""
    lines = [["run", "group", *REACHED]]
    for group in groups:
        for run in group.runs:
            its = {name: _last(run.rows, *where) for name, where in REACHED.items()}
            cells = ["-" if value is None else _cell(name, value) for name, value in its.items()]
            lines.append([run.name, group.label, *cells])
    return lines


def table(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """Heads, and a line for each group, without columns in which nothing is known."""
    values = [_values(group.runs) for group in groups]
    names = [name for name in REACHED if any(len(its[name]) for its in values)]
    last = "online" if "online" in names else "offline"
    known = last if any(len(its[last]) > 1 for its in values) else ""  # one seed has no interval
    rows = [("group", "runs", *_with_interval(names, known, lambda name: name, INTERVAL))]
    for group, its in zip(groups, values, strict=True):
        over = {name: interquartile(column) for name, column in its.items() if len(column)}
        middle, *ends = map(float, over.get(last, [np.nan] * 3))
        around = interval(*ends, like=middle)
        cells = dict.fromkeys(names, "-")
        for name, found in over.items():
            count = f" ({len(its[name])})" if _is_partial(its[name], group.runs) else ""
            cells[name] = _cell(name, float(found.middle)) + count
        told = _with_interval(names, known, cells.__getitem__, around)
        rows.append((group.label, str(len(group.runs)), *told))
    return rows


def _with_interval(
    names: Sequence[str], last: str, cell: Callable[[str], str], around: str
) -> Iterator[str]:
    for name in names:
        yield cell(name)
        if name == last:
            yield around


def _values(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """What each of the runs has reached, by column; shorter where some have not."""
    found = {name: [_last(run.rows, *where) for run in runs] for name, where in REACHED.items()}
    return {
        name: np.array([value for value in column if value is not None], np.float64)
        for name, column in found.items()
    }


def _last(rows: Sequence[Row], phase: str, name: str) -> float | None:
    of_phase = (row.get(name) for row in reversed(rows) if row["phase"].startswith(phase))
    return next((value for value in of_phase if value is not None), None)


def _is_partial(values: np.ndarray, runs: Sequence[Run]) -> bool:
    """Whether some of the runs, and not all, have a value."""
    return 0 < len(values) < len(runs)


def _cell(name: str, value: float) -> str:
    return WRITTEN.get(name, number)(value)
