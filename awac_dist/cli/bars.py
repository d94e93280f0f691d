"""Progress of a command on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn


@contextmanager
def progress(name: str, total: int, stream: TextIO) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere; yields a function that moves it on."""
    console = Console(file=stream, force_terminal=stream.isatty())
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not stream.isatty()) as bars:
        bar = bars.add_task(name, total=total)
        yield lambda count: bars.advance(bar, count)
