"""D4RL HDF5: one row a step, the episodes one after another in flat columns.

An episode ends where `terminals` or `timeouts` is set. It terminated where `terminals` is, also
where both are; it was truncated where only `timeouts` is. After the last row comes nothing: an
episode open there is a fragment that neither terminated nor was truncated. AntMaze's `terminals`
are goal flags and its paths run on past them: what follows a flag is an episode of its own.

The successor of an episode's last step is its row of `next_observations`. Without that column
the last step of an episode that did not terminate is left out, and one that terminated repeats
its last observation, which no loss sees; the next reset is never a successor.

A file without `timeouts` does not say where the clock cut. Then an episode also ends where
`next_observations` is not the next row's observation; without that column where `infos/goal`
changes; and where neither is there at `terminals` alone, so that a cut by the clock cannot be
told from a step. `facts["episode bounds"]` says which of these was done.

Goals are filled where `infos/goal` [N, 2] is: x and y, achieved by an observation's first two
entries. `virtual/*` and the other `infos/*` are left alone.
Source: D4RL's offline_env.py and `qlearning_dataset`, https://github.com/Farama-Foundation/D4RL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from awac_dist.data.columns import check_finite
from awac_dist.data.format import FileInfo, Format, as_text
from awac_dist.data.formats.hdf5 import find_column, open_hdf5, read_rows
from awac_dist.errors import InputError
from awac_dist.files import head
from awac_dist.types import Array, Episode, Origin

Columns = dict[str, Any]  # h5py datasets by name
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

NEEDED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
GOAL = "infos/goal"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SPAN_ROWS = 20_000  # rows a read: large beside a call of h5py, small beside a file


class _Bounds(NamedTuple):
    """Where the K episodes are; each array [K]."""

    starts: Numbers  # first rows
    rows: Numbers  # how many each has in the file
    steps: Numbers  # of them, those with a successor or none to have
    terminated: Flags
    truncated: Flags


def looks_like(path: str) -> bool:
    """Whether D4RL's columns are there; also HDF5 that nobody can open: `describe` says why."""
    try:
        with open_hdf5(path) as file:
            return "observations" in file or "actions" in file
    except InputError:
        return head(path, len(SIGNATURE)) == SIGNATURE


def describe(path: str) -> FileInfo:
    """What the file says of itself; reads its flags, and its rows only without `timeouts`."""
    with open_hdf5(path) as file:
        columns = _find_columns(path, file)
        bounds, told_by = _find_bounds(path, columns)
        left_out = str(len(columns["actions"]) - int(bounds.steps.sum()))
        facts = {"episode bounds": told_by, "last steps without successor, left out": left_out}
        width, actions = (columns[name].shape[1] for name in ("observations", "actions"))
        facts |= _metadata_facts(file)
        goal_size = columns[GOAL].shape[1] if GOAL in columns else 0
        return FileInfo(None, width, actions, len(bounds.starts), facts, goal_size)


