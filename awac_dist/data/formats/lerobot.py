"""LeRobot's datasets (v2.0, v2.1, v3.0): a folder with one row a frame in Parquet.

    meta/info.json                          codebase_version, robot_type, fps, ...
    data/chunk-000/episode_000000.parquet   v2: a file an episode
    data/chunk-000/file-000.parquet         v3: several episodes a file

An observation is `observation.state`, with `observation.environment_state` behind it where that is
there; cameras are videos or images, which are not read. `next.success` at the last frame is a true
end; without it every episode counts as truncated, for `next.done` marks any last frame. Without
`next.reward` rewards are 0. The observation after the last frame is not in the files.
Source: https://github.com/huggingface/lerobot, docs "LeRobotDataset v3.0".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from awac_dist.data.columns import Place
from awac_dist.data.format import ORDER, FileInfo, Format, Keys, as_text
from awac_dist.data.formats.rllib_parquet import find_files
from awac_dist.data.formats.step_parquet import Names, Steps
from awac_dist.data.parquet import arrow_errors, open_file
from awac_dist.errors import InputError, naming
from awac_dist.files import Budget, read_file, within
from awac_dist.types import Episode

INFO = "meta/info.json"
STATES = ("observation.state", "observation.environment_state")
NAMES: Names = {
    "id": ("episode_index",),
    "actions": ("action",),
    "rewards": ("next.reward",),
    "successes": ("next.success",),
    "step": ("frame_index",),
}
NEEDED = ("id", "actions")
SHOWN = ("codebase_version", "robot_type", "fps")


def _looks_like(path: str) -> bool:
    return "codebase_version" in _info(path)


def _describe(path: str, keys: Keys) -> FileInfo:
    steps = _opened(path, keys)
    with arrow_errors(path):
        sizes, count = steps.widths(), steps.count()
    known = _info(path)
    facts = {name: as_text(known[name]) for name in SHOWN if known.get(name) is not None}
    facts |= {**count.facts, ORDER: ", ".join(steps.names["observations"])}
    if "rewards" not in steps.names:
        facts["rewards"] = "none in the files, 0 is taken: convert with --relabel TASK"
    return FileInfo(None, *sizes, count.episodes, facts)


def _read(path: str, share: tuple[int, int], keys: Keys) -> Iterator[tuple[int, Episode]]:
    steps = _opened(path, keys)
    with arrow_errors(path):
        for number, episode in steps.read(share):
            yield number, replace(episode, truncated=not episode.terminated)


def _info(path: str) -> dict[str, Any]:
    with naming(f"{path}: {INFO} cannot be read"):
        return dict(json.loads(read_file(within(path, INFO))))


def _opened(path: str, keys: Keys) -> Steps:
    """The frames; refuses missing columns."""
    files, budget = find_files(within(path, "data")), Budget.of(path)
    if not files:
        raise InputError(f"{path}: data/ holds no Parquet files: download them, too")
    there = set.intersection(*(set(open_file(file, budget).schema_arrow.names) for file in files))
    states = tuple(name for name in STATES if name in there) or STATES[:1]
    names = {name: its for name, its in NAMES.items() if its[0] in there or name in NEEDED}
    steps = Steps(files, {"observations": states, **names, **keys}, budget, "demonstration")
    for column, parts in steps.names.items():
        Place(path, "every file").check_keys(column, parts, sorted(there))
    return steps


CHOICES = ("observations", "actions", "rewards", "successes")
FORMAT = Format("LeRobot", _looks_like, _describe, _read, choices=CHOICES)
