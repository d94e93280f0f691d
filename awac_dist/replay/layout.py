"""Columns of one packed transition, the form in which shards answer the learner."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from awac_dist.errors import InputError
from awac_dist.types import Array, EnvSpec

NEEDS = {  # what a method may need -> the columns that it brings; O, A, H as in DESIGN.md 4
    "returns": {"returns": "", "return_discounts": ""},
    "final_observations": {"final_observations": "O"},
    "initial_observations": {"initial_observations": "O"},
    "next_actions": {"next_actions": "A", "has_next_action": ""},
    "segments": {
        "segment_observations": "H O",
        "segment_actions": "H A",
        "segment_rewards": "H",
        "segment_discounts": "H",
        "segment_mask": "H",
        "segment_final_observations": "O",
    },
    "is_online": {"is_online": ""},
    "held_out": {"held_out": ""},
}


@dataclass(frozen=True)
class Wishes:
    """What is asked of transitions besides their base columns."""

    needs: frozenset[str] = frozenset()  # keys of `NEEDS`
    n_steps: int = 1  # that rewards, discounts and next observations span at most
    segment_length: int = 1  # H

    @property
    def reach(self) -> int:
        """Steps of its episode that are read for a transition."""
        return max(self.n_steps, self.segment_length if "segments" in self.needs else 1)

    def check_goals(self) -> None:
        """Refuse, by an InputError, what is not known of goals in hindsight."""
        if "returns" in self.needs:
            raise InputError(
                "replay.goals: the returns of an episode are those of its own goal, and this "
                "method needs returns: leave replay.goals out"
            )


NO_WISHES = Wishes()


class Layout:
    """Columns of one packed transition, the form in which shards answer the learner.

    A block [n, width] holds, side by side: observation, action, reward, discount,
    next observation, then the columns that were wished for. `discount` is gamma, or 0 where the
    task truly ended. The observation of a goal task is what its policy reads: the observation,
    then the desired goal [G].

    Attributes:
        row_width: Of a stored row, which leaves the next observation to the next row.
        base_width: Of what every transition has.
        shapes: Of each column that was wished for, in their order, its shape behind n.

    Raises:
        InputError: There is no such need.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        goal_size: int = 0,
        wishes: Wishes = NO_WISHES,
    ) -> None:
        self.observation_size, self.goal_size, self.wishes = observation_size, goal_size, wishes
        self.rewards = observation_size + action_size
        self.discounts = self.rewards + 1
        self.row_width = self.rewards + 2
        self.base_width = self.row_width + observation_size
        self.observations = slice(0, observation_size)
        self.actions = slice(observation_size, self.rewards)
        self.next_observations = slice(self.row_width, self.base_width)
        self.goals = slice(observation_size - goal_size, observation_size)
        self.next_goals = slice(self.base_width - goal_size, self.base_width)
        unknown = sorted({*wishes.needs} - {*NEEDS})
        if unknown:
            there = f"there are {', '.join(NEEDS)}: see docs/add-a-method.md"
            raise InputError(f"the method's needs: no column {unknown[0]!r}; {there}")
        sizes = {"O": observation_size, "A": action_size, "H": wishes.segment_length}
        self.shapes = {
            name: tuple(sizes[letter] for letter in letters.split())
            for need, columns in NEEDS.items()
            if need in wishes.needs
            for name, letters in columns.items()
        }
        self.width = self.base_width + sum(map(prod, self.shapes.values()))

    @classmethod
    def of(cls, spec: EnvSpec, wishes: Wishes = NO_WISHES) -> Layout:
        """The layout of a task's transitions."""
        return cls(spec.input_size, spec.action_size, spec.goal_size, wishes)

    def views(self, block: Any) -> dict[str, Any]:
        """The columns that were wished for, [n, ...] inside a block [n, width], without a copy.

        The block is NumPy's or torch's, and so are they.
        """
        found, end = {}, self.base_width
        for name, shape in self.shapes.items():
            start, end = end, end + prod(shape)
            found[name] = block[:, start:end].reshape(len(block), *shape)
        return found

    def over_observations(self, values: Array, rest: float) -> Array:
        """A row [width] of `values` [O] under every observation, and `rest` elsewhere."""
        row = np.full(self.width, rest, np.float32)
        row[self.observations] = row[self.next_observations] = values
        for name, column in self.views(row[None]).items():
            if name.endswith("observations"):
                column[:] = values
        return row
