"""The bench's command line: which sections, how often, and where the figures go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from awac_dist.bench.hardware import Hardware, hardware
from awac_dist.bench.report import Row, print_table, write_json
from awac_dist.cli.arguments import Parser, nearest
from awac_dist.errors import InputError

# section: a module here with `rows(repeats) -> Iterator[Row]`, imported when it is asked for
SECTIONS = {
    "peak": "matrix products a second, the ceiling of an update",
    "updates": "AWAC updates a second, beside d3rlpy's",
    "acting": "a worker's steps a second, beside env.step alone",
    "replay": "batches a second into the learner's process, beside d3rlpy's",
    "broadcast": "how soon many workers have a new policy",
    "memory": "of many workers, and of a shard beside its data",
    "scaling": "steps a second with 1 to 64 workers",
    "slow": "whole runs on an environment of 20 ms a step",
    "whole": "online training, beside d3rlpy's loop in one process",
    "rllib": "the RLlib path, beside the standalone learner and RLlib's SAC",
}


def main(argv: Sequence[str]) -> int:
    """Measure what was asked for; returns the exit code."""
    try:
        return _bench(argv)
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _bench(argv: Sequence[str]) -> int:
    words = _parser().read(argv)
    chosen = words.sections or list(SECTIONS)
    for name in chosen:
        if name not in SECTIONS:
            known = ", ".join(SECTIONS)
            raise InputError(
                f"no section {name}{nearest(name, list(SECTIONS)) or f'; there are {known}'}"
            )
    if words.repeats < 1:
        raise InputError(f"--repeats: {words.repeats} is not 1 or more")
    machine = hardware()
    print("\n".join(machine.lines()), flush=True)
    measured = []
    for name in chosen:
        rows = list(_rows(name)(words.repeats))
        print_table(f"{name}: {SECTIONS[name]}", rows)
        measured.append((name, rows))
    if words.json is not None:
        _write(words.json, machine, words.repeats, measured)
    return 0


def _rows(section: str) -> Callable[[int], Iterator[Row]]:
    rows: Callable[[int], Iterator[Row]] = import_module(f"awac_dist.bench.{section}").rows
    return rows


def _write(
    path: str, machine: Hardware, repeats: int, measured: Sequence[tuple[str, Sequence[Row]]]
) -> None:
    try:
        write_json(path, machine, repeats, dict(measured))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _parser() -> Parser:
    parser = Parser("python -m awac_dist.bench", "How fast this machine is, stage by stage.")
    names = "; ".join(f"{name}: {what}" for name, what in SECTIONS.items())
    parser.add_argument("sections", nargs="*", metavar="section", help=f"{names}. Default: all")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each comparison")
    parser.add_argument("--json", metavar="FILE", help="write the figures here, too")
    return parser
