"""Rewards from observations: a task's own reward function, applied to old data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from awac_dist.errors import InputError
from awac_dist.types import Array, Episode

Relabelling = Callable[[Array, Array], tuple[Array, Array]]
DOOR_HINGE, DOOR_OPEN = 28, 1.4  # column of the observation, and radians


def door_binary(observations: Array, actions: Array) -> tuple[Array, Array]:
    """Reward and success of the binary door task: 1[hinge > 1.4] - 1 after each step.

    Args:
        observations: [T+1, 39] of the hand's door task; row t+1 decides about step t.
        actions: [T, A], which do not matter.

    Returns:
        Rewards [T] of -1 or 0, and successes [T] of 0 or 1.

    Source: Nair et al. (2020), the hand tasks: reward is whether the hinge is past 1.4, less 1.
    """
    successes = (observations[1:, DOOR_HINGE] > DOOR_OPEN).astype(np.float32)
    return successes - np.float32(1), successes


RELABEL: dict[str, Relabelling] = {"DoorBinary": door_binary}
"""By task: f(observations [T+1, O], actions [T, A]) -> rewards [T], successes [T]."""


def relabelled(task: str, place: str, episode: Episode) -> Episode:
    """The episode with the rewards and successes of a task.

    Raises:
        InputError: Its observations are not that task's; names the place.
    """
    try:
        rewards, successes = RELABEL[task](episode.observations, episode.actions)
    except IndexError:
        width = episode.observations.shape[1]
        raise InputError(
            f"{place}: observations of {width} numbers are too narrow for {task}: "
            "relabel data of that task only"
        ) from None
    return replace(episode, rewards=rewards, successes=successes)
