"""Maximum mean discrepancy between two sets of actions (Gretton et al., 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from awac_dist.tensors import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

Kernel = Literal["laplacian", "gaussian"]
SMALLEST = 1e-6  # of the square, so that its root has a gradient


def mmd(x: Tensor, y: Tensor, *, kernel: Kernel, bandwidth: float) -> Tensor:
    """Sqrt(mean k(x, x') + mean k(y, y') - 2 mean k(x, y) + 1e-6): [B], with gradient.

    Args:
        x: [N, B, A] actions of one policy.
        y: [M, B, A] actions of the other.
        kernel: exp(-sum |x - y| / (2 sigma)), or exp(-sum (x - y)^2 / (2 sigma)).
        bandwidth: sigma > 0.
    """
    check_shapes("N B A, M B A", x, y)

    def mean_kernel(one: Tensor, other: Tensor) -> Tensor:
        apart = one.unsqueeze(1) - other.unsqueeze(0)  # [N, M, B, A]
        distances = apart.abs() if kernel == "laplacian" else apart.square()
        return (-distances.sum(dim=-1) / (2 * bandwidth)).exp().mean(dim=(0, 1))  # [B]

    square = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    return (square.clamp(min=0) + SMALLEST).sqrt()
