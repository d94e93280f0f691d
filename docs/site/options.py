"""Puts the options into their page, made of the dataclasses as `--help` is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_type_hints

from awac_dist.algorithms import METHODS
from awac_dist.cli.commands import COMMANDS
from awac_dist.cli.options import CHANGEABLE, COMMON, Launch
from awac_dist.cli.parser import REQUIRED, Field, headline, parts, walk
from awac_dist.config import RunConfig
from awac_dist.ranges import ranges_of


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put each list into its place."""
    for place, lines in LISTS.items():
        if place in markdown:
            markdown = markdown.replace(place, "\n".join(lines()))
    return markdown


def run_options() -> Iterator[str]:
    """The options of a run but those of its method, part by part."""
    config = RunConfig()
    fields = {field.path: field for field in walk(config)}
    common = [fields.pop(path) for path in COMMON]
    yield from ("### common", "", *_table(config, [*common, *walk(Launch)]), "")
    for path, part in parts(config):
        own = [its for its in fields.values() if its.path.rpartition(".")[0] == path]
        if own and not path.startswith("algorithm"):
            yield from (f"### {path or 'run'}", "", headline(type(part)), "")
            yield from (*_table(part, own), "")


def changeable() -> Iterator[str]:
    """What may change in a run that goes on."""
    yield ", ".join(f"`{path}`" for path in CHANGEABLE) + "."


def commands() -> Iterator[str]:
    """Every other command and its options."""
    for name, command in COMMANDS.items():
        if name != "launch":
            yield from (f"### awac-dist {name}", "", headline(command.options), "")
            yield from (*_table(command.options, walk(command.options)), "")


def _table(owner: Any, fields: Iterable[Field]) -> Iterator[str]:
    hints = get_type_hints(owner if isinstance(owner, type) else type(owner), include_extras=True)
    yield from ("| option | default | what it does | legal |", "| --- | --- | --- | --- |")
    for field in fields:
        text = field.help.replace("METHODS", ", ".join(METHODS))
        legal = _legal(field, hints.get(field.at.rpartition(".")[2]))
        cells = (f"`{field.option}`", _default(field), _plain(text), _plain(legal))
        yield f"| {' | '.join(cells)} |"


def _legal(field: Field, hint: Any) -> str:
    """What may be given, as an error says it, without the example."""
    kind = field.legal.removesuffix(" or None").partition(", such as")[0]
    ranges = [its.legal for its in ranges_of(hint)]
    return ", ".join([kind, *ranges]) + " or None" * field.optional


def _default(field: Field) -> str:
    if field.default is REQUIRED:
        return "must be given"
    if isinstance(field.default, tuple):
        return " ".join(map(str, field.default))
    return str(field.default).lower() if field.hint is bool else str(field.default)


def _plain(text: str) -> str:
    """Text of which Markdown makes nothing else."""
    return re.sub(r"([|*<])", r"\\\1", text)


LISTS = {
    "<!-- the site lists here the options of a run -->": run_options,
    "<!-- the site lists here what may change -->": changeable,
    "<!-- the site lists here the options of the commands -->": commands,
}
