"""Figures as rows: a table for a terminal, JSON for whoever compares machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import awac_dist
from awac_dist.bench.hardware import Hardware


@dataclass(frozen=True)
class Row:
    """One figure, and what it is compared with.

    Attributes:
        name: What was measured.
        value: The figure, a median where there were rounds.
        unit: Of the value and the peer's.
        peer: What it is compared with; empty if nothing.
        peer_value: The peer's figure in the same rounds, None where it is not installed.
        ratio: Median over the rounds of value / peer_value; None takes that of the medians.
        at_least: The ratio (without a peer: the value) that is wanted.
        at_most: The same, where less is better.
        note: What a reader has to know to believe it.
    """

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

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

    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows; figures with as many digits as they deserve."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("what")
    for column in ("figure", "peer's", "ratio", "target", "reached"):
        table.add_column(column, justify="right")
    table.add_column("note")
    for row in rows:
        table.add_row(
            row.name,
            f"{digits(row.value)} {row.unit}".strip(),
            _peer(row),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.target(),
            {True: "yes", False: "no", None: ""}[row.reached],
            row.note,
        )
    console = Console()
    if not console.is_terminal:
        console.width = 200  # in a file, a line is a row
    console.print(table)


def _peer(row: Row) -> str:
    if row.peer and row.peer_value is None:
        return f"{row.peer}: not installed"
    return "" if row.peer_value is None else f"{row.peer}: {digits(row.peer_value)}"


def digits(value: float) -> str:
    """Three significant digits, and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


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
