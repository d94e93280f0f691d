"""Models of the data's actions, by hand and against SciPy."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from awac_dist.losses.behaviour import vae_loss
from awac_dist.losses.mmd import mmd


def test_the_loss_of_a_vae_by_hand() -> None:
    decoded, units = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 1.0]])
    mean, log_std = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, np.log(3.0)]])
    loss, metrics = vae_loss(decoded, units, mean, log_std)
    error = (0.25 + 1.0) / 2
    divergence = (0.5 * (4 + 1 - 1 - 0) + 0.5 * (0 + 9 - 1 - 2 * np.log(3))) / 2  # mean of two
    assert metrics["behaviour/error"].item() == pytest.approx(error)
    assert loss.item() == pytest.approx(error + divergence / 2)


@pytest.mark.parametrize(("latents", "size"), [(4, 2), (3, 2), (2, 1)])
def test_the_bound_is_that_of_the_log_likelihood(latents: int, size: int) -> None:
    """E_q[log p(u|z)] - KL, of one sample and a posterior that is the prior: log p(u|z)."""
    rng = np.random.default_rng(0)
    decoded, units = (torch.from_numpy(rng.normal(size=(7, size))) for _ in range(2))
    zeros = torch.zeros(7, latents, dtype=torch.float64)
    _, metrics = vae_loss(decoded, units, zeros, zeros)
    noise = np.eye(size) * size / (4 * latents)
    pairs = zip(decoded.numpy(), units.numpy(), strict=True)
    expected = np.mean([multivariate_normal.logpdf(u, d, noise) for d, u in pairs])
    assert metrics["behaviour/log_prob"].item() == pytest.approx(expected, rel=1e-9)
    shifted = zeros + 1.5  # whose KL from the prior is 1.5^2 / 2 for each latent
    _, further = vae_loss(decoded, units, shifted, zeros)
    lost = metrics["behaviour/log_prob"] - further["behaviour/log_prob"]
    assert lost.item() == pytest.approx(latents * 1.5**2 / 2)


@pytest.mark.parametrize("kernel", ["laplacian", "gaussian"])
def test_a_discrepancy_by_hand(kernel: str) -> None:
    """One sample each, 3 and 4 apart: k(x, x) = k(y, y) = 1."""
    x, y = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[3.0, -4.0]]])
    apart = 7 if kernel == "laplacian" else 25
    wanted = np.sqrt(2 - 2 * np.exp(-apart / (2 * 5.0)) + 1e-6)
    found = mmd(x, y, kernel=kernel, bandwidth=5.0)  # type: ignore[arg-type]
    assert found.tolist() == [pytest.approx(wanted, rel=1e-6)]


def test_equal_samples_are_as_near_as_can_be_and_have_a_gradient() -> None:
    x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = mmd(x, x.detach(), kernel="laplacian", bandwidth=10.0)
    torch.testing.assert_close(found, torch.full((3,), 1e-3), rtol=0.1, atol=0)
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
