"""`python -m awac_dist.bench`: which sections, how often, and where the figures go."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from awac_dist.cli.main import call
from awac_dist.cli.parser import positional
from awac_dist.errors import did_you_mean, writable
from awac_dist.ranges import Checked, Count

if TYPE_CHECKING:
    from awac_dist.bench.report import Row

SECTIONS = {  # -> the module here that has a function of this name, and what that measures
    "peak": ("products", "matrix products a second, the ceiling of an update"),
    "updates": ("updates", "AWAC updates a second, beside d3rlpy's"),
    "acting": ("acting", "a worker's steps a second, beside env.step alone"),
    "replay": ("replay", "batches a second into the learner's process, beside d3rlpy's"),
    "broadcast": ("workers", "how soon many workers have a new policy"),
    "memory": ("workers", "of many workers, and of a shard beside its data"),
    "scaling": ("workers", "steps a second with 1 to 64 workers"),
    "slow": ("workers", "whole runs on an environment of 20 ms a step"),
    "whole": ("whole_curves", "online training, beside d3rlpy's loop in one process"),
    "rllib": ("rllib_curves", "the RLlib path, beside the standalone learner and RLlib's SAC"),
}


@dataclass(frozen=True, kw_only=True)
class Bench(Checked):
    """How fast this machine is, stage by stage.

    Attributes:
        repeats: Rounds of each comparison.
        json: Write the figures to this file, too.
    """

    sections: tuple[str, ...] = positional(
        default=(),
        help="; ".join(f"{name}: {what}" for name, (_, what) in SECTIONS.items())
        + ". Default: all.",
    )
    repeats: Count = 5
    json: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        for name in self.sections:
            if name not in SECTIONS:
                yield "sections", f"no section {name}; {did_you_mean(name, SECTIONS)}"


def run(options: Bench) -> None:
    """Measure what was asked for."""
    from awac_dist.bench.hardware import hardware  # these import torch and rich
    from awac_dist.bench.report import print_table, write_json

    machine = hardware()
    print("\n".join(machine.lines()), flush=True)
    measured: dict[str, list[Row]] = {}
    for name in options.sections or SECTIONS:
        place, what = SECTIONS[name]
        module = import_module(f"awac_dist.bench.{place}")  # some import Ray
        measured[name] = list(getattr(module, name)(options.repeats))
        print_table(f"{name}: {what}", measured[name])
    if options.json is not None:
        with writable(options.json):
            write_json(options.json, machine, options.repeats, measured)


if __name__ == "__main__":
    sys.exit(call(Bench, run, "python -m awac_dist.bench"))
