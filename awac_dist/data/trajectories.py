"""Lists of trajectory dicts: the demonstrations of the hand tasks, and AWAC's own `.npy`.

Both hold one dict a trajectory: `observations` (an array, or a dict a step), `actions`,
`rewards`, and perhaps `next_observations` and `terminals`. The first is a pickle of a list
(Rajeswaran et al., 2018), the second an object array (Nair et al., 2020). reward[t] belongs
to action[t] and to the observation after it.

A file without `next_observations` may not hold the observation after its last action. Then
the last step is left out, unless it terminated: what follows is never looked at, and its own
observation stands in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from awac_dist.data.formats import FileInfo, Format
from awac_dist.data.restricted_pickle import (
    head,
    holds_objects,
    load_npy,
    load_pickle,
    size_limit,
)
from awac_dist.errors import InputError
from awac_dist.types import Array, Episode, Kind, Origin

REQUIRED = ("observations", "actions", "rewards")
OBSERVATION_KEYS = ("state_observation", "observation")  # the first that a dict has
HEAD_BYTES = 256
PICKLE_HEAD = re.compile(
    rb"\x80[\x02-\x05]"  # protocols 2 to 5 say so
    rb"|\(lp?\d*\n?.{0,8}\(d"  # protocols 0 and 1: a list that opens with a dict
    rb"|\](q.)?\(?\}(q.)?"
    rb"|[ci][\w.]+\n[\w.]+\n"  # a name to import: recognised to be refused by its name
    rb"|\([ci][\w.]+\n[\w.]+\n",
    re.DOTALL,
)
ALLOWED_GAP = 1e-4  # between an observation and its copy in next_observations


@dataclass(frozen=True)
class Place:
    """Where a column stands, for its errors, and the bytes that it may take."""

    file: str
    episode: str
    limit_bytes: float = float("inf")

    def error(self, column: str, what: str, remedy: str) -> InputError:
        return InputError(f"{self.file}: {self.episode}: {column}: {what}: {remedy}")


def matrix(column: Any, place: Place, name: str) -> Array:
    """A column of one vector a step as [n, width] float32.

    Raises:
        InputError: It is ragged, of another shape, no numbers, or not finite.
    """
    if _is_sequence(column):
        column = _stack(_steps(column, place, name), place, name)
    column = np.asarray(_checked(column, place, name))
    if column.ndim != 2:
        raise place.error(name, f"has shape {column.shape}", "store one vector a step, [T, width]")
    return _finite(column, place, name)


def vector(column: Any, place: Place, name: str) -> Array:
    """A column of one number a step, [n] or [n, 1], as [n] float32.

    Raises:
        InputError: As for a matrix.
    """
    if _is_sequence(column):
        steps = [np.asarray(step).ravel() for step in _steps(column, place, name)]
        column = _stack(steps, place, name)
    column = np.asarray(_checked(column, place, name))
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise place.error(name, f"has shape {column.shape}", "store one number a step, [T]")
    return _finite(column, place, name)


def assemble(
    place: Place,
    observations: Array,
    actions: Array,
    rewards: Array,
    *,
    successor: Array | None,
    terminated: bool,
    truncated: bool,
    origin: Origin,
) -> Episode:
    """Columns -> episode, its last step with a successor or left out.

    Args:
        place: For errors.
        observations: [T, O], or [T+1, O] with the last successor.
        actions: [T, A]
        rewards: [T]
        successor: [O] after the last action, where the file tells.
        terminated: Whether the last step ended the task.
        truncated: Whether the clock cut it.
        origin: Who made it.
    """
    steps = len(actions)
    if not steps:
        raise place.error("actions", "has no steps", "leave the episode out of the file")
    if len(observations) not in (steps, steps + 1):
        raise place.error(
            "observations",
            f"has {len(observations)} rows for {steps} actions",
            f"give {steps} or {steps + 1}",
        )
    if len(rewards) != steps:
        raise place.error("rewards", f"has {len(rewards)} rows for {steps} actions", "give as many")
    if len(observations) == steps:
        if successor is None and terminated:
            successor = observations[-1]
        if successor is not None:
            observations = np.vstack([observations, successor])
        elif steps == 1:
            raise place.error(
                "observations",
                "its only step has no observation after it",
                "leave the episode out of the file",
            )
        else:
            actions, rewards = actions[:-1], rewards[:-1]
    return Episode(observations, actions, rewards, terminated, truncated, origin)


def check_successors(observations: Array, successors: Array, place: Place, name: str) -> None:
    """Refuse successors that are not the next observations: an episode stores them once."""
    if successors.shape[0] < 1 or successors.shape[1] != observations.shape[1]:
        raise place.error(
            name,
            f"has shape {successors.shape}, observations {observations.shape}",
            "give one a step",
        )
    count = min(len(successors), len(observations) - 1)
    gaps = ~np.isclose(successors[:count], observations[1 : count + 1], ALLOWED_GAP, ALLOWED_GAP)
    if gaps.any():
        step = int(gaps.any(axis=1).argmax())
        raise place.error(
            name,
            f"at step {step} is not the observation of step {step + 1}",
            "put the steps in order, and split the episode where one is missing",
        )


def check_widths(episode: Episode, wanted: tuple[int, int], place: Place) -> None:
    """Refuse an episode whose vectors are wider or narrower than the first episode's."""
    for name, width in zip(("observations", "actions"), wanted, strict=True):
        found = getattr(episode, name).shape[1]
        if found != width:
            raise place.error(
                name,
                f"is {found} wide, in the first episode {width}",
                "keep the data of different tasks in different files",
            )


