"""What a method's steps follow: gradients of its losses, and what these draw at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch

from awac_dist.algorithms.promises import scalar

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics

Loss: TypeAlias = "Callable[[Batch], tuple[Tensor, Metrics]]"
Draw: TypeAlias = "Callable[[], Tensor]"
Gradients: TypeAlias = "Sequence[Tensor | None]"
Differentiate: TypeAlias = "Callable[[Loss, Batch, Sequence[Tensor]], tuple[Gradients, Metrics]]"


def gradients_of(
    loss: Loss, batch: Batch, parameters: Sequence[Tensor]
) -> tuple[Gradients, Metrics]:
    """Gradients of a loss of a batch, None where it does not reach, and its metrics.

    An InputError names the loss that is no tensor [].
    """
    value, metrics = loss(batch)
    return torch.autograd.grad(scalar(value, loss), parameters, allow_unused=True), metrics
