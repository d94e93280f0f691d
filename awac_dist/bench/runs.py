"""Whole runs, each in a process of its own, and what their metrics say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from awac_dist.reporting.metrics import METRICS_FILE


def make_run(folder: Path, options: Mapping[str, object]) -> None:
    """Run `awac_dist.launch` to its end in a new folder.

    Args:
        folder: Of the run.
        options: Values by the option's dotted name; those of a tuple follow each other.

    Raises:
        RuntimeError: It failed; holds what it said.
    """
    command = [sys.executable, "-m", "awac_dist.launch", "--run-dir", str(folder)]
    for name, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        command += [f"--{name}", *map(str, values)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics."""
    lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