def _is_sequence(column: Any) -> bool:
    return isinstance(column, list | tuple) or (
        isinstance(column, np.ndarray) and column.dtype.kind == "O" and column.ndim == 1
    )


def _steps(column: Any, place: Place, name: str) -> list[Any]:
    """Each step's numbers, never more of them than the file can mean."""
    steps = [_looked_up(step, place, name) for step in column]
    size = 8 * sum(len(s) if isinstance(s, list | tuple) else int(np.size(s)) for s in steps)
    if size > place.limit_bytes:  # the same object again and again
        raise place.error(name, f"repeats itself to {size} bytes", "write it out in full")
    return [_checked(_from_list(step), place, name) for step in steps]


def _looked_up(step: Any, place: Place, name: str) -> Any:
    """One step's vector: itself, or what a dict of observations holds under a known key."""
    if not isinstance(step, dict):
        return step
    for key in OBSERVATION_KEYS:
        if key in step:
            return step[key]
    found = ", ".join(map(ascii, list(step)[:5]))
    raise place.error(
        name, f"is a dict of {found}", f"store one vector under {' or '.join(OBSERVATION_KEYS)}"
    )


def _from_list(step: Any) -> Any:
    if not isinstance(step, list | tuple):
        return step
    return np.asarray(step) if all(isinstance(n, int | float | np.number) for n in step) else None


def _stack(steps: list[Any], place: Place, name: str) -> Any:
    """Rows side by side, all of one shape."""
    shapes = {np.shape(step) for step in steps}
    if len(shapes) > 1:
        widths = " and ".join(map(str, sorted(shapes)[:2]))
        raise place.error(name, f"is ragged: steps of shape {widths}", "store equal steps")
    return np.asarray(steps)


def _checked(column: Any, place: Place, name: str) -> Any:
    """Refuse what is no array of numbers."""
    kind = column.dtype.kind if isinstance(column, np.ndarray | np.generic) else ""
    if kind not in tuple("biuf") and not isinstance(column, int | float):
        found = f"of {column.dtype}" if kind else f"a {type(column).__name__}"
        raise place.error(name, f"is {found}, not numbers", "store floats")
    return column


def _finite(column: Any, place: Place, name: str) -> Array:
    with np.errstate(over="ignore"):
        column = np.ascontiguousarray(column, dtype=np.float32)
    wrong = ~np.isfinite(column)
    if wrong.any():
        step = int(wrong.reshape(len(column), -1).any(axis=1).argmax())
        raise place.error(
            name, f"NaN or infinite at step {step}", "mend it or leave the episode out"
        )
    return np.asarray(column)


# One trajectory, one file.


def _episode(trajectory: Any, place: Place, number: int, kind: Kind) -> Episode:
    if not isinstance(trajectory, dict):
        raise place.error("columns", f"is a {type(trajectory).__name__}", "store one dict each")
    for name in REQUIRED:
        if name not in trajectory:
            found = ", ".join(map(ascii, list(trajectory)[:8])) or "nothing"
            raise place.error(name, f"is missing, there is {found}", "add it")
    observations = matrix(trajectory["observations"], place, "observations")
    actions = matrix(trajectory["actions"], place, "actions")
    terminated = _terminated(trajectory, len(actions), place)
    return assemble(
        place,
        observations,
        actions,
        _rewards(trajectory["rewards"], len(actions), place),
        successor=_successor(trajectory, observations, len(actions), place),
        terminated=terminated,
        truncated=not terminated,
        origin=Origin(kind, episode=number),
    )


