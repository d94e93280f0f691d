"""Several learners, each with its rows of every batch, take the step that one would take.

AWAC's softmax runs over the whole batch, and so does the effective batch that moves its
temperature: learners that only averaged their gradients would follow another objective, the
further from AWAC the more of them there are. So they also exchange their advantages, and each
draws the noise of the whole batch and keeps that of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from awac_dist.algorithms.world import World


class Spread(World):
    """The rows of this learner; the others have as many each, in the order of ranks."""

    def __init__(self) -> None:
        self.size = distributed.get_world_size()

    def gather(self, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(parts, rows)
        return torch.cat(parts)

    def mine(self, rows: Tensor, dim: int = 0) -> Tensor:
        return rows.chunk(self.size, dim)[distributed.get_rank()]

    def average(self, gradients: Sequence[Tensor]) -> None:
        """One exchange for all of them."""
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))
