"""How far one policy is from another: of normals in closed form, of others from samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from awac_dist.tensors import Metrics, check_shapes

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_RATIO = 1e-8  # so that its logarithm is finite


def kl_of_means(old_mean: Tensor, old_log_std: Tensor, mean: Tensor) -> Tensor:
    """KL(N(old mean, old std) || N(mean, old std)) of independent normals.

    1/2 sum ((old mean - mean) / old std)^2: [B], of [B, A] each; the old policy is a constant.
    """
    check_shapes("B A, B A, B A", old_mean, old_log_std, mean)
    standardised = (mean - old_mean.detach()) * (-old_log_std.detach()).exp()
    return 0.5 * standardised.square().sum(dim=-1)


def kl_of_stds(old_log_std: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(m, old std) || N(m, std)) of independent normals.

    sum log(std / old std) + (old std / std)^2 / 2 - 1/2: [B], of [B, A] each; the old policy is a
    constant.
    """
    check_shapes("B A, B A", old_log_std, log_std)
    growth = log_std - old_log_std.detach()
    return (growth + 0.5 * (-2 * growth).exp() - 0.5).sum(dim=-1)


def log_ratio(logits: Tensor) -> Tensor:
    """Log c of what a network says of the ratio c = softplus(logits) of two densities."""
    return (torch.nn.functional.softplus(logits) + SMALLEST_RATIO).log()


def ratio_loss(drawn: Tensor, logged: Tensor) -> tuple[Tensor, Metrics]:
    """What is least where c is the density of p over that of q: E_q[c] - E_p[log c] - 1.

    The least value is -KL(p || q): the dual form of an f-divergence, f(x) = x log x (Nowozin et
    al., 2016).

    Args:
        drawn: [N, B] logits of c at samples of p.
        logged: [B] the same at samples of q.
    """
    check_shapes("N B, B", drawn, logged)
    ratios = torch.nn.functional.softplus(logged)
    loss = (ratios - log_ratio(drawn).mean(dim=0) - 1).mean()
    return loss, {"ratio/loss": loss.detach()}
