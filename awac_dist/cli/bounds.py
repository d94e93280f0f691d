"""Within which bounds the actions of some data should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from warnings import catch_warnings

import numpy as np

from awac_dist.data.format import FileInfo
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.types import Array


class Bounds(NamedTuple):
    """Lowest and highest actions, each [A], and where they come from in words.

    What nobody knows is from minus to plus infinity; then `origin` says why, and what helps.
    """

    low: Array
    high: Array
    origin: str
    steps: int | None = None  # after which the task's clock cuts an episode, where that is known

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    def outside(self, actions: Array) -> np.ndarray:
        """Which entries [T, A] leave the bounds; NaN does not."""
        return (actions < self.low) | (actions > self.high)


def action_bounds(infos: Sequence[FileInfo], env_id: str | None = None) -> Bounds:
    """Bounds of the task that the user names, else of the one that files name or state.

    Raises InputError where the task that the user named cannot be made, or has other actions.
    """
    stated = {info.env_id for info in infos if info.env_id} if env_id is None else {env_id}
    if len(stated) != 1:
        return _stated(infos, "the files are of several tasks" if stated else "no task is stated")
    (task,) = stated
    if env_id is None and ":" in task:  # Gymnasium would import the module that a file names
        return _stated(infos, f"{task} is not a plain id")
    try:
        with catch_warnings(action="ignore"):  # of a name without a version, such as robomimic's
            spec = env_spec(task)
    except InputError:
        if env_id is not None:
            raise
        return _stated(infos, f"{task} cannot be made here")
    others = {info.action_size for info in infos} - {spec.action_size}
    if not others:
        bounds = _bounds(spec.action_low, spec.action_high, f"the bounds of {task}")
        return bounds._replace(steps=spec.max_episode_steps)
    if env_id is None:
        return _stated(infos, f"{task} has other actions")
    raise InputError(
        f"actions of {others.pop()} numbers are not those of {task}, "
        f"which has {spec.action_size}: give its data"
    )


def _stated(infos: Sequence[FileInfo], reason: str) -> Bounds:
    """The bounds that all files state alike, else those that nobody knows for this reason."""
    stated = {info.bounds for info in infos}
    both = stated.pop() if len(stated) == 1 else None
    if both is not None and all(low < high for low, high in zip(*both, strict=True)):
        return _bounds(*both, "the bounds that the data states")
    return _bounds((-np.inf,), (np.inf,), f"not known, as {reason}: give --env ID")


def _bounds(low: Sequence[float], high: Sequence[float], origin: str) -> Bounds:
    return Bounds(np.array(low, np.float32), np.array(high, np.float32), origin)
