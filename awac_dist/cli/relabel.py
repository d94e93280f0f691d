"""Rewards from observations: a task's own reward function, applied to old data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from awac_dist.envs.adroit_rewards import HAND_TASKS, Success
from awac_dist.errors import InputError
from awac_dist.types import Array, Episode

Relabelling = Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class BinaryRelabelling:
    """Reward and success of a hand task after each step: 1[goal] - 1, and 1[goal].

    Called with observations [T+1, O], of which row t+1 decides about step t, and actions [T, A],
    which do not matter, it returns rewards [T] of -1 or 0 and successes [T] of 0 or 1.

    Attributes:
        observation_size: O of the task.
        success: The task's own function.
    """

    observation_size: int
    success: Success

    def __call__(self, observations: Array, actions: Array) -> tuple[Array, Array]:
        width = observations.shape[1]
        if width != self.observation_size:
            too = "narrow" if width < self.observation_size else "wide"
            raise InputError(
                f"observations of {width} numbers are too {too}, the task has "
                f"{self.observation_size}: relabel data of that task only"
            )
        successes = self.success(observations[1:]).astype(np.float32)
        return successes - np.float32(1), successes


RELABEL: dict[str, Relabelling] = {
    name: BinaryRelabelling(task.observation_size, task.success)
    for name, task in HAND_TASKS.items()
}
"""By task: f(observations [T+1, O], actions [T, A]) -> rewards [T], successes [T].

Raises an InputError where the observations are not the task's.
"""


def relabelled(task: str, place: str, episode: Episode) -> Episode:
    """The episode with the rewards and successes of a task.

    Raises:
        InputError: Its observations are not that task's; names the place.
    """
    try:
        rewards, successes = RELABEL[task](episode.observations, episode.actions)
    except InputError as error:
        raise InputError(f"{place}: {task}: {error}") from error
    return replace(episode, rewards=rewards, successes=successes)
