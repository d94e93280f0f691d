"""Divergences of policies: numbers worked by hand, and against their definitions."""

import math

import pytest
import torch
from torch import tensor
from torch.distributions import Independent, Normal, kl_divergence

from awac_dist.losses import divergences, weighting
from awac_dist.losses.mmd import mmd


def test_divergences_of_normals_by_hand() -> None:
    """Means 2 standard deviations apart; a deviation that doubles: log 2 + 1/8 - 1/2."""
    old_mean, mean = tensor([[1.0, 0.0]]), tensor([[2.0, 0.0]])
    old_log_std = tensor([[0.5, 1.0]]).log()
    found = divergences.kl_of_means(old_mean, old_log_std, mean)
    assert found.tolist() == pytest.approx([2.0])
    found = divergences.kl_of_stds(old_log_std, tensor([[1.0, 1.0]]).log())
    assert found.tolist() == pytest.approx([math.log(2) + 1 / 8 - 1 / 2])


def test_they_are_divergences_from_the_old_policy() -> None:
    generator = torch.Generator().manual_seed(0)
    m0, s0, m1, s1 = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)

    def normal(mean: torch.Tensor, log_std: torch.Tensor) -> Independent:
        return Independent(Normal(mean, log_std.exp()), 1)

    by_mean = kl_divergence(normal(m0, s0), normal(m1, s0))
    torch.testing.assert_close(divergences.kl_of_means(m0, s0, m1), by_mean)
    by_std = kl_divergence(normal(m0, s0), normal(m0, s1))
    torch.testing.assert_close(divergences.kl_of_stds(s0, s1), by_std)


def test_the_old_policy_is_a_constant() -> None:
    values = (0.0, 0.1, 1.0, 0.5)
    constants = [torch.full((1, 1), value, requires_grad=True) for value in values]
    old_mean, old_log_std, mean, log_std = constants
    found = divergences.kl_of_means(old_mean, old_log_std, mean)
    (found + divergences.kl_of_stds(old_log_std, log_std)).sum().backward()
    assert old_mean.grad is None
    assert old_log_std.grad is None
    assert mean.grad is not None
    assert log_std.grad is not None


def test_a_ratio_is_found_with_the_divergence() -> None:
    """Densities 0.8, 0.2 over 0.5, 0.5: ratios 1.6 and 0.4, and their divergence 0.1927."""
    logits = torch.zeros(2, requires_grad=True)
    drawn, logged = tensor([0, 0, 0, 0, 1]), tensor([0, 1, 0, 1])
    optimizer = torch.optim.Adam([logits], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        of_logged = logits[logged].repeat(5)  # of as many rows
        loss, metrics = divergences.ratio_loss(logits[drawn].repeat(1, 4), of_logged)
        loss.backward()
        optimizer.step()
    ratios = divergences.log_ratio(logits).exp()
    assert ratios.tolist() == pytest.approx([1.6, 0.4], abs=1e-3)
    divergence = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    assert metrics["ratio/loss"].item() == pytest.approx(-divergence, abs=1e-4)


def test_a_ratio_that_no_logit_can_be_too_small_for() -> None:
    assert divergences.log_ratio(tensor([-1e4])).tolist() == pytest.approx([math.log(1e-8)])


def test_weights_of_samples_by_hand() -> None:
    """Values log 3 and 0 at eta 1: 3/4 and 1/4; equal values: 1/2 each. KL: log 2 - H, and 0."""
    values = tensor([[math.log(3), 5.0], [0.0, 5.0]])
    weights, divergence = weighting.sample_weights(values, 1.0)
    torch.testing.assert_close(weights, tensor([[0.75, 0.5], [0.25, 0.5]]))
    first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert divergence.item() == pytest.approx(first / 2)


def test_eta_descends_its_dual() -> None:
    """The derivative of eta eps + eta E[log mean exp(Q / eta)] is eps minus the divergence."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    eta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    log_means = (values / eta).logsumexp(dim=0) - math.log(6)
    (eta * 0.1 + eta * log_means.mean()).backward()
    _, divergence = weighting.sample_weights(values, eta.detach())
    assert eta.grad is not None
    torch.testing.assert_close(eta.grad, 0.1 - divergence)


@pytest.mark.parametrize(("kernel", "exponent"), [("laplacian", 0.75), ("gaussian", 1.25)])
def test_a_discrepancy_by_hand(kernel: str, exponent: float) -> None:
    """One action each, apart by 1 and 2, or by their squares; sigma 2."""
    x, y = tensor([[[0.0, 0.0]]]), tensor([[[1.0, 2.0]]])
    found = mmd(x, y, kernel=kernel, bandwidth=2.0)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([math.sqrt(2 - 2 * math.exp(-exponent) + 1e-6)])
