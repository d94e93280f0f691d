"""D4RL HDF5: one row a step, the episodes one after another in flat columns.

An episode ends where `terminals` or `timeouts` is set (or `terminated` or `truncated`, as Gymnasium
has it). It terminated where `terminals` is, also where both are; it was truncated where only
`timeouts` is. An episode that is open after the last row is a fragment that did neither. AntMaze's
`terminals` are goal flags and its paths run on past them: what follows a flag is an episode of its
own.

The successor of an episode's last step is its row of `next_observations`. Without that column
the last step is left out, or where it terminated repeats its observation, which no loss sees.

An episode also ends where `next_observations` is not the next row's observation, as in a ring
buffer that was written as it lay. A file without `timeouts`, or with none that is set, does not
say where the clock cut: then it also ends where d3rlpy 1's `episode_terminals` or `dones` is set,
or without these and `next_observations`, where `infos/goal` changes. Goals are
filled where `infos/goal` [N, 2] is: x and y, achieved by an observation's first two entries.
`virtual/*` and the other `infos/*` are left alone.
Source: `qlearning_dataset` of https://github.com/Farama-Foundation/D4RL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from awac_dist.data.columns import EITHER, check_finite, end_keys
from awac_dist.data.format import FileInfo, Format, Keys, as_text
from awac_dist.data.formats.hdf5 import count_bytes, find, find_column, open_hdf5, read_rows
from awac_dist.errors import InputError
from awac_dist.files import BOUNDS_BYTES, Budget, head
from awac_dist.types import Episode, Origin

Columns = dict[str, Any]  # h5py datasets by name
Flags = NDArray[np.bool_]

NEEDED = ("observations", "actions", "rewards", "terminals")
CUTS = ("timeouts", "episode_terminals", *EITHER)  # d3rlpy 1 sets the second at every end
OPTIONAL = (*CUTS, "next_observations")
GOAL = "infos/goal"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SPAN_ROWS = 20_000  # rows a read: large beside a call of h5py, small beside a file


class _Bounds(NamedTuple):
    """Where an episode is."""

    start: int  # its first row
    rows: int  # how many it has in the file
    steps: int  # of them, those with a successor or none to have
    terminated: bool
    truncated: bool


def _looks_like(path: str) -> bool:
    """Whether it has columns, whatever they are called, or is HDF5 that nobody can open.

    `describe` says which is missing, or why it cannot be opened.
    """
    try:
        with open_hdf5(path) as file:
            return any(hasattr(find(file, name), "dtype") for name in file)
    except InputError:
        return head(path, len(SIGNATURE)) == SIGNATURE


def _describe(path: str, keys: Keys) -> FileInfo:
    """Reads the flags, and of the rows what tells where episodes end."""
    with open_hdf5(path) as file:
        budget = Budget.of(path)
        columns = _find_columns(path, file, keys, budget)
        episodes, told_by = _find_episodes(path, columns, budget)
        left_out = str(len(columns["actions"]) - sum(its.steps for its in episodes))
        facts = {"episode bounds": told_by, "last steps without successor, left out": left_out}
        width, actions = (columns[name].shape[1] for name in ("observations", "actions"))
        goal_size = columns[GOAL].shape[1] if GOAL in columns else 0
        facts |= _metadata_facts(path, file, budget)
        return FileInfo(None, width, actions, len(episodes), facts, goal_size)


def _read(path: str, share: tuple[int, int], keys: Keys) -> Iterator[tuple[int, Episode]]:
    (index, of), budget = share, Budget.of(path)
    with open_hdf5(path) as file:
        columns = _find_columns(path, file, keys, budget)
        episodes, _ = _find_episodes(path, columns, budget)
        chunks = [columns[name].chunks for name in ("observations", "actions", "rewards")]
        rows = max([SPAN_ROWS, *(chunk[0] for chunk in chunks if chunk)])  # none is unpacked twice
        mine = list(enumerate(episodes))[index::of]
        for _, span in groupby(mine, lambda its: its[1].start // rows):
            yield from _read_span(path, columns, list(span))


def _find_columns(path: str, file: Any, keys: Keys, budget: Budget) -> Columns:
    keys = {**keys, **end_keys(path, keys, list(file))}
    there = (name for name in OPTIONAL if name in keys or find(file, name) is not None)
    columns: Columns = {
        name: find_column(path, file, name, budget, keys.get(name, ()))
        for name in (*NEEDED, *there)
    }
    for name in ("observations", "actions"):
        shape: tuple[int, ...] = columns[name].shape or ()
        if 0 in shape:
            raise InputError(f"{path}: {name} has shape {shape}: it is empty: write it again")
        if len(shape) != 2:
            raise InputError(f"{path}: {name} has shape {shape}, not [N, D]: write a row a step")
    steps, width = columns["observations"].shape
    widths = {"observations": width, "next_observations": width}
    widths["actions"] = columns["actions"].shape[1]
    for name, column in columns.items():
        fitting = [(steps, widths[name])] if name in widths else [(steps,), (steps, 1)]
        if column.shape not in fitting:
            raise InputError(
                f"{path}: {name} has shape {column.shape}, {steps} rows of observations "
                f"[N, {width}] need {fitting[0]}: write one row a step in every column"
            )
    if getattr(find(file, GOAL), "shape", None) == (steps, 2) and width >= 2:
        columns[GOAL] = find_column(path, file, GOAL, budget)
    return columns


def _find_episodes(path: str, columns: Columns, budget: Budget) -> tuple[list[_Bounds], str]:
    """Where the episodes are, and what told so."""
    terminals = _read_flags(path, "terminals", columns)
    cuts, told_by = _find_cuts(path, columns, terminals)
    last = np.arange(len(terminals)) == len(terminals) - 1
    ends = np.flatnonzero(terminals | cuts | last)
    budget.take(len(ends) * BOUNDS_BYTES, path)
    starts = np.concatenate([[0], ends[:-1] + 1])
    rows, terminated = ends - starts + 1, terminals[ends]
    steps = rows if "next_observations" in columns else rows - ~terminated
    bounds = (starts, rows, steps, terminated, cuts[ends] & ~terminated)
    episodes = map(_Bounds._make, zip(*(of.tolist() for of in bounds), strict=True))
    return [its for its in episodes if its.steps], told_by


def _read_flags(path: str, name: str, columns: Columns) -> Flags:
    flags = read_rows(path, name, columns[name], 0, len(columns[name])).reshape(-1)
    check_finite(path, 0, **{name: flags})
    return np.asarray(flags != 0)


def _find_cuts(path: str, columns: Columns, terminals: Flags) -> tuple[Flags, str]:
    """Rows after which the clock, not the task, ended an episode; and what told so.

    A row whose successor is not the next row ends an episode whatever the flags say: of a ring
    buffer or of tasks side by side, the next row is another episode's.
    """
    flags = ((name, _read_flags(path, name, columns)) for name in CUTS if name in columns)
    flag, cuts = next((its for its in flags if its[1].any()), ("", np.zeros_like(terminals)))
    if "next_observations" in columns:
        breaks = _find_breaks(path, columns, "next_observations", "observations")
        if not flag:
            told = "terminals and next_observations that differ from the next row; no timeouts"
        elif (breaks & ~cuts & ~terminals).any():
            told = f"terminals, {flag} and next_observations that differ from the next row"
        else:
            told = f"terminals and {flag}"
        return cuts | breaks, told
    if flag:
        return cuts, f"terminals and {flag}"
    if GOAL in columns:
        told = f"terminals and changes of {GOAL}; no timeouts"
        return _find_breaks(path, columns, GOAL, GOAL), told
    return cuts, "terminals only: no timeouts, so that cuts by the clock cannot be seen"


def _find_breaks(path: str, columns: Columns, here: str, following: str) -> Flags:
    """Rows of one column that are not the next row of another."""
    last = len(columns[here]) - 1
    breaks = np.zeros(last + 1, np.bool_)
    for start in range(0, last, SPAN_ROWS):
        stop = min(start + SPAN_ROWS, last)
        ours = read_rows(path, here, columns[here], start, stop)
        theirs = read_rows(path, following, columns[following], start + 1, stop + 1)
        same = np.isclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)
        breaks[start:stop] = ~same.all(axis=1)
    return breaks


def _read_span(
    path: str, columns: Columns, episodes: Sequence[tuple[int, _Bounds]]
) -> Iterator[tuple[int, Episode]]:
    """Read the rows of some episodes together; copies, so that none keeps them all alive."""
    first, last = episodes[0][1].start, episodes[-1][1]
    stop = last.start + last.rows
    names = ("observations", "actions", "rewards", "next_observations", GOAL)
    span = {n: read_rows(path, n, columns[n], first, stop) for n in names if n in columns}
    for number, (start, rows, steps, terminated, truncated) in episodes:
        own = {name: values[start - first :][:rows] for name, values in span.items()}
        successors = own.get("next_observations", own["observations"])
        observations = np.vstack([own["observations"][:steps], successors[-1:]])
        goals = own.get(GOAL)
        yield (
            number,
            Episode(
                observations=observations,
                actions=own["actions"][:steps].copy(),
                rewards=own["rewards"][:steps].reshape(steps).copy(),
                terminated=terminated,
                truncated=truncated,
                origin=Origin("prior", episode=number),
                desired_goals=None if goals is None else np.vstack([goals[:steps], goals[-1:]]),
                achieved_goals=None if goals is None else observations[:, :2].copy(),
            ),
        )


def _metadata_facts(path: str, file: Any, budget: Budget) -> dict[str, str]:
    """Scalars of `metadata`, and the widths of the layers of the policy that acted."""
    facts: dict[str, str] = {}
    for folder in ("metadata", "metadata/policy"):
        for name in find(file, folder) or ():
            found = find(file, f"{folder}/{name}")
            if getattr(found, "shape", None) == () and found.dtype.kind in "biufSO":
                count_bytes(f"{path}: {folder}/{name}", found, budget)
                facts[f"{folder}/{name}".removeprefix("metadata/")] = as_text(found[()])
    policy = find(file, "metadata/policy") or ()
    layers = [*sorted(name for name in policy if name.startswith("fc")), "last_fc"]
    biases = [find(file, f"metadata/policy/{name}/bias") for name in layers if name in policy]
    sizes = [str(bias.size) for bias in biases if hasattr(bias, "size")]
    return facts | ({"policy layers": "-".join(sizes)} if sizes else {})


FORMAT = Format("D4RL HDF5", _looks_like, _describe, _read, choices=(*NEEDED, *OPTIONAL))
