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

from awac_dist.algorithms.awac import AWAC
from awac_dist.losses import weighting
from awac_dist.nn.distributions import DiagonalGaussian
from awac_dist.tensors import Batch, Metrics


def average(gradients: Sequence[Tensor]) -> None:
    """Replace each gradient by its mean over the learners, in one exchange."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))


class SpreadAWAC(AWAC):
    """AWAC on the rows of this learner; the others have as many each, in the order of ranks.

    The metric `actor/effective_batch` is the whole batch's, divided by the learners.
    """

    def actor_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        loss, metrics = super().actor_loss(batch, q_data)
        return loss, metrics | {"actor/effective_batch": self._effective_batch}

    def _sample(self, policy: DiagonalGaussian, shape: tuple[int, ...] = ()) -> Tensor:
        learners = distributed.get_world_size()
        everywhere = DiagonalGaussian(
            *(_repeat(t, learners) for t in (policy.mean, policy.log_std))
        )
        return _mine(super()._sample(everywhere, shape), dim=-2)

    def _weights(self, advantages: Tensor) -> Tensor:
        parts = [torch.empty_like(advantages) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, advantages)
        weights = super()._weights(torch.cat(parts))
        self._effective_batch = weighting.effective_batch(weights) / len(parts)
        return _mine(weights, dim=0)


def _repeat(rows: Tensor, learners: int) -> Tensor:
    """[B, A] -> [learners * B, A]: stands in for rows that only their own learner knows."""
    return rows.repeat(learners, 1)


def _mine(rows: Tensor, dim: int) -> Tensor:
    """The rows of this learner, of those of all."""
    return rows.chunk(distributed.get_world_size(), dim)[distributed.get_rank()]
