"""Whole runs, each in a process of its own, and what their metrics say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from awac_dist.reporting.rows import METRICS_FILE, read_table


def rows_of_run(options: Mapping[str, object]) -> list[dict[str, Any]]:
    """Run `awac_dist.launch` to its end; returns the rows of its metrics.

    Args:
        options: Values by the option's dotted name; those of a tuple follow each other.

    Raises:
        RuntimeError: It failed; holds what it said.
    """
    with TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "awac_dist.launch", "--run-dir", f"{folder}/run"]
        for name, value in options.items():
            values = value if isinstance(value, tuple) else (value,)
            command += [f"--{name}", *map(str, values)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return read_table(Path(folder, "run", METRICS_FILE)).rows
