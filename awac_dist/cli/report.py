"""`awac-dist data inspect`: what some data holds, one figure a line, and the returns as bars."""

from __future__ import annotations

import math
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TextIO

import numpy as np

from awac_dist.cli.commands import Inspect
from awac_dist.cli.paper_table import paper_row
from awac_dist.cli.survey import Survey, share_outside, survey, together
from awac_dist.data import sources
from awac_dist.reporting.screen import say, width_of
from awac_dist.reporting.wording import counted, number, percent

OWN_LABELS = {"episodes", "transitions"}  # counted rather than believed
LONGEST_LABEL = 20
LEAST_ROOM = 16  # beside a label, or what is said stands below it
MAX_BINS = 12
EIGHTHS = "▏▎▍▌▋▊▉█"
QUARTILES = (("min", 0), ("25 %", 25), ("median", 50), ("75 %", 75), ("max", 100))


def run(options: Inspect) -> None:
    """Tell of each source, and of all together."""
    width, blocks = width_of(sys.stdout), draws_blocks(sys.stdout)
    surveys = []
    for argument in options.sources:
        source = sources.find(argument)
        for remark in source.remarks:
            say(remark)
        surveys.append(survey(source, options.env))
        say(text(surveys[-1], width=width, blocks=blocks) + "\n")
    if len(surveys) > 1:
        say(text(together(surveys), width=width, blocks=blocks) + "\n")
    if options.plot:
        from awac_dist.cli.picture import draw  # matplotlib is slow to import

        draw(surveys, options.plot)
        say(f"drawn: {options.plot}")


def draws_blocks(stream: TextIO) -> bool:
    """Whether block characters arrive as such; else bars are drawn with #."""
    try:
        EIGHTHS.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def text(found: Survey, *, width: int, blocks: bool) -> str:
    """A survey in words, figures and bars, no line wider than `width`."""
    lines = [*textwrap.wrap(found.name, width), ""]
    entries = list(facts(found))
    indent = max(min(len(label), LONGEST_LABEL) for label, _ in entries) + 4
    for label, words in entries:
        start, rest = f"  {label}  ".ljust(indent), " " * indent
        if width - len(start) < LEAST_ROOM:
            lines.append(start.rstrip())
            start = rest
        lines += textwrap.wrap(words, width, initial_indent=start, subsequent_indent=rest)
    if found.episodes:
        lines += ["", *_quartiles(found)]
        lines += ["", f"return of {counted(len(found.episodes), 'episode')}"]
        lines += bars(found.returns, width=width, blocks=blocks)
    return "\n".join(lines)


def facts(found: Survey) -> Iterator[tuple[str, str]]:
    """(label, figure in words) of everything that is one figure."""
    episodes = found.episodes
    formats = Counter(file.format for file in found.files)
    yield "format", "; ".join(f"{name}, {counted(n, 'file')}" for name, n in formats.items())
    yield "task", ", ".join(found.tasks) or "the data does not say"
    sizes = {(info.observation_size, info.action_size) for info in found.infos}
    yield "sizes", "; ".join(f"observations {o}, actions {a}" for o, a in sorted(sizes))
    fragments = sum(len(episode.rows) for episode in episodes)
    cut_up = f" (in {fragments:,} fragments)" if fragments > len(episodes) else ""
    yield "episodes", f"{len(episodes):,}{cut_up}"
    yield "transitions", f"{found.transitions:,}"
    if not episodes:
        return
    ends = Counter(episode.ended for episode in episodes)
    yield "ended", ", ".join(f"{ends[end]:,} {end}" for end in ("terminated", "truncated", "cut"))
    yield "success", _success(found)
    yield "D4RL score", _score(found)
    yield "actions", _actions(found)
    wrong = [f"{count:,} in {name}" for name, count in found.unusable.items()]
    yield "NaN, too large", ", ".join(wrong) or "none"
    equal = f"{counted(found.duplicates, 'episode')} equal to an earlier one"
    yield "duplicates", equal if found.duplicates else "none"
    yield "made by", _makers(found)
    yield from _beside_the_paper(found)
    yield from _stated(found)


def _success(found: Survey) -> str:
    last, ever = found.solved_last, found.solved_ever
    if last is None or ever is None:
        return "the data does not say"
    return f"{percent(last)} in their last step, {percent(ever)} in any step"


def _score(found: Survey) -> str:
    row = found.reference
    if row is None:
        return "no reference scores for this task"
    return (
        f"{row.score(float(found.returns.mean())):.1f} for the mean return "
        f"(0 is {number(row.minimum)}, 100 is {number(row.maximum)})"
    )


