"""`docs/methods/`: a page for each method, from code, preset, docs/metrics.md and results."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from awac_dist.algorithms import METHODS, config_class, method_class
from awac_dist.algorithms.base import Method
from awac_dist.algorithms.world import Task
from awac_dist.cli.options import parse
from awac_dist.cli.parser import Field, headline, walk
from awac_dist.cli.presets import presets
from awac_dist.config import RunConfig
from awac_dist.errors import InputError
from awac_dist.experiments.catalogue import experiment
from awac_dist.experiments.experiment import DOCS, METRICS, Experiment
from awac_dist.experiments.figure6 import FIGURE_6
from awac_dist.experiments.results import Row, read_results, select
from awac_dist.experiments.showing import figure, table_of_task
from awac_dist.files import write_file
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec

SPEC = EnvSpec("none", 3, 2, (-1.0, -1.0), (1.0, 1.0), None)
ROWS = 8  # of a random batch
HEADS = ("critic", "policy objective", "behaviour model", "constraint")
RESULTS = DOCS / "results" / "methods.csv"
MADE = "<!-- made by `awac-dist experiments pages` -->\n"


def write_pages(folder: Path) -> Iterator[Path]:
    """Write all pages, and the pictures of those methods that have results; yields the pages."""
    if not METRICS.exists():
        raise InputError(f"the pages are made in a checkout, from its docs: there is no {METRICS}")
    rows = read_results(RESULTS)
    for name, text in pages().items():
        write_file(str(folder / name), text.encode())
        yield folder / name
    for method in sorted(METHODS):
        its, budget = own_results(method, rows)
        if budget:
            figure(its, rows, budget, folder / f"{method}.png")


def pages() -> dict[str, str]:
    """File name -> text."""
    rows = read_results(RESULTS)
    made = {f"{method}.md": page(method, rows) for method in sorted(METHODS)}
    return {"README.md": overview(), **made}


def overview() -> str:
    """All methods side by side, and the options that they share."""
    lines = [
        [f"[`{method}`]({method}.md)", *FIGURE_6[method], phases(method)]
        for method in sorted(METHODS)
    ]
    common = [
        [option(f"{part}.{field.path}"), default(field.default), field.help]
        for part, config in (("actor", ActorConfig()), ("critic", CriticConfig()))
        for field in walk(config)
    ]
    compared = "[How they compare](../results/methods.md) on the main job.\n"
    return "\n".join(
        [
            MADE,
            "# The methods",
            "",
            "The paper's Figure 6 for all of them: whose value the critic evaluates, what the",
            "policy is fitted to, the model of who made the data, and what keeps it near the data.",
            "`--config NAME` has the constants and phases of a method's authors;",
            "`--algorithm NAME` changes the losses alone, and leaves phases, mixture and batches",
            "as they are.",
            "",
            "Departures are told on each page. Those of all: observations are normalised as prior",
            "data spreads (`--replay.normalize_observations false` leaves them), networks begin as",
            "in AWAC's code (`first_weights`, below; [it matters](../results/parity.md)), and a",
            "standard deviation comes between its bounds by a sigmoid, where others cut it.",
            "",
            compared if read_results(RESULTS) else "",
            *markdown(["method", *HEADS, "phases of its preset"], lines),
            "",
            "## Options of all",
            "",
            "Networks and their Adam; a method's page has the defaults that are its own.",
            "",
            *markdown(["option", "default", "what it does"], common),
            "",
        ]
    )


def page(method: str, rows: list[Row]) -> str:
    """The page of a method."""
    its = method_class(method)
    document = sys.modules[its.__module__].__doc__ or ""
    preset = presets()[method].read_text()
    header = "\n".join(re.findall(r"^#(?: (.*))?$", preset.partition("\n\n")[0], re.MULTILINE))
    title = f"# {method}: {headline(its.Config).rstrip('.')}"
    sections = {
        "": [title, "", first_paragraph(its.__doc__), "", *markdown(HEADS, [FIGURE_6[method]])],
        "Equations": [blocks(document), "", f"In full: {', '.join(files(its))}."],
        "Run it": [blocks(header), "", *run_words(method)],
        "Options": list(options(method)),
        "Metrics": list(metrics(method)),
        "What came of it": list(results(method, rows)),
    }
    told = ["\n".join([f"## {head}\n"] * bool(head) + lines) for head, lines in sections.items()]
    return MADE + "\n" + "\n\n".join(told) + "\n"


def files(method: type[Method]) -> list[str]:
    """Links to its own file and to those of the skeletons beneath it."""
    names = [each.__module__ for each in method.__mro__ if issubclass(each, Method)]
    own = dict.fromkeys(name for name in names if name != Method.__module__)
    return [link(f"{name.replace('.', '/')}.py") for name in own]


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def blocks(text: str) -> str:
    """Prose whose indented lines keep their structure: Markdown takes them for code."""
    text = re.sub(r"^(?! )(.+)\n(?=    )", r"\1\n\n", text.strip(), flags=re.MULTILINE)
    return re.sub(r"^(    .*)\n(?=\S)", r"\1\n\n", text, flags=re.MULTILINE)


def link(path: str) -> str:
    """A link to a file of the repository."""
    return f"[`{path}`](../../{path})"


def markdown(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    ]


def option(path: str) -> str:
    """As it is given on the command line."""
    return f"`--algorithm.{path}`"


def default(value: Any) -> str:
    """A value as it is typed, fractions to six digits."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value) if isinstance(value, bool | dict) else str(value)


