"""Columns of one packed transition, the form in which shards answer the learner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from awac_dist.types import EnvSpec


@dataclass(frozen=True)
class Layout:
    """Columns of one packed transition, the form in which shards answer the learner.

    A block [n, width] holds, side by side: observation, action, reward, discount,
    next observation. `discount` is gamma, or 0 where the task truly ended. The observation
    of a goal task is what its policy reads: the observation, then the desired goal [G].
    """

    observation_size: int
    action_size: int
    goal_size: int = 0  # of the observation's last columns

    @classmethod
    def of(cls, spec: EnvSpec) -> Layout:
        """The layout of a task's transitions."""
        return cls(spec.input_size, spec.action_size, spec.goal_size)

    @cached_property
    def observations(self) -> slice:
        return slice(0, self.observation_size)

    @cached_property
    def actions(self) -> slice:
        return slice(self.observation_size, self.observation_size + self.action_size)

    @cached_property
    def rewards(self) -> int:
        return self.observation_size + self.action_size

    @cached_property
    def discounts(self) -> int:
        return self.rewards + 1

    @cached_property
    def next_observations(self) -> slice:
        return slice(self.discounts + 1, self.width)

    @cached_property
    def goals(self) -> slice:
        return slice(self.observation_size - self.goal_size, self.observation_size)

    @cached_property
    def next_goals(self) -> slice:
        return slice(self.width - self.goal_size, self.width)

    @property
    def row_width(self) -> int:
        """Width of a stored row, which leaves the next observation to the next row."""
        return self.observation_size + self.action_size + 2

    @property
    def width(self) -> int:
        return self.row_width + self.observation_size
