"""What everything is made of: a task's sizes, and episodes.

NumPy only. Shape letters: T steps, O observation, A action, G goal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Kind = Literal["demonstration", "prior", "online"]


@dataclass(frozen=True)
class EnvSpec:
    """The sizes and bounds of a task that everything downstream is built from.

    Attributes:
        env_id: Its Gymnasium id.
        observation_size: O, without the goal.
        action_size: A.
        action_low, action_high: [A] bounds of the actions.
        max_episode_steps: Steps after which the clock cuts an episode.
        goal_size: G; 0 where the task has no goals.
        repeatable: Whether the same seed and actions show the same again. Where they do not, as
            on hardware, no recorded action is ever done again.
        action_dtype: In which the task compares actions with its bounds.
        kwargs: What the environment is made with, besides what it is registered with.
        registration: How it is registered, for processes that do not know it, pickled by one that
            does; empty where its id says enough.
    """

    env_id: str
    observation_size: int
    action_size: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    max_episode_steps: int | None
    goal_size: int = 0
    repeatable: bool = True
    action_dtype: str = "float32"
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    registration: bytes = field(default=b"", repr=False, compare=False)

    @property
    def input_size(self) -> int:
        """What policies and critics read: the observation, then the desired goal."""
        return self.observation_size + self.goal_size

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        low, high = np.array([self.action_low, self.action_high], self.action_dtype)
        return low, high

    def bounded(self, actions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Actions [..., A] clipped to the bounds, none of which rounding leaves."""
        low, high = self._bounds
        same: NDArray[np.floating] = actions.astype(low.dtype, copy=False)
        inside: NDArray[np.floating] = np.minimum(np.maximum(same, low), high)
        return inside


@dataclass(frozen=True)
class Origin:
    """Where a fragment of experience comes from.

    Attributes:
        kind: Who made it: a demonstrator, an earlier policy, or this run's own policy.
        policy_version: grad_steps behind the weights that acted, -1 if unknown.
        worker: The rollout worker, -1 if none of ours.
        incarnation: How often that worker had been replaced before.
        episode: Number of the episode in the worker's (or the file's) own stream.
        start: Step of the episode at which this fragment starts.
        seed: Seed of the environment's reset, -1 if unknown.
    """

    kind: Kind
    policy_version: int = -1
    worker: int = -1
    incarnation: int = 0
    episode: int = -1
    start: int = 0
    seed: int = -1

    @property
    def stream(self) -> tuple[int, int, int]:
        """Fragments with equal streams belong to one environment episode."""
        return self.worker, self.incarnation, self.episode


@dataclass(frozen=True, eq=False)
class Episode:
    """Columns of one environment episode, or of a fragment of one; all float32.

    Attributes:
        observations: [T+1, O]; row t+1 follows action t.
        actions: [T, A] as the policy chose them, before any clipping to the bounds.
        rewards: [T]
        terminated: The task ended after the last step: nothing follows, value zero.
        truncated: The clock cut it: its last observation still has a value.
        origin: Who made it.
        desired_goals, achieved_goals: [T+1, G] for goal tasks; observations leave them out.
        successes: [T] 1 where the task says that it is solved, 0 where not, NaN where it is silent.

    Raises:
        ValueError: The columns do not fit together, or there is no step.
    """

    observations: Array
    actions: Array
    rewards: Array
    terminated: bool
    truncated: bool
    origin: Origin
    desired_goals: Array | None = None
    achieved_goals: Array | None = None
    successes: Array | None = None

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if steps == 0:
            raise ValueError("an episode needs at least one step")
        wanted = dict.fromkeys(("observations", "desired_goals", "achieved_goals"), steps + 1)
        wanted |= dict.fromkeys(("rewards", "successes"), steps)
        for name, length in wanted.items():
            column = getattr(self, name)
            if column is not None and len(column) != length:
                raise ValueError(f"{name} has {len(column)} rows, {steps} actions need {length}")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def total_reward(self) -> float:
        """Undiscounted sum of the rewards of this fragment."""
        return float(self.rewards.sum(dtype=np.float64))
