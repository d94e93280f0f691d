"""Columns on demand: what a method may need of a transition besides the five base columns.

`NEEDS` of `replay.layout` says what each need brings, and in which shape; here is who fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from awac_dist.replay.columns.ends import final_observations, initial_observations, is_online
from awac_dist.replay.columns.returns import returns
from awac_dist.replay.columns.stretches import next_actions, segments
from awac_dist.replay.columns.taken import Taken
from awac_dist.types import Array

Fill = Callable[[Taken, Mapping[str, Array]], None]  # writes into the columns [n, ...] by name

COLUMNS: dict[str, Fill] = {
    "returns": returns,
    "final_observations": final_observations,
    "initial_observations": initial_observations,
    "next_actions": next_actions,
    "segments": segments,
    "is_online": is_online,
}