def read_episodes(path: str, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of every episode that falls to share (index, of how many)."""
    index, of = share
    with open_hdf5(path) as file:
        columns = _find_columns(path, file)
        bounds, _ = _find_bounds(path, columns)
        for numbers in _spans(bounds, columns):
            mine = [int(number) for number in numbers if number % of == index]
            if mine:
                yield from _read_span(path, columns, bounds, mine)


def _find_columns(path: str, file: Any) -> Columns:
    names = [*NEEDED, *(name for name in OPTIONAL if name in file)]
    columns = {name: find_column(path, file, name) for name in names}
    for name in ("observations", "actions"):
        shape: tuple[int, ...] = columns[name].shape or ()
        if len(shape) != 2 or 0 in shape:
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
    if getattr(file.get(GOAL), "shape", None) == (steps, 2) and width >= 2:
        columns[GOAL] = find_column(path, file, GOAL)
    return columns


def _find_bounds(path: str, columns: Columns) -> tuple[_Bounds, str]:
    terminals = _read_flags(path, "terminals", columns)
    cuts, told_by = _find_cuts(path, columns)
    ends = np.flatnonzero(terminals | cuts)
    if len(ends) == 0 or ends[-1] != len(terminals) - 1:
        ends = np.append(ends, len(terminals) - 1)
    starts = np.concatenate([[0], ends[:-1] + 1])
    rows, terminated = ends - starts + 1, terminals[ends]
    steps = rows if "next_observations" in columns else rows - ~terminated
    bounds = _Bounds(starts, rows, steps, terminated, cuts[ends] & ~terminated)
    return _Bounds(*(column[steps > 0] for column in bounds)), told_by


def _read_flags(path: str, name: str, columns: Columns) -> Flags:
    flags = read_rows(path, name, columns[name], 0, len(columns[name])).reshape(-1)
    check_finite(path, 0, **{name: flags})
    return np.asarray(flags != 0)


def _find_cuts(path: str, columns: Columns) -> tuple[Flags, str]:
    """Rows after which the clock, not the task, ended an episode; and what told so."""
    if "timeouts" in columns:
        return _read_flags(path, "timeouts", columns), "terminals and timeouts"
    cuts = np.zeros(len(columns["observations"]), np.bool_)
    if "next_observations" in columns:
        cuts[:-1] = _changes(path, columns, "next_observations", "observations")
        return cuts, "terminals and next_observations that differ from the next row; no timeouts"
    if GOAL in columns:
        cuts[:-1] = _changes(path, columns, GOAL, GOAL)
        return cuts, f"terminals and changes of {GOAL}; no timeouts"
    return cuts, "terminals only: no timeouts, so that cuts by the clock cannot be seen"


def _changes(path: str, columns: Columns, here: str, following: str) -> Flags:
    """For each row but the last: whether `here` differs from `following` of the next row."""
    last = len(columns[here]) - 1
    found = np.zeros(last, np.bool_)
    for start in range(0, last, SPAN_ROWS):
        stop = min(start + SPAN_ROWS, last)
        ours = read_rows(path, here, columns[here], start, stop)
        theirs = read_rows(path, following, columns[following], start + 1, stop + 1)
        found[start:stop] = ~np.isclose(ours, theirs, rtol=1e-5, atol=1e-6).all(axis=1)
    return found


def _spans(bounds: _Bounds, columns: Columns) -> list[Numbers]:
    """Numbers of the episodes, in groups whose rows are read together."""
    chunks = [columns[name].chunks for name in ("observations", "actions", "rewards")]
    rows = max([SPAN_ROWS, *(chunk[0] for chunk in chunks if chunk)])  # none is unpacked twice
    borders = np.flatnonzero(np.diff(bounds.starts // rows)) + 1
    return np.split(np.arange(len(bounds.starts)), borders)


def _read_span(
    path: str, columns: Columns, bounds: _Bounds, numbers: Sequence[int]
) -> Iterator[tuple[int, Episode]]:
    first = int(bounds.starts[numbers[0]])
    stop = int((bounds.starts + bounds.rows)[numbers[-1]])
    names = ("observations", "actions", "rewards", "next_observations", GOAL)
    span = {n: read_rows(path, n, columns[n], first, stop) for n in names if n in columns}
    for number in numbers:
        start, rows = int(bounds.starts[number]), int(bounds.rows[number])
        own = {name: values[start - first :][:rows] for name, values in span.items()}
        check_finite(f"{path}: episode {number}", start, **own)
        yield number, _episode(own, bounds, number)


def _episode(own: dict[str, Array], bounds: _Bounds, number: int) -> Episode:
    """One episode of its rows; copies, so that none keeps a whole span alive."""
    steps = int(bounds.steps[number])
    successors = own.get("next_observations", own["observations"])
    observations = np.vstack([own["observations"][:steps], successors[-1:]])
    goals = own.get(GOAL)
    return Episode(
        observations=observations,
        actions=own["actions"][:steps].copy(),
        rewards=own["rewards"][:steps].reshape(steps).copy(),
        terminated=bool(bounds.terminated[number]),
        truncated=bool(bounds.truncated[number]),
        origin=Origin("prior", episode=number),
        desired_goals=None if goals is None else np.vstack([goals[:steps], goals[-1:]]),
        achieved_goals=None if goals is None else observations[:, :2].copy(),
    )


def _metadata_facts(file: Any) -> dict[str, str]:
    """Scalars of `metadata`, and the widths of the layers of the policy that acted."""
    facts: dict[str, str] = {}
    for folder in ("metadata", "metadata/policy"):
        for name, found in (file.get(folder) or {}).items():
            if getattr(found, "shape", None) == () and found.dtype.kind in "biufSO":
                facts[f"{folder}/{name}".removeprefix("metadata/")] = as_text(found[()])
    policy = file.get("metadata/policy") or {}
    layers = [*sorted(name for name in policy if name.startswith("fc")), "last_fc"]
    biases = [policy[f"{n}/bias"] for n in layers if f"{n}/bias" in policy]
    return facts | ({"policy layers": "-".join(str(b.size) for b in biases)} if biases else {})


FORMAT = Format("D4RL HDF5", looks_like, describe, read_episodes)
