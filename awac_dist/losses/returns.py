"""What followed a transition, along the H steps of its episode that a segment holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from awac_dist.tensors import check_shapes

if TYPE_CHECKING:
    from torch import Tensor


def gae(
    values: Tensor, rewards: Tensor, discounts: Tensor, mask: Tensor, *, trace: float
) -> Tensor:
    """Generalised advantages [B] of the first steps (Schulman et al., 2016), without gradient.

    A = sum_t (prod_{k<t} lambda d_k) (r_t + d_t V(s_{t+1}) - V(s_t)), over the steps that there
    are. A + V(s_0) is the return of TD(lambda), with all that is left of the weights on the
    last step.

    Args:
        values: [B, H + 1] V of the states and, right behind the last step that there is, of the
            state that it led to.
        rewards: [B, H]
        discounts: [B, H] 0 where the task truly ended.
        mask: [B, H] 1 for the steps that there are, the first of all.
        trace: lambda, in [0, 1]: 0 is one step, 1 are all.
    """
    check_shapes("B N, B H, B H, B H", values, rewards, discounts, mask)
    errors = rewards + discounts * values[:, 1:] - values[:, :-1]  # [B, H]
    before = torch.cat((torch.ones_like(mask[:, :1]), trace * discounts[:, :-1]), dim=1)
    return (mask * before.cumprod(dim=1) * errors).sum(dim=1).detach()


def segment_advantages(
    value: Callable[[Tensor], Tensor], columns: Mapping[str, Tensor], *, trace: float
) -> Tensor:
    """The same [B] of a batch's columns of "segments".

    Args:
        value: V, of observations [n, O]: [n].
        columns: What the need "segments" brings.
        trace: lambda.
    """
    mask, final = columns["segment_mask"], columns["segment_final_observations"]
    states = torch.cat((columns["segment_observations"], final.unsqueeze(1)), dim=1)
    with torch.no_grad():
        values = value(states.flatten(0, 1)).view(states.shape[:2])  # [B, H + 1]
    there = torch.cat((mask, torch.zeros_like(mask[:, :1])), dim=1)
    values = torch.where(there > 0, values, values[:, -1:])
    return gae(
        values,
        columns["segment_rewards"],
        columns["segment_discounts"],
        mask,
        trace=trace,
    )
