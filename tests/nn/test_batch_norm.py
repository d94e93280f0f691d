"""Batch-normalised critics: statistics, renormalisation, and what a row is worth by itself."""

import math

import pytest
import torch
from torch import Tensor, nn

from awac_dist.nn.batch_norm import VARIANCE_FLOOR, BatchNormCritics, EnsembleBatchNorm

ALONE, UNCORRECTED, CORRECTED = lambda value: value, torch.tensor(0.0), torch.tensor(1.0)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bent_norm(members: int = 3, n: int = 4) -> EnsembleBatchNorm:
    norm = EnsembleBatchNorm(members, n)
    with torch.no_grad():
        for number, value in enumerate(norm.state_dict().values()):
            value.copy_(normal(*value.shape, seed=number).abs() + 0.1)
    return norm


def torchs(norm: EnsembleBatchNorm, member: int, rate: float = 0.1) -> nn.BatchNorm1d:
    """Torch's own of one member."""
    twin = nn.BatchNorm1d(norm.mean.shape[-1], eps=VARIANCE_FLOOR, momentum=rate)
    names = {"weight": "weight", "bias": "bias"}
    names |= {"running_mean": "mean", "running_var": "variance"}
    for theirs, ours in names.items():
        getattr(twin, theirs).data = getattr(norm, ours)[member, 0].detach().clone()
    return twin


def test_it_is_torchs_own_by_batch_and_by_running_statistics() -> None:
    norm, inputs = bent_norm(), 2 * normal(3, 10, 4) + 1
    by_batch = norm.by_batch(inputs, ALONE, UNCORRECTED)
    norm.follow_batch(0.1)
    for member, rows in enumerate(inputs):
        twin = torchs(bent_norm(), member)
        torch.testing.assert_close(by_batch[member], twin(rows))
        torch.testing.assert_close(norm.mean[member, 0], twin.running_mean)
        biased = twin.running_var - 0.1 * rows.var(dim=0, correction=1)
        biased = biased + 0.1 * rows.var(dim=0, correction=0)
        torch.testing.assert_close(norm.variance[member, 0], biased)
        twin = torchs(norm, member).eval()
        torch.testing.assert_close(norm(inputs)[member], twin(rows))


def test_a_corrected_batch_is_normalised_by_running_statistics_within_bounds() -> None:
    """The value is theirs where no bound is met, and the gradient still that of a batch."""
    norm = bent_norm()
    inputs = (norm.mean + (norm.variance + VARIANCE_FLOOR).sqrt() * normal(3, 50, 4)).detach()
    inputs.requires_grad_()
    corrected = norm.by_batch(inputs, ALONE, CORRECTED)
    torch.testing.assert_close(corrected, norm(inputs))
    weights = normal(3, 50, 4, seed=5)
    (gradient,) = torch.autograd.grad((corrected * weights).sum(), inputs)
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(3, 4), atol=1e-4, rtol=0)


def test_bounds_of_the_correction_by_hand() -> None:
    norm = EnsembleBatchNorm(1, 1)  # running mean 0 and variance 1
    inputs = torch.tensor([[[90.0], [110.0]]])  # mean 100, standard deviation 10
    found = norm.by_batch(inputs, ALONE, CORRECTED).flatten().tolist()
    unit = 10 / math.sqrt(100 + VARIANCE_FLOOR)
    assert found == pytest.approx([-3 * unit + 5, 3 * unit + 5])  # r 3 and not 10, d 5 and not 100


def make_critics(members: int = 2) -> BatchNormCritics:
    critics = BatchNormCritics(5, (8, 6), members, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for number, (name, value) in enumerate(critics.state_dict().items()):
            drawn = normal(*value.shape, seed=number)
            value.copy_(drawn.abs() if name.endswith("variance") else drawn)
    return critics


def test_a_row_is_worth_the_same_whatever_is_beside_it() -> None:
    critics, observations, actions = make_critics(), normal(6, 3), normal(6, 2)
    alone = torch.cat(
        [critics(o[None], a[None]) for o, a in zip(observations, actions, strict=True)], dim=1
    )
    torch.testing.assert_close(critics(observations, actions), alone)
    before = critics.by_batch(observations, actions, ALONE, UNCORRECTED)
    after = critics.by_batch(observations[:3], actions[:3], ALONE, UNCORRECTED)
    assert not torch.allclose(before[:, :3], after)


def test_many_actions_a_state_equal_one_call_for_each() -> None:
    critics, observations, actions = make_critics(), normal(6, 3), normal(7, 6, 2)
    one_by_one = torch.stack([critics(observations, chosen) for chosen in actions], dim=1)
    torch.testing.assert_close(critics(observations, actions), one_by_one)


def test_statistics_move_where_they_are_told_to_and_not_before() -> None:
    critics, observations, actions = make_critics(), normal(6, 3), normal(6, 2)
    before = {name: value.clone() for name, value in critics.state_dict().items()}
    critics.by_batch(observations, actions, ALONE, UNCORRECTED)
    assert all(torch.equal(before[name], value) for name, value in critics.state_dict().items())
    critics.follow_batch(0.5)
    moved = {n for n, value in critics.state_dict().items() if not torch.equal(before[n], value)}
    assert moved == {f"norms.{layer}.{name}" for layer in range(3) for name in ("mean", "variance")}
    seen = torch.cat((observations, actions), dim=1).mean(dim=0)
    torch.testing.assert_close(
        critics.norms[0].mean[0, 0], (before["norms.0.mean"][0, 0] + seen) / 2
    )