def _actions(found: Survey) -> str:
    share = share_outside(found.episodes)
    if not found.checked:
        return f"not checked: their bounds are {found.bounds}"
    if not share:
        return f"all inside {found.bounds}"
    return (
        f"{percent(share)} of all entries, in "
        f"{sum(episode.steps_outside for episode in found.episodes):,} of "
        f"{counted(found.transitions, 'step')}, lie outside {found.bounds}; "
        f"the furthest is {max(episode.furthest for episode in found.episodes):.3g} from 0"
    )


def _makers(found: Survey) -> str:
    kinds = Counter(episode.origin.kind for episode in found.episodes)
    versions = frozenset().union(*(episode.versions for episode in found.episodes)) - {-1}
    words = ", ".join(f"{name} ({count:,})" for name, count in sorted(kinds.items()))
    if not versions:
        return words
    return f"{words}; {counted(len(versions), 'policy version')} {min(versions)} to {max(versions)}"


def _beside_the_paper(found: Survey) -> Iterator[tuple[str, str]]:
    """What each kind of episodes reaches, and what the paper's did."""
    row = paper_row(found.tasks[0]) if len(found.tasks) == 1 else None
    if row is None:
        return
    for label, kind in (("demonstrations", "demonstration"), ("prior data", "prior")):
        part = replace(found, episodes=[e for e in found.episodes if e.origin.kind == kind])
        if part.episodes:
            mean = f"mean return {number(float(part.returns.mean()))}"
            shares = "" if part.solved_last is None else f"; success: {_success(part)}"
            yield label, f"{counted(len(part.episodes), 'episode')}, {mean}{shares}"
    yield "paper, Table 3", row.words


def _stated(found: Survey) -> Iterator[tuple[str, str]]:
    """What the files say of themselves; a fact that differs from file to file says so."""
    stated = [fact for info in found.infos for fact in info.facts.items()]
    for key in dict.fromkeys(key for key, _ in stated if key not in OWN_LABELS):
        value, *others = dict.fromkeys(value for other, value in stated if other == key)
        yield key, f"{value} and {len(others)} more" if others else value


def _quartiles(found: Survey) -> Iterator[str]:
    columns = (found.lengths, found.returns)
    rows = {label: [np.percentile(c, percent) for c in columns] for label, percent in QUARTILES}
    rows["mean"] = [column.mean() for column in columns]
    yield f"{'':16}{'length':>10}{'return':>14}"
    for label, (length, total_reward) in rows.items():
        steps = f"{length:,.0f}" if length == round(length) else f"{length:,.1f}"
        yield f"  {label:<14}{steps:>10}{number(total_reward):>14}"


def bars(values: np.ndarray, *, width: int, blocks: bool) -> list[str]:
    """A histogram with one line a bin: its range, a bar, a count; blank where nothing is finite."""
    counts, edges = histogram(values)
    if not len(counts):
        return ["  (no finite value)"]
    labels = range_labels(edges)
    left, right = max(map(len, labels)), len(f"{counts.max():,}")
    room = max(width - left - right - 4, 1)
    lines = []
    for label, count in zip(labels, counts, strict=True):
        bar = f"{_bar(room * count / counts.max(), blocks=blocks)} " if count else ""
        lines.append(f"  {label:>{left}} {bar}{count:,}")
    return lines


def histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges over at most 12 bins that end on round numbers; infinite values aside."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0)
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.array([len(values)]), np.array([low, high])
    step = _round_step((high - low) / (MAX_BINS - 2))
    edges = np.arange(math.floor(low / step), math.floor(high / step) + 2) * step
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)


def range_labels(edges: np.ndarray) -> list[str]:
    """What each bin reaches from and to, with as many decimals as its width needs."""
    if edges[0] == edges[-1]:
        return [number(edges[0])]
    step = edges[1] - edges[0]
    decimals = next((d for d in range(12) if math.isclose(round(step, d), step)), 12)
    shown = [f"{edge + 0.0:,.{decimals}f}" for edge in edges]
    pad = max(map(len, shown))
    return [f"{a:>{pad}} to {b:>{pad}}" for a, b in pairwise(shown)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 2.5, 5, 10, 20) if m * power >= least)


def _bar(length: float, *, blocks: bool) -> str:
    if not blocks:
        return "#" * max(round(length), 1)
    whole, rest = divmod(max(round(length * 8), 1), 8)
    return "█" * whole + (EIGHTHS[rest - 1] if rest else "")
