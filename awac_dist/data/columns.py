"""Columns of an episode, checked: numbers of one shape a step, and what becomes of the last step.

The formats that hold lists and dicts of columns share it. What a file may have wrong is refused
with the file, the episode, the column and the remedy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from awac_dist.data.format import Keys
from awac_dist.errors import InputError, naming
from awac_dist.files import Budget
from awac_dist.floats import as_float32, flaw
from awac_dist.types import Array, Episode, Origin

OBSERVATION_KEYS = ("state_observation", "observation")  # the first that a dict has
ENDS: Keys = MappingProxyType({  # by column, the names in use
    "terminals": ("terminals", "terminated", "terminations", "terminateds"),
    "timeouts": ("timeouts", "truncated", "truncations", "truncateds"),
})  # fmt: skip
EITHER = ("dones", "done")  # names of true ends, or of those and cuts by the clock
ALLOWED_GAP = 1e-4  # between an observation and its copy in next_observations


@dataclass(frozen=True)
class Place:
    """Checks the columns of one episode; its errors name where that stands."""

    file: str
    episode: str
    budget: Budget | None = None  # that columns are counted against

    def error(self, column: str, what: str, remedy: str) -> InputError:
        return InputError(f"{self.file}: {self.episode}: {column}: {what}: {remedy}")

    def naming(self, column: str, remedy: str) -> AbstractContextManager[None]:
        """Name the place in whatever a library raises over a column."""
        return naming(f"{self.file}: {self.episode}: {column}", remedy)

    def take(self, count: int) -> None:
        """Count bytes that are to be made."""
        if self.budget is not None:
            self.budget.take(count, f"{self.file}: {self.episode}")

    def check_keys(self, column: str, keys: Iterable[str], there: Iterable[Any]) -> None:
        """Refuse what a column is to be made of and is not there."""
        names = list(there)
        for key in keys:
            if key not in names:
                found = ", ".join(map(ascii, names[:12])) or "nothing"
                remedy = f"add it, or say behind the source what it is called: {column}=KEY"
                raise self.error(column, f"no {key!a} among {found}", remedy)

    def chosen(self, column: str, keys: Sequence[str], there: Mapping[Any, Any]) -> Any:
        """What is under a key; under several, side by side as one column of all their widths."""
        self.check_keys(column, keys, there)
        if len(keys) == 1:
            return there[keys[0]]
        parts = [np.asarray(self._numbers(there[key], key)) for key in keys]
        if len({len(part) if part.ndim else -1 for part in parts}) > 1:
            raise self.error("+".join(keys), "are not alike in steps", "choose others")
        return np.hstack([part.reshape(len(part), -1) for part in parts])

    def matrix(self, column: Any, name: str) -> Array:
        """A column of one vector a step as [n, width] float32; refuses all else.

        NaN is left to those who learn from it, `sources.read_share`, and to those who count it.
        """
        column = self._numbers(column, name)
        if column.ndim != 2:
            remedy = "store one vector a step, [T, width]"
            raise self.error(name, f"has shape {column.shape}", remedy)
        return self._float32(column)

    def vector(self, column: Any, name: str) -> Array:
        """A column of one number a step, [n] or [n, 1], as [n] float32; refuses as `matrix`."""
        column = self._numbers(column, name)
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim != 1:
            raise self.error(name, f"has shape {column.shape}", "store one number a step, [T]")
        return self._float32(column)

    def decisive(self, column: Any, name: str) -> Array:
        """As `vector`, of what says how steps belong together; refuses NaN, too, which cannot."""
        told = self.vector(column, name)
        if found := flaw(told):
            (step, *_), words = found
            raise self.error(name, f"{words} at step {step}", "mend it or leave the episode out")
        return told

    def successor(self, observations: Array, column: Any, steps: int, name: str) -> Array:
        """The last row of a matrix of successors, [O].

        Refuses successors that are not the next observations: an episode stores them once.
        """
        successors = self.matrix(column, name)
        if successors.shape[0] < 1 or successors.shape[1] != observations.shape[1]:
            what = f"has shape {successors.shape}, observations {observations.shape}"
            raise self.error(name, what, "give one a step")
        count = min(len(successors), len(observations) - 1)
        pair = (successors[:count], observations[1 : count + 1])
        gaps = ~np.isclose(*pair, ALLOWED_GAP, ALLOWED_GAP, equal_nan=True).all(axis=1)
        if gaps.any():
            step = int(gaps.argmax())
            what = f"at step {step} is not the observation of step {step + 1}"
            remedy = "put the steps in order, and set timeouts where one is missing"
            raise self.error(name, what, remedy)
        self._check_rows(successors, steps, name)
        return np.asarray(successors[-1])

    def ends(self, column: Any, steps: int, name: str, remedy: str) -> bool:
        """Whether the last of an episode's flags, or its only one, is set; refuses others."""
        if np.ndim(column) == 0:
            column = [0] * (steps - 1) + [self._checked(column, name)]
        flags = self.decisive(column, name) != 0
        self._check_rows(flags, steps, name)
        if flags[:-1].any():
            what = f"ends at step {int(flags.argmax())} of {len(flags)} and goes on"
            raise self.error(name, what, remedy)
        return bool(flags[-1])

    def assemble(
        self,
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
        steps, leave = len(actions), "leave the episode out of the file"
        if not steps:
            raise self.error("actions", "has no steps", leave)
        if len(observations) not in (steps, steps + 1):
            what = f"has {len(observations)} rows for {steps} actions"
            raise self.error("observations", what, f"give {steps} or {steps + 1}")
        self._check_rows(rewards, steps, "rewards")
        if len(observations) == steps:
            if successor is None and terminated:
                successor = observations[-1]
            if successor is not None:
                observations = np.vstack([observations, successor])
            elif steps == 1:
                raise self.error("observations", "its only step has none after it", leave)
            else:
                actions, rewards = actions[:-1], rewards[:-1]
        return Episode(observations, actions, rewards, terminated, truncated, origin)

    def check_widths(self, episode: Episode, wanted: tuple[int, int]) -> None:
        """Refuse an episode whose vectors are wider or narrower than the first episode's."""
        names = ("observations", "actions")
        for name, found, width in zip(names, widths(episode), wanted, strict=True):
            if found != width:
                what = f"is {found} wide, in the first episode {width}"
                raise self.error(name, what, "keep the data of different tasks in different files")

    def _check_rows(self, column: Any, steps: int, name: str) -> None:
        if len(column) != steps:
            raise self.error(name, f"has {len(column)} rows for {steps} actions", "give as many")

    def _numbers(self, column: Any, name: str) -> Any:
        """A column as an array of numbers, whatever it holds its steps in."""
        is_array = isinstance(column, np.ndarray)
        listed = is_array and column.dtype.kind == "O" and column.ndim == 1
        if not listed and not isinstance(column, list | tuple):
            return np.asarray(self._checked(column, name))
        steps = [self._looked_up(step, name) for step in column]
        sizes = (len(s) if isinstance(s, list | tuple) else int(np.size(s)) for s in steps)
        self.take(8 * sum(sizes))
        steps = [self._checked(step, name) for step in steps]
        shapes = {np.shape(step) for step in steps}
        if len(shapes) > 1:
            found = " and ".join(map(str, sorted(shapes)[:2]))
            raise self.error(name, f"is ragged: steps of shape {found}", "store equal steps")
        return self._checked(np.asarray(steps), name)

    def _looked_up(self, step: Any, name: str) -> Any:
        """One step's vector: itself, or what a dict of observations holds under a known key."""
        if not isinstance(step, dict):
            return step
        for key in OBSERVATION_KEYS:
            if key in step:
                return step[key]
        what = f"is a dict of {', '.join(map(ascii, list(step)[:5]))}"
        remedy = f"store one vector under {' or '.join(OBSERVATION_KEYS)}, as gymnasium's "
        raise self.error(name, what, f"{remedy}FlattenObservation makes it")

    def _checked(self, column: Any, name: str) -> Any:
        """A column or one step of it as NumPy has it; refuses what is no array of numbers."""
        if isinstance(column, list | tuple):
            numbers = all(isinstance(n, int | float | np.number) for n in column)
            column = np.asarray(column) if numbers else None
        kind = column.dtype.kind if isinstance(column, np.ndarray | np.generic) else ""
        if kind not in tuple("biuf") and not isinstance(column, int | float):
            found = f"of {column.dtype}" if kind else f"a {type(column).__name__}"
            raise self.error(name, f"is {found}, not numbers", "store floats")
        return column

    def _float32(self, column: Any) -> Array:
        self.take(8 * column.size)
        return as_float32(column)


def end_keys(place: str, keys: Keys, there: Collection[Any]) -> Keys:
    """What flags of ends are called: as the user says, or by a name in use.

    Refuses a name that may mean either, where nothing else tells of true ends.
    """
    found = {name: next((k for k in known if k in there), "") for name, known in ENDS.items()}
    named = {name: keys.get(name) or (key,) for name, key in found.items() if key or name in keys}
    unsure = [name for name in EITHER if name in there and (name,) not in named.values()]
    if unsure and "terminals" not in named:
        what = "may be true ends, or cuts by the clock: say which behind the source"
        remedy = " or ".join(f"{column}={unsure[0]}" for column in ENDS)
        raise InputError(f"{place}: {unsure[0]}: {what}: {remedy}")
    return named


def widths(episode: Episode) -> tuple[int, int]:
    """O and A."""
    return episode.observations.shape[1], episode.actions.shape[1]


def check_finite(place: str, first_row: int, **columns: Array | None) -> None:
    """Refuse what `floats.flaw` finds, naming row and column; [T] or [T, D] each."""
    for name, values in columns.items():
        if values is not None and (found := flaw(values)):
            (row, *_), words = found
            raise InputError(
                f"{place}, row {first_row + row}: {name} is {words}: drop that episode"
            )
