"""robomimic HDF5: a group `data/demo_k` a demonstration, in the order of the numbers k.

An observation is every `obs/<key>` that holds floats, [T, D] or [T], side by side in the
alphabetical order of the keys. All demonstrations must have the first one's keys and widths.

`dones` is 1 at the end of every demonstration, success or not (`done_mode` 1 and 2 of robomimic's
dataset_states_to_obs.py), so it alone is no termination. A sparse reward is 1 where the next
state solves the task, else 0: then it is the column `successes`, and a demonstration terminated
if its last step has both a `done` and that reward. Otherwise it is shaped (`reward_shaping` in
`env_args`, or any other value): it tells no success, and every demonstration counts as truncated.
Where the source says `dones=terminal`, a `done` at the last step is a true end in any case.

The successor of the last step is the last row of `next_obs`, unless that repeats the last
observation (as convert_d4rl.py writes it at every end, which so merges falls and clocks).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from awac_dist.data.columns import Place, check_finite
from awac_dist.data.format import ORDER, FileInfo, Format, Keys, as_text
from awac_dist.data.formats.hdf5 import find, find_column, open_hdf5, read_rows
from awac_dist.errors import InputError, naming
from awac_dist.files import RECORD_BYTES, Budget
from awac_dist.types import Array, Episode, Origin

DEMO = re.compile(r"demo_(\d{1,18})")
TERMINAL = "terminal"  # as which a source may have `dones` taken


def _looks_like(path: str) -> bool:
    with open_hdf5(path) as file:
        data = find(file, "data")
        return bool(_find_demos(file)) or (hasattr(data, "keys") and not len(data))  # or none yet


def _describe(path: str, keys: Keys) -> FileInfo:
    with open_hdf5(path) as file:
        found = _Demonstrations(path, file, keys)
        facts = {ORDER: ", ".join(f"{key}[{size}]" for key, size in found.keys.items())}
        if found.skipped:
            facts["observation keys left out"] = ", ".join(found.skipped)
        unless = "1 where solved, unless another value says"
        facts["rewards"] = "shaped" if found.shaped else unless
        stated = ((found.arguments, ("env_type", "env_version")), (found.data.attrs, ("total",)))
        for of, names in stated:
            facts |= {name: as_text(of[name]) for name in names if name in of}
        name = found.arguments.get("env_name")
        sizes = (sum(found.keys.values()), found.action_size, len(found.demos))
        return FileInfo(None if name is None else as_text(name), *sizes, facts)


def _read(path: str, share: tuple[int, int], keys: Keys) -> Iterator[tuple[int, Episode]]:
    index, of = share
    with open_hdf5(path) as file:
        found = _Demonstrations(path, file, keys)
        for number in range(index, len(found.demos), of):
            episode = found.read(found.demos[number], number)
            if episode is not None:  # and it is not: those were sorted out
                yield number, episode


def _find_demos(file: Any) -> list[str]:
    names: Iterable[str] = getattr(find(file, "data"), "keys", list)()
    return sorted(filter(DEMO.fullmatch, names), key=lambda name: int(name.removeprefix("demo_")))


class _Demonstrations:
    """Those of a file that yield an episode, in order, and what they share.

    `keys` are the widths of an observation's keys, in order; `shaped` is whether the environment
    says that its rewards are.
    """

    def __init__(self, path: str, file: Any, keys: Keys) -> None:
        demos = _find_demos(file)
        if not demos:
            raise InputError(f"{path}: holds no demonstration: write each as a group data/demo_N")
        self.path, self.data, self._budget = path, find(file, "data"), Budget.of(path)
        self._budget.take(len(demos) * RECORD_BYTES, path)
        self._named = {name: keys[name] for name in ("actions", "rewards") if name in keys}
        self._ends_at_done = keys.get("dones") == (TERMINAL,)
        if "dones" in keys and not self._ends_at_done:
            raise InputError(f"{path}: dones={'+'.join(keys['dones'])} is not dones={TERMINAL}")
        self.keys, self.skipped = self._choose_keys(demos[0], keys.get("observations", ()))
        with naming(f"{path}: env_args of data is no JSON", "write it as robomimic does"):
            self.arguments = dict(json.loads(self.data.attrs.get("env_args", "{}")))
            self.shaped = bool(dict(self.arguments.get("env_kwargs") or {}).get("reward_shaping"))
        self.action_size = 0  # of the first, and so of all
        steps = {demo: self._count_steps(demo) for demo in demos}
        self.demos = [demo for demo in demos if steps[demo] > 1 or self.read(demo, -1)]
        if not self.demos:
            raise InputError(f"{path}: no step has a successor: write next_obs")

    def _count_steps(self, demo: str) -> int:
        place = f"{self.path}: data/{demo}"
        with naming(f"{place} cannot be read"):
            actions = self._find(place, find(self.data, demo), "actions")
        shape: tuple[int, ...] = actions.shape or ()
        if 0 in shape:
            raise InputError(f"{place}: actions has shape {shape}: it is empty: drop that demo")
        if len(shape) != 2:
            remedy = "write a row of A numbers a step"
            raise InputError(f"{place}: actions has shape {shape}, not [T, A]: {remedy}")
        if self.action_size not in (0, shape[1]):
            wanted = f"[T, {self.action_size}], as in the first"
            raise InputError(f"{place}: actions has shape {shape}, not {wanted}: drop that demo")
        self.action_size = shape[1]
        return shape[0]

    def _find(self, place: str, group: Any, name: str) -> Any:
        return find_column(place, group, name, self._budget, self._named.get(name, ()))

    def read(self, demo: str, number: int) -> Episode | None:
        """The episode, or None if it has one step and that has no successor."""
        columns = self._columns(demo)
        rewards, dones = columns["rewards"].reshape(-1), columns["dones"].reshape(-1)
        sparse = not self.shaped and bool(np.isin(rewards, (0.0, 1.0)).all())
        solved = sparse and rewards[-1] == 1.0
        terminated = bool(dones[-1] != 0 and (solved or self._ends_at_done))
        observations, following = columns["obs"], columns.get("next_obs")
        successor = None if following is None else following[-1]
        if not terminated and following is not None:
            repeats = np.array_equal(following[-1], observations[-1], equal_nan=True)
            successor = None if repeats else following[-1]
        if len(rewards) == 1 and successor is None and not terminated:
            return None
        episode = Place(self.path, f"data/{demo}").assemble(
            observations,
            columns["actions"],
            rewards,
            successor=successor,
            terminated=terminated,
            truncated=not terminated,
            origin=Origin("demonstration", episode=number),
        )
        return replace(episode, successes=episode.rewards.copy()) if sparse else episode

    def _choose_keys(self, demo: str, wanted: tuple[str, ...]) -> tuple[dict[str, int], list[str]]:
        """Widths of the keys that are wanted, or of all that can be; and those left out."""
        place = f"{self.path}: data/{demo}/obs"
        with naming(f"{place} cannot be read"):
            group = find(self.data, f"{demo}/obs")
            there = sorted(group) if hasattr(group, "keys") else []
            widths = {key: _width(find(group, key)) for key in wanted or there}
        for key in wanted:
            if not widths[key]:
                found = ", ".join(map(ascii, there))
                raise InputError(f"{place} has no {key!a} of floats, [T, D]: there is {found}")
        keys = {key: width for key, width in widths.items() if width}
        if not keys:
            raise InputError(
                f"{place} has no key of floats, [T, D]: extract low-dimensional observations with "
                "robomimic's dataset_states_to_obs.py"
            )
        return keys, sorted({*there} - keys.keys())

    def _columns(self, demo: str) -> dict[str, Array]:
        """The columns of a demonstration, all as long as its actions and as wide as the first's.

        `obs` and, where it is there, `next_obs` are their keys side by side, [T, O].
        """
        place, keys = f"{self.path}: data/{demo}", self.keys
        with naming(f"{place} cannot be read"):
            group = find(self.data, demo)
            if not hasattr(group, "keys"):
                raise InputError(f"{place}: is no group: {demo} must hold actions, rewards and obs")
            folders = ["obs", "next_obs"] if "next_obs" in set(group) else ["obs"]
            widths = {f"{folder}/{key}": keys[key] for folder in folders for key in keys}
            names = ("actions", "rewards", "dones", *widths)
            found = {name: self._find(place, group, name) for name in names}
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
        check_finite(place, 0, dones=columns["dones"])
        for folder in folders:
            columns[folder] = np.hstack([columns[f"{folder}/{k}"].reshape(steps, -1) for k in keys])
        return columns


def _width(found: Any) -> int:
    """Of a column of floats, [T, D] or [T]; 0 of all else."""
    shape: tuple[int, ...] = getattr(found, "shape", None) or ()
    return (*shape, 1)[1] if len(shape) in (1, 2) and found.dtype.kind == "f" else 0


CHOICES = ("observations", "actions", "rewards", "dones")
FORMAT = Format("robomimic HDF5", _looks_like, _describe, _read, choices=CHOICES)
