"""Within which bounds the actions of some data should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from awac_dist.data.format import FileInfo
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.types import Array


class Bounds(NamedTuple):
    """Lowest and highest actions, each one number or [A], and where they come from in words."""

    low: Array
    high: Array
    origin: str

    def outside(self, actions: Array) -> np.ndarray:
        """Which entries [T, A] leave the bounds; NaN does not."""
        return (actions < self.low) | (actions > self.high)


def action_bounds(infos: Sequence[FileInfo], env_id: str | None = None) -> Bounds:
    """Bounds of the one task that files name, or the user; [-1, 1] where that is not known.

    Raises:
        InputError: The task that the user named cannot be made, or has other actions.
    """
    stated = {info.env_id for info in infos if info.env_id} if env_id is None else {env_id}
    if len(stated) != 1:
        return _assumed("the files are of several tasks" if stated else "no task is stated")
    (task,) = stated
    if env_id is None and ":" in task:  # Gymnasium would import the module that a file names
        return _assumed(f"{task} is not a plain id")
    try:
        spec = env_spec(task)
    except InputError:
        if env_id is not None:
            raise
        return _assumed(f"{task} cannot be made here")
    others = {info.action_size for info in infos} - {spec.action_size}
    if not others:
        low, high = (np.array(edge, np.float32) for edge in (spec.action_low, spec.action_high))
        return Bounds(low, high, f"the bounds of {task}")
    if env_id is None:
        return _assumed(f"{task} has other actions")
    raise InputError(
        f"actions of {others.pop()} numbers are not those of {task}, "
        f"which has {spec.action_size}: give its data"
    )


def _assumed(reason: str) -> Bounds:
    one = np.ones(1, np.float32)
    return Bounds(-one, one, f"[-1, 1], as {reason}")
