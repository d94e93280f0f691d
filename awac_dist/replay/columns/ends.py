"""Where a transition's episode began, how far it is known, and who made it."""

from __future__ import annotations

from collections.abc import Mapping

from awac_dist.replay.columns.taken import Taken
from awac_dist.types import Array


def initial_observations(taken: Taken, columns: Mapping[str, Array]) -> None:
    """The first observation of the episode, or the first that is known."""
    columns["initial_observations"][:] = taken.with_goals(taken.rest.initial)


def final_observations(taken: Taken, columns: Mapping[str, Array]) -> None:
    """The last observation of the episode that is known."""
    last = taken.after(taken.rest.remaining - 1)[:, taken.layout.next_observations]
    columns["final_observations"][:] = taken.with_goals(last)


def is_online(taken: Taken, columns: Mapping[str, Array]) -> None:
    """1 for online experience, 0 for prior data."""
    columns["is_online"][:] = taken.online
