"""A run on the screen: a live panel on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import Protocol, Self, TextIO

from rich.box import ROUNDED
from rich.console import (
    Console,
    ConsoleDimensions,
    ConsoleOptions,
    RenderableType,
    RenderResult,
)
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from awac_dist.evaluation.result import Evaluation
from awac_dist.reporting.status import Status
from awac_dist.reporting.wording import duration, mean_and_half_width, number, success

PANEL_WIDTH = 90  # wider lines are tiring to read, however wide the terminal is


class Display(Protocol):
    """Where a run shows what it does."""

    def show(self, status: Status) -> None:
        """Show where the run stands; cheap enough to be called at every turn of a loop."""
        ...

    def note(self, line: str) -> None:
        """Print a line that stays: a phase that ended, an evaluation, a warning."""
        ...

    def close(self) -> None:
        """Leave the screen tidy; a second call does nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_display(stream: TextIO, title: str) -> Display:
    """Choose the display that suits the stream: live on a terminal, else plain lines."""
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveDisplay(stream, title)
    return PlainDisplay(stream, title)


class PlainDisplay(Display):
    """One line now and then, for pipes and logs.

    Args:
        stream: Where the lines go.
        title: The first line.
        interval_s: Least time between two lines of one phase.
    """

    def __init__(self, stream: TextIO, title: str, interval_s: float = 10.0) -> None:
        self._stream, self._interval_s = stream, interval_s
        self._phase, self._next_s = "", 0.0
        self.note(title)

    def show(self, status: Status) -> None:
        if status.phase == self._phase and status.elapsed_s < self._next_s:
            return
        self._phase, self._next_s = status.phase, status.elapsed_s + self._interval_s
        self.note(plain_line(status))

    def note(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


def plain_line(status: Status) -> str:
    """Put a status into one line."""
    parts = [f"[{duration(status.elapsed_s)}] {status.phase} {_progress(status)}", _speed(status)]
    if status.evaluation is not None:
        parts.append(_evaluation(status.evaluation))
        if solved := success(status.evaluation):
            parts.append(f"success {solved}")
    if status.extras:
        parts.append(_extras(status))
    if status.remaining_s is not None:
        parts.append(f"{duration(status.remaining_s)} left")
    return " | ".join(parts)


class LiveDisplay(Display):
    """A panel at the foot of the terminal that keeps itself up to date.

    Args:
        stream: The terminal.
        title: Stands on the panel's frame.
    """

    def __init__(self, stream: TextIO, title: str) -> None:
        self._console = Console(file=stream, force_terminal=True, highlight=False)
        self._fit()
        self._panel = StatusPanel(title)
        self._live = Live(
            self._panel,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, status: Status) -> None:
        self._fit()
        self._panel.update(status)

    def note(self, line: str) -> None:
        self._console.print(Text(line))

    def close(self) -> None:
        self._live.stop()

    def _fit(self) -> None:
        """Take the size of our own terminal: rich asks descriptors 0 to 2, which Screen diverts."""
        with suppress(OSError):
            width, height = os.get_terminal_size(self._console.file.fileno())
            self._console.size = ConsoleDimensions(width or 80, height or 25)


class StatusPanel:
    """Draws the newest status each time that rich asks for it, with clocks that run on."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: tuple[Status, float] | None = None

    def update(self, status: Status) -> None:
        """Take the newest status."""
        self._shown = status, time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Panel(
            self._body(),
            title=Text(self._title, "bold"),
            title_align="left",
            box=ROUNDED,
            border_style="dim",
            width=min(options.max_width, PANEL_WIDTH),
        )

    def _body(self) -> RenderableType:
        if self._shown is None:
            return Text("starting", "dim")
        status, shown_at = self._shown
        late_s = time.monotonic() - shown_at
        remaining_s = status.remaining_s
        if remaining_s is not None:
            remaining_s = max(remaining_s - late_s, 0.0)
        return _table(replace(status, elapsed_s=status.elapsed_s + late_s, remaining_s=remaining_s))


def _table(status: Status) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(ratio=1)
    bar = ProgressBar(total=1.0, completed=status.share, complete_style="cyan")
    table.add_row(Text(status.phase, "bold not dim"), bar)
    table.add_row("done", _progress(status))
    table.add_row("speed", _speed(status))
    if status.evaluation is not None:
        if solved := success(status.evaluation):
            table.add_row("success", solved)
        table.add_row("return", _evaluation(status.evaluation))
    if status.extras:
        table.add_row("also", _extras(status))
    table.add_row("time", _time(status))
    return table


def _progress(status: Status) -> str:
    unit = status.unit.replace("_", " ")
    return f"{status.done:,} of {status.total:,} {unit} ({100 * status.share:.0f} %)"


def _speed(status: Status) -> str:
    return f"{number(status.env_steps_per_s)} env_steps/s, {number(status.updates_per_s)} updates/s"


def _evaluation(evaluation: Evaluation) -> str:
    episodes = len(evaluation.returns)
    plural = "" if episodes == 1 else "s"
    return f"{evaluation.label} {mean_and_half_width(evaluation)} ({episodes} episode{plural})"


def _extras(status: Status) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in status.extras.items())


def _time(status: Status) -> str:
    left = "" if status.remaining_s is None else f", {duration(status.remaining_s)} left"
    return f"{duration(status.elapsed_s)} elapsed{left}"