def preset_of(method: str) -> RunConfig:
    """The run that a method's preset describes."""
    return parse(["--config", method]).config


def phases(method: str) -> str:
    """What its preset does, in a few words."""
    its = preset_of(method)
    counts = {
        "clone": its.clone.updates,
        "offline": its.offline.updates,
        "online": its.online.env_steps,
    }
    return ", ".join(name for name, count in counts.items() if count)


def run_words(method: str) -> Iterator[str]:
    """What the preset asks of a run besides the method's options."""
    plain = {field.path: field.default for field in walk(RunConfig())}
    changed = [
        f"--{field.path} {default(field.default)}"
        for field in walk(preset_of(method))
        if not field.path.startswith("algorithm.") and field.default != plain[field.path]
    ]
    yield f"{link(f'configs/algorithms/{method}.yaml')} sets the method's options, and of the run"
    yield f"{', '.join(f'`{word}`' for word in changed) or 'nothing'}."


def options(method: str) -> Iterator[str]:
    """Its own options, and those of networks that differ from what all have."""
    config = config_class(method)()
    preset = {field.path: field.default for field in walk(preset_of(method).algorithm)}
    rows = [
        [option(field.path), default(field.default), _if_other(preset, field), field.help]
        for field in walk(config)
        if "." not in field.path or field.default != _common(config, field)
    ]
    if rows:
        yield from markdown(["option", "default", "preset", "what it does"], rows)
        yield ""
    yield "Those of networks that are not named here are [as for all](README.md#options-of-all)."


def _if_other(preset: dict[str, Any], field: Field) -> str:
    value = preset[field.path]
    return "" if value == field.default else default(value)


def _common(config: Any, field: Field) -> Any:
    """The default that all networks of the kind have."""
    part, _, name = field.path.partition(".")
    return getattr(type(getattr(config, part))(), name)


def metrics(method: str) -> Iterator[str]:
    """The rows of docs/metrics.md of what an update reports, those first that name the method."""
    wanted, rows = emitted(method), list[tuple[bool, list[str], list[str]]]()
    yield from ("| metric | what it says | healthy |", "| --- | --- | --- |")
    for line in METRICS.read_text().splitlines():
        if line.startswith("| `"):
            name, *cells = line.strip("| ").split(" | ")
            names, methods = (re.findall(r"`([^`]+)`", part) for part in name.partition("(")[::2])
            if not methods or method in methods:
                rows.append((not methods, names, cells))
    for _, names, cells in sorted(rows, key=lambda row: row[0]):
        if own := [each for each in names if each in wanted]:
            wanted -= {*own}
            parts = cells[0].split("; ")
            if len(parts) == len(names):  # one for each
                cells = ["; ".join(parts[names.index(each)] for each in own), *cells[1:]]
            yield f"| {', '.join(f'`{each}`' for each in own)} | {' | '.join(cells)} |"
    assert not wanted, f"docs/metrics.md has no row of {sorted(wanted)}"


def emitted(method: str) -> set[str]:
    """The names of what an update reports, offline and online."""
    config, found = config_class(method)(), set[str]()
    its = config.method(config, Task(SPEC, 0.99), seed=0, device=torch.device("cpu"))
    wishes = Wishes(its.needs, segment_length=its.segment_length)
    layout = Layout.of(SPEC, wishes)
    for its.online in (False, True):
        batches = [
            Batch.from_block(torch.rand(ROWS, layout.width), layout)
            for _ in range(its.batches_per_update)
        ]
        found |= its.update(batches).keys()
    return found


def own_results(method: str, rows: list[Row]) -> tuple[Experiment, str]:
    """The experiment of this method's variants alone, and the first budget with runs of it."""
    its = experiment("methods")
    its = replace(its, variants=[each for each in its.variants if each.method == method])
    budgets = [name for name in its.budgets if select(rows, method=method, budget=name)]
    return its, next(iter(budgets), "")


def results(method: str, rows: list[Row]) -> Iterator[str]:
    """Picture and figures of its runs in the comparison."""
    its, budget = own_results(method, rows)
    command = f"awac-dist experiments run methods --methods {method}"
    if not budget:
        yield f"No run of it is in the results yet: `{command}` makes some."
        return
    yield from (f"![{method}]({method}.png)", "")
    rows = select(rows, budget=budget)
    for task in its.tasks:
        yield from table_of_task(its, select(rows, task=task), task, budget)
    yield ""
    yield f"Made by `{command} --budget {budget}`; [all methods, and what the columns"
    yield "say](../results/methods.md)."