def _rewards(column: Any, steps: int, place: Place) -> Array:
    """One a step; the hand demonstrations have one more at the end, for no action."""
    rewards = vector(column, place, "rewards")
    return rewards[:-1] if steps and len(rewards) == steps + 1 else rewards


def _terminated(trajectory: dict[Any, Any], steps: int, place: Place) -> bool:
    if trajectory.get("terminals") is None or not steps:
        return False
    terminals = vector(trajectory["terminals"], place, "terminals") != 0
    if len(terminals) != steps:
        raise place.error(
            "terminals", f"has {len(terminals)} rows for {steps} actions", "give as many"
        )
    if terminals[:-1].any():
        raise place.error(
            "terminals",
            f"ends at step {int(terminals.argmax())} of {steps} and goes on",
            "split the trajectory there",
        )
    return bool(terminals[-1])


def _successor(
    trajectory: dict[Any, Any], observations: Array, steps: int, place: Place
) -> Array | None:
    if trajectory.get("next_observations") is None or not steps:
        return None
    successors = matrix(trajectory["next_observations"], place, "next_observations")
    check_successors(observations, successors, place, "next_observations")
    if len(successors) != steps:
        raise place.error(
            "next_observations", f"has {len(successors)} rows for {steps} actions", "give as many"
        )
    return np.asarray(successors[-1])


Load = Callable[[str], Any]


def _load_list(path: str) -> list[Any]:
    return _listed(path, load_pickle(path))


def _load_array(path: str) -> list[Any]:
    found = load_npy(path)
    return _listed(path, found[0] if len(found) == 1 and isinstance(found[0], list) else found)


def _listed(path: str, found: Any) -> list[Any]:
    if isinstance(found, np.ndarray) and found.dtype.kind == "O":
        found = list(found.ravel())
    if not isinstance(found, list | tuple) or not found:
        what = "nothing" if isinstance(found, list | tuple) else f"a {type(found).__name__}"
        raise InputError(f"{path}: holds {what}: store a list of dicts, one a trajectory")
    return list(found)


def _read(
    path: str, share: tuple[int, int], load: Load, kind: Kind
) -> Iterator[tuple[int, Episode]]:
    trajectories, limit = load(path), size_limit(path)
    index, of = share
    widths: tuple[int, int] | None = None
    for number in sorted({0, *range(index, len(trajectories), of)}):
        place = Place(path, f"episode {number}", limit)
        episode = _episode(trajectories[number], place, number, kind)
        widths = widths or (episode.observations.shape[1], episode.actions.shape[1])
        check_widths(episode, widths, place)
        if number % of == index:
            yield number, episode


def _describe(path: str, load: Load, kind: Kind) -> FileInfo:
    trajectories = load(path)
    lengths, ended, widths = [], [], (0, 0)
    for _, episode in _read(path, (0, 1), lambda _: trajectories, kind):
        lengths.append(len(episode))
        ended.append(episode.terminated)
        widths = (episode.observations.shape[1], episode.actions.shape[1])
    steps = sum(len(trajectory["actions"]) for trajectory in trajectories)
    return FileInfo(None, *widths, len(lengths), _facts(steps, lengths, ended))


def _facts(steps: int, lengths: list[int], ended: list[bool]) -> dict[str, str]:
    facts = {"steps in the file": f"{steps:,}", "transitions": f"{sum(lengths):,}"}
    if steps > sum(lengths):
        facts["left out"] = (
            f"{steps - sum(lengths):,} last steps: the observation after them is not in the file"
        )
    longest = max(lengths)
    at_limit = [end for length, end in zip(lengths, ended, strict=True) if length == longest]
    if len(at_limit) > 1 and any(at_limit):
        facts["terminals"] = (
            f"{sum(at_limit)} of the {len(at_limit)} longest episodes, all of {longest:,} steps, "
            "end with a terminal at their last step: kept, but it may be a time limit"
        )
    return facts


def _is_pickle(path: str) -> bool:
    return PICKLE_HEAD.match(head(path, HEAD_BYTES)) is not None


DEMONSTRATIONS = Format(
    "demonstration pickle",
    _is_pickle,
    lambda path: _describe(path, _load_list, "demonstration"),
    lambda path, share: _read(path, share, _load_list, "demonstration"),
)
AWAC_NPY = Format(
    "AWAC .npy",
    holds_objects,
    lambda path: _describe(path, _load_array, "prior"),
    lambda path, share: _read(path, share, _load_array, "prior"),
)
FORMATS = (DEMONSTRATIONS, AWAC_NPY)
