"""`metrics.jsonl`, read: one row a line, and what is none is left out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from awac_dist.errors import InputError, reason
from awac_dist.files import read_file

METRICS_FILE = "metrics.jsonl"
COUNTERS = ("grad_steps", "env_steps")
Row = dict[str, Any]


class Table(NamedTuple):
    """The whole rows of a file, in order."""

    rows: list[Row]
    lines: list[bytes]  # that say them
    damaged: int  # lines that say none; one at the end that is still being written aside


def read_table(path: Path | str) -> Table:
    """Read the metrics of a run, whatever became of the file; InputError where there is none."""
    try:
        content = read_file(str(path))
    except OSError as error:
        told = f"cannot read {path}: {reason(error)}; give the folder of a run"
        raise InputError(told) from error
    lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    found = [(row, line) for line in lines if (row := _row(line)) is not None]
    return Table([row for row, _ in found], [line for _, line in found], len(lines) - len(found))


class Tail:
    """The rows of a file that grows, each once, also where a run that goes on writes it anew."""

    def __init__(self, path: Path) -> None:
        self._path, self._inode, self._read = path, -1, 0

    def new(self) -> Iterator[Row]:
        """Those that nobody took yet."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                self._inode, self._read = inode, 0
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    return
                self._read += len(line)
                if (row := _row(line)) is not None:
                    yield row


def _row(line: bytes) -> Row | None:
    """What a line says, if it is a row: a phase, two counters and other numbers."""
    try:
        row = json.loads(line)
        numbers = [value for name, value in row.items() if name != "phase" and value is not None]
        is_row = isinstance(row["phase"], str) and all(map(math.isfinite, numbers))
        return row if is_row and all(type(row[name]) is int for name in COUNTERS) else None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None
