"""Columns of an episode, checked: numbers of one shape a step, and what becomes of the last step.

The formats that hold lists and dicts of columns share it. What a file may have wrong is refused
with the file, the episode, the column and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from awac_dist.errors import InputError
from awac_dist.types import Array, Episode, Origin

OBSERVATION_KEYS = ("state_observation", "observation")  # the first that a dict has
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
    """A column of one vector a step as [n, width] float32; refuses all else, and NaN."""
    column = _numbers(column, place, name)
    if column.ndim != 2:
        raise place.error(name, f"has shape {column.shape}", "store one vector a step, [T, width]")
    return _finite(column, place, name)


def vector(column: Any, place: Place, name: str) -> Array:
    """A column of one number a step, [n] or [n, 1], as [n] float32; refuses all else, and NaN."""
    column = _numbers(column, place, name)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise place.error(name, f"has shape {column.shape}", "store one number a step, [T]")
    return _finite(column, place, name)


def assemble(
    place: Place,
    observations: Array,  # [T, O], or [T+1, O] with the last successor
    actions: Array,  # [T, A]
    rewards: Array,  # [T]
    *,
    successor: Array | None,  # [O] after the last action, where the file tells
    terminated: bool,
    truncated: bool,
    origin: Origin,
) -> Episode:
    """Columns -> episode, its last step with a successor or left out."""
    steps = len(actions)
    if not steps:
        raise place.error("actions", "has no steps", "leave the episode out of the file")
    if len(observations) not in (steps, steps + 1):
        what = f"has {len(observations)} rows for {steps} actions"
        raise place.error("observations", what, f"give {steps} or {steps + 1}")
    check_rows(rewards, steps, place, "rewards")
    if len(observations) == steps:
        if successor is None and terminated:
            successor = observations[-1]
        if successor is not None:
            observations = np.vstack([observations, successor])
        elif steps == 1:
            what = "its only step has no observation after it"
            raise place.error("observations", what, "leave the episode out of the file")
        else:
            actions, rewards = actions[:-1], rewards[:-1]
    return Episode(observations, actions, rewards, terminated, truncated, origin)


def check_rows(column: Array, steps: int, place: Place, name: str) -> None:
    """Refuse a column that has not one row an action."""
    if len(column) != steps:
        raise place.error(name, f"has {len(column)} rows for {steps} actions", "give as many")


def check_successors(observations: Array, successors: Array, place: Place, name: str) -> None:
    """Refuse successors that are not the next observations: an episode stores them once."""
    if successors.shape[0] < 1 or successors.shape[1] != observations.shape[1]:
        what = f"has shape {successors.shape}, observations {observations.shape}"
        raise place.error(name, what, "give one a step")
    count = min(len(successors), len(observations) - 1)
    gaps = ~np.isclose(successors[:count], observations[1 : count + 1], ALLOWED_GAP, ALLOWED_GAP)
    if gaps.any():
        step = int(gaps.any(axis=1).argmax())
        what = f"at step {step} is not the observation of step {step + 1}"
        remedy = "put the steps in order, and split the episode where one is missing"
        raise place.error(name, what, remedy)


def ends_once(flags: Any, place: Place, name: str, remedy: str) -> bool:
    """Whether the last of an episode's flags, [T], is set; refuses one that is set before."""
    if flags[:-1].any():
        what = f"ends at step {int(flags.argmax())} of {len(flags)} and goes on"
        raise place.error(name, what, remedy)
    return bool(flags[-1])


def widths(episode: Episode) -> tuple[int, int]:
    """O and A."""
    return episode.observations.shape[1], episode.actions.shape[1]


def check_widths(episode: Episode, wanted: tuple[int, int], place: Place) -> None:
    """Refuse an episode whose vectors are wider or narrower than the first episode's."""
    names = ("observations", "actions")
    for name, found, width in zip(names, widths(episode), wanted, strict=True):
        if found != width:
            what = f"is {found} wide, in the first episode {width}"
            raise place.error(name, what, "keep the data of different tasks in different files")


def check_finite(place: str, first_row: int, **columns: Array | None) -> None:
    """Refuse NaN and infinity, naming row and column; [T] or [T, D] each."""
    for name, values in columns.items():
        if values is not None and not np.isfinite(values).all():
            row = first_row + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(
                f"{place}, row {row}: {name} is NaN or infinite: drop that episode; "
                "`awac-dist data validate` lists all such places"
            )


def _numbers(column: Any, place: Place, name: str) -> Any:
    """A column as an array of numbers, whatever it holds its steps in."""
    is_array = isinstance(column, np.ndarray)
    listed = is_array and column.dtype.kind == "O" and column.ndim == 1
    if not listed and not isinstance(column, list | tuple):
        return np.asarray(_checked(column, place, name))
    steps = [_looked_up(step, place, name) for step in column]
    size = 8 * sum(len(s) if isinstance(s, list | tuple) else int(np.size(s)) for s in steps)
    if size > place.limit_bytes:  # the same object again and again
        raise place.error(name, f"repeats itself to {size} bytes", "write it out in full")
    steps = [_checked(_from_list(step), place, name) for step in steps]
    shapes = {np.shape(step) for step in steps}
    if len(shapes) > 1:
        found = " and ".join(map(str, sorted(shapes)[:2]))
        raise place.error(name, f"is ragged: steps of shape {found}", "store equal steps")
    return _checked(np.asarray(steps), place, name)


def _looked_up(step: Any, place: Place, name: str) -> Any:
    """One step's vector: itself, or what a dict of observations holds under a known key."""
    if not isinstance(step, dict):
        return step
    for key in OBSERVATION_KEYS:
        if key in step:
            return step[key]
    what = f"is a dict of {', '.join(map(ascii, list(step)[:5]))}"
    raise place.error(name, what, f"store one vector under {' or '.join(OBSERVATION_KEYS)}")


def _from_list(step: Any) -> Any:
    if not isinstance(step, list | tuple):
        return step
    return np.asarray(step) if all(isinstance(n, int | float | np.number) for n in step) else None


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
        what = f"NaN or infinite at step {np.argwhere(wrong)[0, 0]}"
        raise place.error(name, what, "mend it or leave the episode out")
    return np.asarray(column)
