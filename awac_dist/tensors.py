"""Batches and metrics as tensors, and the shape checks at the door of every loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.replay.layout import Layout

Metrics: TypeAlias = "dict[str, Tensor]"


@dataclass(frozen=True)
class Batch:
    """Transitions that one update learns from. B rows, O observation, A action."""

    observations: Tensor  # [B, O]
    actions: Tensor  # [B, A]
    rewards: Tensor  # [B]
    discounts: Tensor  # [B] gamma^n, or 0 where the task truly ended
    next_observations: Tensor  # [B, O]
    columns: Mapping[str, Tensor] = field(default_factory=dict)  # what else is needed: [B, ...]

    @classmethod
    def from_block(cls, block: Tensor, layout: Layout) -> Batch:
        """View a packed block [B, width] as a batch, without a copy."""
        return cls(
            observations=block[:, layout.observations],
            actions=block[:, layout.actions],
            rewards=block[:, layout.rewards],
            discounts=block[:, layout.discounts],
            next_observations=block[:, layout.next_observations],
            columns=layout.views(block),
        )

    def part(self, rows: slice) -> Batch:
        """Some of the transitions, without a copy."""
        return Batch(
            self.observations[rows],
            self.actions[rows],
            self.rewards[rows],
            self.discounts[rows],
            self.next_observations[rows],
            {name: column[rows] for name, column in self.columns.items()},
        )


def check_shapes(letters: str, *tensors: Tensor) -> None:
    """Check tensors against shapes such as "B, E B, E N B": equal letters, equal sizes.

    Raises:
        ValueError: A rank or a size does not fit; names the tensor and both shapes.
    """
    sizes: dict[str, int] = {}
    for position, (shape, tensor) in enumerate(zip(letters.split(","), tensors, strict=True)):
        names = shape.split()
        fits = len(names) == tensor.dim() and all(
            sizes.setdefault(name, size) == size
            for name, size in zip(names, tensor.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"argument {position}: expected [{', '.join(names)}] with {sizes}, "
                f"got {list(tensor.shape)}"
            )


def spread(values: Tensor) -> Tensor:
    """Standard deviation over all elements [n] as a metric; 0 of a single one."""
    return values.detach().std(correction=min(1, values.numel() - 1))
