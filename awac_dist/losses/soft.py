"""What an actor climbs: values of its actions, and its entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awac_dist.tensors import Metrics, check_shapes

if TYPE_CHECKING:
    from torch import Tensor


def policy_loss(
    values: Tensor, log_probs: Tensor, entropy_coef: Tensor | float
) -> tuple[Tensor, Metrics]:
    """-mean(V - alpha log pi), with gradient through both.

    Args:
        values: [B] of actions that the policy drew.
        log_probs: [B] log densities of these actions.
        entropy_coef: alpha >= 0, or [] of it.
    """
    check_shapes("B, B", values, log_probs)
    loss = (entropy_coef * log_probs - values).mean()
    return loss, {
        "actor/loss": loss.detach(),
        "actor/value_mean": values.detach().mean(),
        "actor/entropy": -log_probs.detach().mean(),
    }
