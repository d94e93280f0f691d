"""How far critics overrate actions that are not in the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from awac_dist.tensors import Metrics, check_shapes

if TYPE_CHECKING:
    from torch import Tensor


def gaps(
    q_data: Tensor,
    q_uniform: Tensor,
    q_policy: Tensor,
    *,
    uniform_log_prob: float,
    log_probs: Tensor,
    floor: Tensor | None = None,
) -> tuple[Tensor, Metrics]:
    """How far log sum_n exp(Q(s, a_n)) / p(a_n) lies above Q(s, a): the mean [E] over the batch.

    The sum estimates the integral of exp(Q) over the actions, up to the number of them, which
    moves no gradient (Kumar et al., 2020, CQL(H) with importance sampling).

    Args:
        q_data: [E, B] at the logged actions.
        q_uniform: [E, N, B] at actions that were drawn uniformly.
        q_policy: [E, M, B] at actions that policies drew.
        uniform_log_prob: Log density of the former.
        log_probs: [M, B] of the latter; no gradient flows into them.
        floor: [B] what the values of the latter count for at least (Nakamoto et al., 2023), or
            None; no gradient flows into it, nor into what lies below.
    """
    check_shapes("E B, E N B, E M B, M B", q_data, q_uniform, q_policy, log_probs)
    metrics: Metrics = {}
    if floor is not None:
        check_shapes("B, E B", floor, q_data)
        metrics["critic/floored"] = (q_policy < floor).to(floor.dtype).mean()
        q_policy = q_policy.maximum(floor.detach())
    weighed = q_uniform - uniform_log_prob, q_policy - log_probs.detach()
    found = (torch.cat(weighed, dim=1).logsumexp(dim=1) - q_data).mean(dim=1)  # [E]
    return found, {"critic/conservative_gap": found.detach().mean(), **metrics}
