"""Natural steps by numbers worked by hand, and the Fisher matrix against its definition."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from awac_dist.losses import natural


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normals(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean, log_std = torch.randn(2, rows, 3, generator=generator, dtype=torch.float64)
    return mean, log_std


def test_the_divergence_is_that_of_torch() -> None:
    old, new = normals(5, 0), normals(5, 1)
    pairs = [Normal(mean, log_std.exp()) for mean, log_std in (old, new)]
    expected = kl_divergence(*pairs).sum(dim=1)
    torch.testing.assert_close(natural.kl(*old, *new), expected)


def test_the_divergence_moves_the_new_policy_only() -> None:
    old, new = ([each.requires_grad_() for each in normals(5, seed)] for seed in (0, 1))
    natural.kl(*old, *new).sum().backward()
    assert all(each.grad is None for each in old)
    assert all(each.grad is not None for each in new)


def test_a_linear_system_by_hand() -> None:
    """[[4, 1], [1, 3]] x = [1, 2]: (1/11, 7/11), after two iterations, and after more."""
    matrix = tensor([4, 1], [1, 3])
    first = natural.conjugate_gradients(matrix.mv, tensor(1, 2), 1)
    torch.testing.assert_close(first, tensor(1, 2) * 5 / 20)  # r r / r F r along r
    for iterations in (2, 3, 30):
        found = natural.conjugate_gradients(matrix.mv, tensor(1, 2), iterations)
        torch.testing.assert_close(found, tensor(1 / 11, 7 / 11))
    assert natural.conjugate_gradients(matrix.mv, tensor(0, 0), 3).tolist() == [0, 0]


def test_rounding_does_not_grow_from_iteration_to_iteration() -> None:
    """Of a matrix whose eigenvalues are as far apart as those of a Fisher matrix."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(60, 60, generator=generator, dtype=torch.float64))
    matrix = basis @ torch.logspace(-4, 3, 60, dtype=torch.float64).diag() @ basis.mT
    vector = torch.randn(60, generator=generator, dtype=torch.float64)
    exact = natural.conjugate_gradients(matrix.mv, vector, 20)
    found = natural.conjugate_gradients(matrix.float().mv, vector.float(), 20)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-3 * exact.norm().item())


def test_a_unit_step_by_hand() -> None:
    """F = diag(4, 1), g = (2, 3): x = (1/2, 3), g x = 10."""
    product = tensor([4, 0], [0, 1]).mv
    steps = natural.unit_step([tensor([2]), tensor(3)], product, 2)
    assert [step.shape for step in steps] == [(1, 1), (1,)]
    torch.testing.assert_close(torch.cat([s.flatten() for s in steps]), tensor(0.5, 3) / 10**0.5)
    nothing = natural.unit_step([tensor(0, 0)], product, 2)
    assert nothing[0].tolist() == [0, 0]


def test_the_product_is_that_of_the_fisher_matrix() -> None:
    """F = E[grad log pi grad log pi^T]: of a linear mean and one log std a dimension, in full."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, 2, generator=generator, dtype=torch.float64).requires_grad_()
    log_std = tensor(-0.5, 0.0, 0.7).requires_grad_()
    mean, spread = states @ weights.mT, log_std.expand(50, 3)
    divergence = natural.kl(mean.detach(), spread.detach(), mean, spread).mean()
    averaged = []
    product = natural.fisher(divergence, [weights, log_std], averaged.extend, damping=0.01)
    of_mean = (-2 * log_std).exp().detach().diag()
    expected = torch.block_diag(
        torch.kron(of_mean, states.mT @ states / 50), 2 * torch.eye(3, dtype=torch.float64)
    )
    for vector in torch.eye(9, dtype=torch.float64):
        torch.testing.assert_close(product(vector), expected @ vector + 0.01 * vector)
    assert len(averaged) == 9


@pytest.mark.parametrize("length", [0.01, 0.1])
def test_a_step_has_the_divergence_of_half_its_squared_length(length: float) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, 2, generator=generator, dtype=torch.float64).requires_grad_()
    spread = torch.zeros(50, 3, dtype=torch.float64)
    mean = states @ weights.mT
    divergence = natural.kl(mean.detach(), spread, mean, spread).mean()
    product = natural.fisher(divergence, [weights], lambda images: None, damping=0.0)
    gradient = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    [step] = natural.unit_step([gradient], product, 6)
    moved = states @ (weights + length * step).mT
    found = natural.kl(mean, spread, moved, spread).mean().item()
    assert found == pytest.approx(length**2 / 2)
