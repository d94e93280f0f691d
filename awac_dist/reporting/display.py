"""A run on the screen: a live panel on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TextIO, TypeAlias

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from awac_dist.evaluation.result import Evaluation
from awac_dist.reporting.screen import safe, say
from awac_dist.reporting.wording import counted, duration, mean_and_half_width, number, success

PANEL_WIDTH = 90  # wider lines are tiring to read, however wide the terminal is


@dataclass
class Status:
    """One look at a run."""

    phase: str = "start"  # what the run is at, such as "offline"
    done: int = 0  # of this phase
    total: int = 0  # where it ends
    unit: str = ""  # of both: "sources", "updates", "episodes" or "env_steps"
    evaluation: Evaluation | None = None  # the newest one
    extras: Mapping[str, float] = field(default_factory=dict)  # a few further metrics, by name
    env_steps_per_s: float = 0.0  # of late
    updates_per_s: float = 0.0  # of late
    elapsed_s: float = 0.0  # since the run began
    remaining_s: float | None = None  # until the whole run ends; None while nobody can tell

    @property
    def share(self) -> float:
        """The part of the phase that is done, from 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0


class PlainDisplay:
    """One line now and then, for pipes and logs; the title first.

    Between two lines of one phase pass at least `interval_s`. What an evaluation found is a note of
    its own, and not said again. All but how far it is goes to the log, too.
    """

    def __init__(
        self, stream: TextIO, title: str, log: TextIO | None = None, interval_s: float = 10.0
    ) -> None:
        self._stream, self._log, self._interval_s = stream, log or stream, interval_s
        self._phase, self._next_s = "", 0.0
        self.note(title)

    def show(self, status: Status) -> None:
        """Show where the run stands; cheap enough to be called at every turn of a loop."""
        if status.phase == self._phase and status.elapsed_s < self._next_s:
            return
        self._phase, self._next_s = status.phase, status.elapsed_s + self._interval_s
        facts = _facts(status)
        head = f"[{duration(status.elapsed_s)}] {status.phase} {facts['done']}"
        parts = head, facts["speed"], facts["also"], facts["left"]
        say(" | ".join(filter(None, parts)), self._stream)

    def note(self, line: str) -> None:
        """Print a line that stays: a phase that ended, an evaluation, a warning."""
        if self._log is not self._stream:
            say(line, self._stream)
        self.log(line)

    def log(self, text: str) -> None:
        """Write lines that a person may look for to the log alone."""
        say(text, self._log)


class LiveDisplay:
    """A panel at the foot of the terminal that keeps itself up to date, the title on its frame."""

    def __init__(self, stream: TextIO, title: str, log: TextIO) -> None:
        self._log = log
        self.log(title)
        self._title, self._began = safe(title), time.monotonic()
        self._shown: tuple[Status, float] | None = None  # and when
        self._console = Console(file=stream, force_terminal=True, highlight=False)
        self._fit()
        self._live = Live(
            self,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, status: Status) -> None:
        """Show where the run stands, until the next time with clocks that run on."""
        self._fit()
        self._shown = status, time.monotonic()

    def note(self, line: str) -> None:
        """Print a line that stays, above the panel."""
        self._console.print(Text(safe(line)))
        self.log(line)

    def log(self, text: str) -> None:
        """Write lines that a person may look for to the log alone."""
        say(text, self._log)

    def close(self) -> None:
        """Leave the screen tidy."""
        self._live.stop()

    def _fit(self) -> None:
        """Take the size of our own terminal: rich asks descriptors 0 to 2, which Screen diverts."""
        with suppress(OSError):
            width, height = os.get_terminal_size(self._console.file.fileno())
            self._console.size = (width or 80, height or 25)

    def __rich__(self) -> Panel:
        """What rich draws, whenever it does."""
        waited = duration(time.monotonic() - self._began)
        body: RenderableType = Text(f"starting, {waited} elapsed", "dim")
        if self._shown is not None:
            status, shown_at = self._shown
            late_s = time.monotonic() - shown_at
            left_s = status.remaining_s and max(status.remaining_s - late_s, 0.0)
            body = _table(replace(status, elapsed_s=status.elapsed_s + late_s, remaining_s=left_s))
        return Panel(
            body,
            title=Text(self._title, "bold"),
            title_align="left",
            border_style="dim",
            width=min(self._console.width, PANEL_WIDTH),
        )


Display: TypeAlias = "PlainDisplay | LiveDisplay"


@contextmanager
def open_display(stream: TextIO, title: str, log: TextIO) -> Iterator[Display]:
    """The display that suits the stream: live on a terminal, else plain lines."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainDisplay(stream, title, log)
    else:
        with closing(LiveDisplay(stream, title, log)) as display:
            yield display


def _table(status: Status) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(ratio=1)
    bar = ProgressBar(total=1.0, completed=status.share, complete_style="cyan")
    table.add_row(Text(status.phase, "bold not dim"), bar)
    facts = _facts(status)
    times = [f"{duration(status.elapsed_s)} elapsed", facts.pop("left")]
    for name, text in facts.items():
        if text:
            table.add_row(name, text)
    table.add_row("time", ", ".join(filter(None, times)))
    return table


def _facts(status: Status) -> dict[str, str]:
    """What there is to tell, by its name in the panel; nothing of what is not known."""
    unit = status.unit.replace("_", " ")
    speeds = {"env_steps/s": status.env_steps_per_s, "updates/s": status.updates_per_s}
    facts = {
        "done": f"{status.done:,} of {status.total:,} {unit} ({100 * status.share:.0f} %)",
        "speed": ", ".join(f"{number(its)} {name}" for name, its in speeds.items() if its),
        "success": "",
        "return": "",
        "also": ", ".join(f"{name} {number(value)}" for name, value in status.extras.items()),
        "left": "" if status.remaining_s is None else f"{duration(status.remaining_s)} left",
    }
    if evaluation := status.evaluation:
        episodes = counted(len(evaluation.returns), "episode")
        facts["success"] = success(evaluation)
        facts["return"] = f"{evaluation.label} {mean_and_half_width(evaluation)} ({episodes})"
    return facts
