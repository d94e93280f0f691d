"""A comparison as one HTML file: drawings, tables and style inside, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from string import Template

from awac_dist import __version__
from awac_dist.plotting.comparison import AXES, HOW_TO_READ, Panel, svg
from awac_dist.reporting.groups import Group, differences
from awac_dist.reporting.wording import counted

TEMPLATE = "compare.html"
SHOWN = next(iter(AXES))
Table = Sequence[Sequence[str]]  # heads, and lines below them


def page(
    groups: Sequence[Group],
    panels: Sequence[Panel],
    reached: Mapping[str, Table],
    runs: Table,
    notes: Sequence[str],
) -> str:
    """Write the page: curves, what was reached in each task, settings that differ, and runs.

    The boxes in the table show and hide groups, the buttons above choose the axis: style does it.
    """
    count, colours = sum(len(group.runs) for group in groups), panels[0].colours
    template = resources.files("awac_dist.cli") / TEMPLATE
    tasks = counted(len(reached), "task") if len(reached) > 1 else next(iter(reached))
    return Template(template.read_text("utf-8")).substitute(
        title=escape(f"{tasks}, {counted(count, 'run')}"),
        made=f"awac_dist {__version__}, {datetime.now():%Y-%m-%d %H:%M}",
        notes="\n".join(f'<p class="soft">{escape(note)}</p>' for note in notes),
        axes="\n".join(_choices()),
        rules="\n".join(_rules(len(colours))),
        panels="\n".join(_figure(panel) for panel in panels),
        how=escape(HOW_TO_READ),
        tables="\n".join(_tables(groups, list(colours.items()), reached, runs)),
    )


def _choices() -> Iterator[str]:
    for axis, words in AXES.items():
        chosen = " checked" if axis == SHOWN else ""
        yield f'<label><input type="radio" name="axis" id="by-{axis}"{chosen}>by {words}</label>'


def _rules(groups: int) -> Iterator[str]:
    """What is hidden when a button is not chosen, or a box not ticked."""
    for axis in AXES:
        yield f"  body:has(#by-{axis}:not(:checked)) .by-{axis} {{ display: none; }}"
    for number in range(groups):
        yield f"  body:has(.box{number}:not(:checked)) .g{number} {{ display: none; }}"


def _figure(panel: Panel) -> str:
    drawn = (f'<div class="by-{axis}">{svg(panel, axis)}</div>' for axis in AXES)
    return f"<figure>{''.join(drawn)}</figure>"


def _tables(
    groups: Sequence[Group],
    colours: Sequence[tuple[str, str]],
    reached: Mapping[str, Table],
    runs: Table,
) -> Iterator[str]:
    numbers = {label: number for number, (label, _) in enumerate(colours)}

    def ticked(label: str) -> str:
        number = numbers[label]
        box = f'<input type="checkbox" class="box{number}" checked>'
        swatch = f'<span class="swatch" style="background: {colours[number][1]}"></span>'
        return f"<label>{box} {swatch}{escape(label)}</label>"

    for task, (heads, *lines) in reached.items():
        yield f"<h2>{escape(task)}</h2>"
        cells = [[ticked(label), *map(escape, rest)] for label, *rest in lines]
        yield _table(map(escape, heads), cells)
        yield from _settings([group for group in groups if group.task == task])
    yield "<h2>Runs</h2>"
    yield _table(map(escape, runs[0]), [map(escape, line) for line in runs[1:]])


def _settings(groups: Sequence[Group]) -> Iterator[str]:
    """In what the groups of a task differ, where there are several."""
    if differing := differences(groups):
        named = {f"<code>{escape(path)}</code>": its for path, its in differing.items()}
        heads = ["setting", *(escape(group.label) for group in groups)]
        table = _table(heads, [[path, *map(escape, its)] for path, its in named.items()])
        yield f"<details><summary>Settings that differ</summary>{table}</details>"


def _table(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML; wide ones scroll by themselves."""
    head = "".join(f"<th>{cell}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>\n" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'
