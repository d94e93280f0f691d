"""The results of an experiment: one small csv, from the records of its runs."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from awac_dist.errors import writable
from awac_dist.experiments.experiment import Experiment, Run
from awac_dist.experiments.running import COST, beside
from awac_dist.files import write_file
from awac_dist.reporting.rows import METRICS_FILE, read_table

KEY = ("budget", "task", "variant", "seed")  # of a run
COLUMNS = (
    *("budget", "task", "variant", "method", "seed", "phase"),
    *("env_steps", "grad_steps", "wall_s", "return", "return_std", "success", "episodes"),
    *("cpu_s", "memory_mb", "machine"),  # of the run, in its last row
)
METRIC_ROWS = 40  # of a phase, each the mean over its stretch of updates
Row = dict[str, Any]


def rows_of_run(run: Run, folder: Path) -> list[Row]:
    """What the results keep of a finished run: its evaluations, and the metrics that are wanted."""
    rows = read_table(folder / METRICS_FILE).rows
    evaluations = {(row["phase"], row["grad_steps"]): row for row in rows if "eval/return" in row}
    found = [_evaluation(row) for row in evaluations.values()]
    found += _metrics(rows, run.experiment.metrics)
    found.sort(key=lambda row: (row["grad_steps"], row["wall_s"]))
    its = dict(zip(KEY, run.key, strict=True)) | {"method": run.variant.method}
    if found:
        found[-1] |= _cost(folder) | {"machine": _machine(folder)}
    return [its | row for row in found]


def _evaluation(row: Row) -> Row:
    count, half = int(row["eval/episodes"]), row["eval/return_half_width"]
    known = half is not None and count > 1
    std = half * math.sqrt(count) / stdtrit(count - 1, 0.975) if known else None
    return _place(row) | {
        "return": _short(row["eval/return"]),
        "return_std": _short(std),
        "success": _short(row.get("eval/success_final")),
        "episodes": count,
    }


def _metrics(rows: Sequence[Row], names: Sequence[str]) -> Iterator[Row]:
    """Means of metrics over equal stretches of each phase, placed at the end of each stretch."""
    updates = [row for row in rows if any(row.get(name) is not None for name in names)]
    for phase in dict.fromkeys(row["phase"] for row in updates):
        its = [row for row in updates if row["phase"] == phase]
        for stretch in np.array_split(np.arange(len(its)), min(METRIC_ROWS, len(its))):
            part = [its[number] for number in stretch]
            known = {
                name: [row[name] for row in part if row.get(name) is not None] for name in names
            }
            means = {name: _short(np.mean(values)) for name, values in known.items() if values}
            yield _place(part[-1]) | means


def _place(row: Row) -> Row:
    counters = {name: row[name] for name in ("phase", "env_steps", "grad_steps")}
    return counters | {"wall_s": round(row["elapsed_s"], 1)}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _cost(folder: Path) -> Row:
    cost = beside(folder, COST)
    its = json.loads(cost.read_text()) if cost.exists() else {"cpu_s": 0, "peak_bytes": 0}
    return {
        "cpu_s": round(its["cpu_s"]) or None,
        "memory_mb": round(its["peak_bytes"] / 1e6) or None,
    }


def _machine(folder: Path) -> str:
    """Of its last session: cores of which processor, versions, commit."""
    last = max(folder.glob("provenance*.json"), key=lambda path: (len(path.name), path.name))
    facts = json.loads(last.read_text())
    commit = (facts["git"] or {}).get("commit", "")[:7] or facts["versions"]["awac_dist"]
    cores = cores_of(facts["cpus"], facts.get("cpu", ""))
    return f"{cores}, torch {facts['versions']['torch']}, awac_dist {commit}"


def cores_of(count: int, cpu: str) -> str:
    """Such as "2 cores of AMD EPYC"; of what they are, runs of earlier versions did not say."""
    return f"{count} cores of {cpu}" if cpu else f"{count} cores"


def read_results(path: Path) -> list[Row]:
    """Rows of a csv; numbers as such, None where a cell is empty; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            {name: _value(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)
        ]


def select(rows: Iterable[Row], **wanted: str) -> list[Row]:
    """Rows of which some columns have these values."""
    assert wanted.keys() <= {*KEY, "phase", "method"}
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _value(name: str, cell: str) -> Any:
    if name in ("budget", "task", "variant", "method", "seed", "phase", "machine"):
        return cell
    return float(cell) if cell else None


def store(path: Path, rows: Iterable[Row], experiment: Experiment) -> None:
    """Put rows of runs into a csv, in the place of what it has of these runs.

    An InputError says that it cannot be written. Others who do so meanwhile wait.
    """
    new = list(rows)
    keys = {tuple(row[name] for name in KEY) for row in new}
    with writable(str(path)), _locked(path.parent):
        kept = [row for row in read_results(path) if tuple(row[name] for name in KEY) not in keys]
        write_file(str(path), _written([*kept, *new], experiment).encode())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _written(rows: Iterable[Row], experiment: Experiment) -> str:
    order = [its.label for its in experiment.variants]

    def place(row: Row) -> tuple[Any, ...]:
        known = order.index(row["variant"]) if row["variant"] in order else len(order)
        return row["budget"], row["task"], known, row["variant"], int(row["seed"])

    text = io.StringIO()
    names = [*COLUMNS, *experiment.metrics]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=place):
        writer.writerow({name: _cell(row.get(name)) for name in names})
    return text.getvalue()


def _cell(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
