"""Figures as rows: a table for a terminal, JSON for whoever compares machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import awac_dist
from awac_dist.bench.hardware import Hardware
from awac_dist.reporting.wording import counted


@dataclass(frozen=True)
class Row:
    """One figure, and what it is compared with."""

    name: str
    value: float  # a median where there were rounds
    unit: str  # of the value and the peer's
    peer: str = ""  # what it is compared with; empty if nothing
    peer_value: float | None = None  # of the same rounds; None where it is not installed
    ratio: float | None = None  # median of the rounds' ratios; None takes that of the medians
    at_least: float | None = None  # of the ratio (without a peer: of the value) that is wanted
    at_most: float | None = None  # the same, where less is better
    note: str = ""  # what a reader has to know to believe it

    def __post_init__(self) -> None:
        if self.ratio is None and self.peer_value:
            object.__setattr__(self, "ratio", self.value / self.peer_value)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target or without its peer."""
        measured = self.ratio if self.peer else self.value
        if measured is None or (self.at_least is None and self.at_most is None):
            return None
        above = self.at_least is None or measured >= self.at_least
        return above and (self.at_most is None or measured <= self.at_most)

    def cells(self) -> tuple[str, ...]:
        """In words, for a table; figures with as many digits as they deserve."""
        beside = "" if self.peer_value is None else f"{self.peer}: {digits(self.peer_value)}"
        if self.peer and self.peer_value is None:
            beside = f"{self.peer}: not installed"
        target = "" if self.at_most is None else f"<= {self.at_most:g}"
        return (
            self.name,
            f"{digits(self.value)} {self.unit}".strip(),
            beside,
            "" if self.ratio is None else f"{self.ratio:.2f}",
            target if self.at_least is None else f">= {self.at_least:g}",
            {True: "yes", False: "no", None: ""}[self.reached],
            self.note,
        )


def of_workers(
    number: int, rate: float, alone: float, task: str = "", note: str = "", **more: Any
) -> Row:
    """The steps a second of some workers, beside so many times those of one worker."""
    name = task + counted(number, "worker")
    if number == 1:
        return Row(name, rate, "steps/s", note=note)
    peer = f"{number} x one worker"
    return Row(name, rate, "steps/s", peer, number * alone, note=note, **more)


def digits(value: float) -> str:
    """Three significant digits, and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("what")
    for column in ("figure", "peer's", "ratio", "target", "reached"):
        table.add_column(column, justify="right")
    table.add_column("note")
    for row in rows:
        table.add_row(*row.cells())
    console = Console()
    if not console.is_terminal:
        console.width = 200  # in a file, a line is a row
    console.print(table)


def write_json(
    path: str, machine: Hardware, repeats: int, sections: Mapping[str, Sequence[Row]]
) -> None:
    """Write what was measured, and on what."""
    content = {
        "awac_dist": awac_dist.__version__,
        "hardware": asdict(machine),
        "repeats": repeats,
        "sections": {
            name: [asdict(row) | {"reached": row.reached} for row in rows]
            for name, rows in sections.items()
        },
    }
    Path(path).write_text(json.dumps(content, indent=2) + "\n")
