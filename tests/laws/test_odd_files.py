"""Whatever file a person hands over: no hang, no flood, nothing executed, and no traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EVERY = Path(__file__).with_name("odd_files.py")
SOME = ["a pipe (", "trillion rows", "password", "a pickle that acts", "asks for memory"]
SOME += ["a billion units", "aliases", "NULs in the table", "an empty config", "paints"]


def faults(*names: str) -> tuple[list[str], int]:
    """What is wrong with files whose names hold one of these, and how often one was tried."""
    done = subprocess.run(
        [sys.executable, EVERY, *names], capture_output=True, text=True, check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [f"{row['fault']}: {row}" for row in rows if row["fault"]], len(rows)


def test_some_odd_files_are_told_in_one_line() -> None:
    found, tried = faults(*SOME)
    assert found == []
    assert tried >= 3 * len(SOME)


@pytest.mark.slow
def test_all_odd_files_are_told_in_one_line() -> None:
    found, tried = faults()
    assert found == []
    assert tried > 350
