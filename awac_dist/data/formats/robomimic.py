"""robomimic HDF5: a group `data/demo_k` a demonstration, in the order of the numbers k.

An observation is every `obs/<key>` that holds floats, [T, D] or [T], side by side in the
alphabetical order of the keys (the key `object` among them: the poses of objects). Images, whole
numbers and text are left out. All demonstrations must have the first one's keys and widths.

`dones` is 1 at the end of every demonstration, success or not (`done_mode` 1 and 2 of robomimic's
dataset_states_to_obs.py), so it alone is no termination. A sparse reward is 1 where the next
state solves the task, else 0: then it is the column `successes`, and a demonstration terminated
if its last step has both a `done` and that reward. Otherwise it is shaped (`reward_shaping` in
`env_args`, or any other value): it tells no success, and every demonstration counts as truncated.
Steps after a first success stay what they are: robomimic's tasks go on when they are solved.

The successor of the last step is the last row of `next_obs`, unless that repeats the last
observation (as convert_d4rl.py writes it at every end). D4RL's own files keep the falls and clocks
that its robomimic conversion merges: read those instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from awac_dist.data.columns import Place, check_finite
from awac_dist.data.format import FileInfo, Format, as_text, naming
from awac_dist.data.formats.hdf5 import find_column, open_hdf5, read_rows
from awac_dist.errors import InputError
from awac_dist.types import Array, Episode, Origin

DEMO = re.compile(r"demo_(\d{1,18})")
Keys = dict[str, int]  # width of each key of an observation, in order


class _Contents(NamedTuple):
    """What all demonstrations of a file share."""

    demos: list[str]  # names of those that yield an episode, in order
    action_size: int
    keys: Keys
    skipped: list[str]
    arguments: dict[str, Any]  # env_args
    shaped: bool  # whether the environment says that its rewards are shaped


def _looks_like(path: str) -> bool:
    with open_hdf5(path) as file:
        return bool(_find_demos(file))


def _describe(path: str) -> FileInfo:
    with open_hdf5(path) as file:
        found, attributes = _find_contents(path, file), file["data"].attrs
        facts = {"observation": ", ".join(f"{key}[{size}]" for key, size in found.keys.items())}
        if found.skipped:
            facts["observation keys left out"] = ", ".join(found.skipped)
        unless = "1 where solved, unless another value says"
        facts["rewards"] = "shaped" if found.shaped else unless
        for of, keys in ((found.arguments, ("env_type", "env_version")), (attributes, ("total",))):
            facts |= {key: as_text(of[key]) for key in keys if key in of}
        name = found.arguments.get("env_name")
        return FileInfo(
            None if name is None else as_text(name),
            sum(found.keys.values()),
            found.action_size,
            len(found.demos),
            facts,
        )


def _read(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    index, of = share
    with open_hdf5(path) as file:
        contents = _find_contents(path, file)
        for number in range(index, len(contents.demos), of):
            episode = _read_demo(path, file["data"], contents.demos[number], contents, number)
            if episode is not None:  # and it is not: _find_contents has sorted those out
                yield number, episode


def _find_demos(file: Any) -> list[str]:
    names: Iterable[str] = getattr(file.get("data"), "keys", list)()
    return sorted(filter(DEMO.fullmatch, names), key=lambda name: int(name.removeprefix("demo_")))


def _find_contents(path: str, file: Any) -> _Contents:
    demos = _find_demos(file)
    if not demos:
        raise InputError(f"{path}: no group data/demo_0: is it robomimic's HDF5?")
    data = file["data"]
    keys, skipped = _choose_keys(path, data, demos[0])
    with naming(f"{path}: env_args of data is no JSON", "write it as robomimic does"):
        arguments = json.loads(data.attrs.get("env_args", "{}"))
        if not isinstance(arguments, dict):
            raise TypeError(f"{type(arguments).__name__} instead of a table")
    options = arguments.get("env_kwargs")
    shaped = bool(isinstance(options, dict) and options.get("reward_shaping"))
    width = _action_width(path, data, demos)
    found = _Contents(demos, width, keys, skipped, arguments, shaped)
    yielding = [
        demo
        for demo in demos
        if len(data[demo]["actions"]) > 1 or _read_demo(path, data, demo, found, -1)
    ]
    if not yielding:
        raise InputError(f"{path}: no step has a successor: write next_obs")
    return found._replace(demos=yielding)


def _action_width(path: str, data: Any, demos: list[str]) -> int:
    width = 0
    for demo in demos:
        place = f"{path}: data/{demo}"
        with naming(f"{place} cannot be read"):
            shape: tuple[int, ...] = find_column(place, data[demo], "actions").shape or ()
        if len(shape) != 2 or 0 in shape or width not in (0, shape[1]):
            wanted = f"[T, {width or 'A'}], as in {demos[0]}"
            raise InputError(f"{place}: actions has shape {shape}, not {wanted}: drop that demo")
        width = shape[1]
    return width


def _choose_keys(path: str, data: Any, demo: str) -> tuple[Keys, list[str]]:
    keys: Keys = {}
    skipped = []
    with naming(f"{path}: data/{demo}/obs cannot be read"):
        for key, found in sorted((data[demo].get("obs") or {}).items()):
            shape: tuple[int, ...] = getattr(found, "shape", None) or ()
            if len(shape) in (1, 2) and found.dtype.kind == "f":
                keys[key] = 1 if len(shape) == 1 else shape[1]
            else:
                skipped.append(key)
    if sum(keys.values()) == 0:
        raise InputError(
            f"{path}: data/{demo}/obs has no key of floats, [T, D]: extract low-dimensional "
            "observations with robomimic's dataset_states_to_obs.py"
        )
    return keys, skipped


def _columns(path: str, data: Any, demo: str, keys: Keys) -> dict[str, Array]:
    """The columns of a demonstration, all as long as its actions and as wide as the first's.

    `obs` and, where it is there, `next_obs` are their keys side by side, [T, O].
    """
    place = f"{path}: data/{demo}"
    with naming(f"{place} cannot be read"):
        group = data[demo]
        if not hasattr(group, "keys"):
            raise InputError(f"{place}: is no group: {demo} must hold actions, rewards and obs")
        folders = [folder for folder in ("obs", "next_obs") if folder == "obs" or folder in group]
        widths = {f"{folder}/{key}": keys[key] for folder in folders for key in keys}
        names = ["actions", "rewards", "dones", *widths]
        found = {name: find_column(place, group, name) for name in names}
    steps = len(found["actions"])
    for name, column in found.items():
        size = widths.get(name, 1)
        fitting = [(steps, size), (steps,)] if size == 1 else [(steps, size)]
        if name != "actions" and column.shape not in fitting:
            raise InputError(
                f"{place}: {name} has shape {column.shape}, {steps} actions and the first "
                f"demonstration need {fitting[0]}: drop that demo"
            )
    columns = {name: read_rows(place, name, column, 0, steps) for name, column in found.items()}
    check_finite(place, 0, **columns)
    for folder in folders:
        columns[folder] = np.hstack([columns[f"{folder}/{k}"].reshape(steps, -1) for k in keys])
    return columns


def _read_demo(path: str, data: Any, demo: str, contents: _Contents, number: int) -> Episode | None:
    """The episode, or None if it has one step and that has no successor."""
    columns = _columns(path, data, demo, contents.keys)
    rewards, dones = columns["rewards"].reshape(-1), columns["dones"].reshape(-1)
    sparse = not contents.shaped and bool(np.isin(rewards, (0.0, 1.0)).all())
    terminated = bool(sparse and dones[-1] != 0 and rewards[-1] == 1.0)
    observations, following = columns["obs"], columns.get("next_obs")
    successor = None if following is None else following[-1]
    if not terminated and successor is not None and np.array_equal(successor, observations[-1]):
        successor = None
    if len(rewards) == 1 and successor is None and not terminated:
        return None
    episode = Place(path, f"data/{demo}").assemble(
        observations,
        columns["actions"],
        rewards,
        successor=successor,
        terminated=terminated,
        truncated=not terminated,
        origin=Origin("demonstration", episode=number),
    )
    return replace(episode, successes=episode.rewards.copy()) if sparse else episode


FORMAT = Format("robomimic HDF5", _looks_like, _describe, _read)
