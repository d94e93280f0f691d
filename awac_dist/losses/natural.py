"""Natural gradients: steps measured by how far they move a policy, not its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch

from awac_dist.tensors import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

Product: TypeAlias = "Callable[[Tensor], Tensor]"  # F v of a v [P]
Average: TypeAlias = "Callable[[Sequence[Tensor]], None]"


def kl(old_mean: Tensor, old_log_std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(old mean, old std) || N(mean, std)) of independent normals: [B], of [B, A] each.

    No gradient flows into the old ones. Where both are equal its Hessian, by the parameters that
    both follow from, is their Fisher matrix.
    """
    check_shapes("B A, B A, B A, B A", old_mean, old_log_std, mean, log_std)
    growth = log_std - old_log_std.detach()
    moved = (mean - old_mean.detach()) * (-log_std).exp()
    return (growth + 0.5 * ((-2 * growth).exp() + moved.square() - 1)).sum(dim=-1)


def fisher(
    divergence: Tensor, parameters: Sequence[Tensor], average: Average, damping: float
) -> Product:
    """(F + damping) v of a v [P], by two backward passes.

    Args:
        divergence: [] of a policy from itself, as `kl` of what has a gradient from what has none.
        parameters: What the policy follows from, P numbers in all.
        average: Replaces F v of some rows by its mean over all that there are.
        damping: Added to the diagonal of F.
    """
    slope = _flat(torch.autograd.grad(divergence, parameters, create_graph=True))

    def product(vector: Tensor) -> Tensor:
        image = _flat(torch.autograd.grad(slope, parameters, vector, retain_graph=True))
        average([image])
        return image + damping * vector

    return product


def conjugate_gradients(product: Product, vector: Tensor, iterations: int) -> Tensor:
    """An x [P] with F x = `vector` [P], exact after P iterations but for rounding.

    Args:
        product: F x of an x, F symmetric and positive.
        vector: The right-hand side.
        iterations: How many, whatever the residual.
    """
    check_shapes("P", vector)
    tiny = torch.finfo(vector.dtype).tiny
    solution, residual, direction = torch.zeros_like(vector), vector, vector
    square, seen = residual.dot(residual), []
    for _ in range(iterations):
        seen.append(residual * square.clamp(min=tiny).rsqrt())
        image = product(direction)
        length = square / direction.dot(image).clamp(min=tiny)
        solution, residual = solution + length * direction, residual - length * image
        for unit in seen:  # orthogonal to all before it, which rounding would spoil
            residual = residual - unit.dot(residual) * unit
        before, square = square, residual.dot(residual)
        direction = residual + square / before.clamp(min=tiny) * direction
    return solution


def unit_step(gradients: Sequence[Tensor], product: Product, iterations: int) -> list[Tensor]:
    """The steepest step along gradients whose length in the metric F is one.

    x / sqrt(g x) with F x = g, in the shapes of the gradients: to go l times as far is a step of
    KL divergence l^2 / 2. 0 where g is 0.
    """
    gradient = _flat(gradients)
    solution = conjugate_gradients(product, gradient, iterations)
    squared = gradient.dot(solution).clamp(min=torch.finfo(gradient.dtype).tiny)
    parts = torch.split(solution / squared.sqrt(), [each.numel() for each in gradients])
    return [part.view_as(each) for part, each in zip(parts, gradients, strict=True)]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in tensors])
