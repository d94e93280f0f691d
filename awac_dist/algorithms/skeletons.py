"""The two orders in which a method's losses and steps can follow each other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from awac_dist.algorithms.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics


class Joint(Method):
    """Everything at once, from one batch.

    losses  of all networks, on the parameters before the update
    step    of every optimiser, on disjoint parameters
    target  Q' <- (1 - tau) Q' + tau Q
    """

    @abstractmethod
    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        """Scalars, each of which reaches its own network only, and metrics."""

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        """What follows the steps."""

    def update(self, batches: Sequence[Batch]) -> Metrics:
        (batch,) = batches
        losses, found = zip(*self.losses(batch), strict=True)
        self.step(reduce(add, losses), self.optimizers)
        self.move_targets()
        metrics: Metrics = reduce(lambda some, more: some | more, found)
        self.after_update(batch, metrics)
        return metrics
