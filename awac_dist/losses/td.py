"""Temporal-difference targets and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from awac_dist.tensors import Metrics, check_shapes

if TYPE_CHECKING:
    from torch import Tensor


def one_step_target(rewards: Tensor, discounts: Tensor, next_values: Tensor) -> Tensor:
    """Y = r + d * V(s'), with no gradient. All [B]; d is 0 where the task truly ended."""
    check_shapes("B, B, B", rewards, discounts, next_values)
    return (rewards + discounts * next_values).detach()


def squared_error(
    values: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """Sum over the ensemble of the mean squared error, with no factor 1/2 (rlkit).

    Args:
        values: [E, B] ensemble at the logged actions.
        targets: [B] what each of them should say; no gradient flows into it.
        weights: [B] of the rows, whose mean is 1; None is 1 each.
    """
    check_shapes("E B, B", values, targets)
    targets = targets.detach()
    errors = (values - targets).square()
    if weights is not None:
        check_shapes("E B, B", values, weights)
        errors = errors * weights.detach()
    loss = errors.mean(dim=1).sum()
    return loss, {
        "critic/loss": loss.detach(),
        "critic/value_mean": values.detach().mean(),
        "critic/target_mean": targets.mean(),
    }


def value_error(
    values: Tensor, targets: Tensor, rows: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """Mean squared error of V, with no factor 1/2.

    Args:
        values: [B]
        targets: [B] what each should say; no gradient flows into it.
        rows: [B] how much each counts, one on average; None is all alike.
    """
    rows = torch.ones_like(values) if rows is None else rows
    check_shapes("B, B, B", values, targets, rows)
    loss = (rows * (values - targets.detach()).square()).mean()
    return loss, {
        "value/loss": loss.detach(),
        "value/value_mean": (rows * values.detach()).mean(),
        "value/target_mean": (rows * targets.detach()).mean(),
    }
