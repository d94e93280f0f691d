"""How figures read on the screen: returns, shares, durations, tables."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence

from awac_dist.evaluation.result import Evaluation, Share
from awac_dist.interrupts import PROGRAM, came_by


def number(value: float, *, like: float | None = None, sign: str = "") -> str:
    """Write a figure with about three digits, and thousands set apart.

    Args:
        value: What to write.
        like: The figure whose decimals to share, such as the mean that an interval belongs to.
        sign: "+" to write that, too.
    """
    if value == 0:
        return "0"
    size = abs(value if like is None else like)
    if 0 < size < 0.1:
        return f"{value:{sign}.2g}"
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:{sign},.{decimals}f}"


def interval(low: float, high: float, *, like: float, sign: str = "") -> str:
    """Write an interval with the decimals of its middle; infinite is what nobody knows."""
    if not math.isfinite(high - low):
        return "unknown"
    return " to ".join(number(end, like=like, sign=sign) for end in (low, high))


def spread(values: Sequence[float]) -> str:
    """Write lowest, highest and mean."""
    low, high, mean = map(number, (min(values), max(values), sum(values) / len(values)))
    return f"from {low} to {high}, mean {mean}"


def counted(count: int, noun: str) -> str:
    """Write 1 episode, or 2,000 episodes."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time span as 0:42, 9:41 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def mean_and_half_width(evaluation: Evaluation) -> str:
    """Write the mean return and half of its 95 % interval, "?" where one episode gives none."""
    mean, half = evaluation.mean, evaluation.half_width
    return f"{number(mean)} ± {number(half, like=mean) if math.isfinite(half) else '?'}"


def percent(share: float) -> str:
    """Write a share as 45 %."""
    return f"{100 * share:.3g} %"


def percents(low: float, high: float) -> str:
    """Write an interval of shares as their middle is written, as 31 % to 60 %."""
    return f"{percent(low)} to {percent(high)}"


def percent_interval(share: Share) -> str:
    """Write its 95 % interval as 31 to 60."""
    low, high = share.interval
    return f"{100 * low:.0f} to {100 * high:.0f}"


def definitions(*evaluations: Evaluation) -> dict[str, tuple[Share, ...]]:
    """Shares of successful episodes, one an evaluation, by how a reader understands "success".

    That many steps of success say nothing where episodes end with the first.
    """
    words = ["last step", "any step"]
    if max((steps or 0 for each in evaluations for steps in each.success_steps), default=0) > 1:
        words.append(f"{evaluations[0].sustained_steps} steps or more")
    shares = zip(*(each.successes.values() for each in evaluations), strict=False)
    return dict(zip(words, shares, strict=False))


def success(evaluation: Evaluation) -> str:
    """Write all shares of successful episodes; nothing where the task does not say."""
    shares = definitions(evaluation).items()
    return ", ".join(f"{percent(share.value)} {words}" for words, (share,) in shares)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Set the first column left and the others right, two blanks between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def to_go_on(folder: str, *words: str, what: str = "To go on") -> str:
    """What goes on with the run in a folder, a path or URI: a line to be pasted into a shell."""
    return f"{what}:\n{shlex.join([*door(), '--resume', folder, *words])}"


def to_resume(folder: str, argument: str = "") -> str:
    """What does so in a program: an expression."""
    return f"Run({folder!r}).resume({argument})"


def program(command: str) -> list[str]:
    """The words by which this process came to a command: the wheel's, or a person's own program."""
    if sys.argv[1:2] != [command] or came_by() == PROGRAM:
        return [PROGRAM, command]
    return [*(["python"] if sys.argv[0].endswith(".py") else []), sys.argv[0], command]


def door() -> list[str]:
    """The words by which this process came to launch: the wheel's command, a program, or Python."""
    if came_by() == PROGRAM or sys.argv[1:2] == ["launch"]:
        return program("launch")
    return ["python", "-m", "awac_dist.launch"]
