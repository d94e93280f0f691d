"""What a method is told of the world, and what it tells the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array, EnvSpec

if TYPE_CHECKING:
    from torch import Tensor


class Task(NamedTuple):
    """What a method is told of the world."""

    spec: EnvSpec
    discount: float  # gamma

    @property
    def log_volume(self) -> float:
        """Log density of the actions in their half ranges, over that in their own units."""
        bounds = zip(self.spec.action_low, self.spec.action_high, strict=True)
        return sum(math.log((high - low) / 2) for low, high in bounds)


class Acting(NamedTuple):
    """The policy as it acts: its shape, and its arrays by name."""

    spec: PolicySpec
    arrays: dict[str, Tensor]

    def in_numpy(self) -> dict[str, Array]:
        """The arrays as those who act have them."""
        return {name: value.detach().cpu().numpy() for name, value in self.arrays.items()}

    def vector(self) -> Array:
        """The same as one flat vector [P]."""
        return self.spec.flatten(self.in_numpy())


class World:
    """Who shares a batch: here nobody, all B rows of it are here.

    Overridden where each of several learners has its rows of it. Losses coupled over the batch
    ask for the rows of all; everything random is drawn for the whole batch, by each alike.
    """

    size = 1  # learners

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all learners [size * B, ...], for those [B, ...] of this one."""
        return rows

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the learners of what each has, with gradients to them all."""
        if self.size == 1:
            return value
        own = value - value.detach()  # 0, through which a gradient comes back
        if own.requires_grad:
            own.register_hook(self._mean)  # type: ignore[no-untyped-call]
        return self._mean(value.detach()) + own

    def _mean(self, value: Tensor) -> Tensor:
        return self.gather(value.unsqueeze(0)).mean(dim=0)

    def mine(self, rows: Tensor, dim: int = 0) -> Tensor:
        """The rows of this learner, of those of all."""
        return rows

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over the learners."""


ALONE = World()
