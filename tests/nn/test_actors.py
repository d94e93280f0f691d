"""Actors: each kind equals its NumPy twin, and its densities are those of the textbook."""

from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from awac_dist.nn.actors import ACTORS, Actor, make_actor
from awac_dist.nn.config import ActorConfig
from awac_dist.nn.distributions import (
    Deterministic,
    DiagonalGaussian,
    Distribution,
    SquashedGaussian,
)
from awac_dist.policies import POLICIES, make_policy, policy_class
from awac_dist.policies.choosing import ChoosingPolicy
from awac_dist.policies.spec import PolicySpec

LOW, HIGH = (-1.0, -2.0), (1.0, 3.0)
CENTRE, HALF_RANGE = np.array([0.0, 0.5]), np.array([1.0, 2.5])
KINDS = pytest.mark.parametrize("kind", ACTORS)
STD_OF_STATE = pytest.mark.parametrize("state_dependent_std", [False, True])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(sum(shape)))


def make_spec(kind: str = "gaussian", state_dependent_std: bool = False) -> PolicySpec:
    return PolicySpec(kind, (3, 16, 12, 2), LOW, HIGH, state_dependent_std)


def bent(spec: PolicySpec) -> Actor:
    """An actor with parameters large enough to bend every nonlinearity."""
    actor, generator = make_actor(spec, seeded()), seeded(7)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
    return actor


def test_every_kind_has_its_twin_or_chooses() -> None:
    """What chooses is made of several networks: its twin is its method's, `Method.act`."""
    chooses = [kind for kind in POLICIES if issubclass(policy_class(kind), ChoosingPolicy)]
    assert sorted([*ACTORS, *chooses]) == sorted(POLICIES)
    assert get_args(get_type_hints(ActorConfig)["kind"]) == tuple(ACTORS)


@KINDS
@STD_OF_STATE
@pytest.mark.parametrize("log_std", [(-6.0, 0.0), (-2.0, 1.0)])
def test_a_policy_equals_its_actor(
    kind: str, state_dependent_std: bool, log_std: tuple[float, float]
) -> None:
    spec = replace(
        make_spec(kind, state_dependent_std), log_std_min=log_std[0], log_std_max=log_std[1]
    )
    actor = bent(spec)
    twin = make_policy(spec, actor.flat_vector().numpy(), version=3)
    observations, noise = normal(64, 3), normal(64, 2)
    with torch.no_grad():
        wanted = actor(observations)
        found = twin.sample(observations.numpy(), noise.numpy())
        np.testing.assert_allclose(found, wanted.at(noise).numpy(), rtol=1e-5, atol=1e-5)
    means = twin.mean(observations.numpy())
    np.testing.assert_allclose(means, wanted.mean.numpy(), rtol=1e-5, atol=1e-6)
    assert means.dtype == found.dtype == np.float32
    assert (twin.version, twin.noise_size, twin.memory_size) == (3, 2, 0)


@KINDS
@STD_OF_STATE
def test_arrays_by_name_are_the_flat_vector_in_order(kind: str, state_dependent_std: bool) -> None:
    actor = bent(make_spec(kind, state_dependent_std))
    arrays = {name: array.numpy() for name, array in actor.arrays().items()}
    vector = actor.spec.flatten(arrays)
    np.testing.assert_array_equal(vector, actor.flat_vector().numpy())
    other = make_actor(actor.spec, seeded(1))
    other.load_arrays(actor.spec.unflatten(vector))
    assert torch.equal(other.flat_vector(), actor.flat_vector())


@STD_OF_STATE
def test_actors_start_within_their_bounds_and_fill_them(state_dependent_std: bool) -> None:
    spec = PolicySpec("gaussian", (5, 256, 128, 3), (-1.0,) * 3, (1.0,) * 3, state_dependent_std)
    weights = list(make_actor(spec, seeded()).weights)
    bounds = [5**-0.5, 0, 256**-0.5, 0, 1e-3, 0, *([1e-3, 0] if state_dependent_std else [0])]
    for weight, bound in zip(weights, bounds, strict=True):
        assert 0.9 * bound <= weight.abs().max().item() <= bound


@KINDS
@STD_OF_STATE
def test_a_new_actor_acts_near_the_centre_with_the_middle_log_std(
    kind: str, state_dependent_std: bool
) -> None:
    policy = make_actor(make_spec(kind, state_dependent_std), seeded())(normal(6, 3))
    np.testing.assert_allclose(policy.mean.detach(), np.tile(CENTRE, (6, 1)), atol=0.05)
    wanted = {
        "gaussian": np.log(HALF_RANGE) - 3,
        "squashed_gaussian": [-3.0, -3.0],
        "deterministic": np.log(HALF_RANGE * 0.1),
    }[kind]
    np.testing.assert_allclose(policy.log_std.detach(), np.tile(wanted, (6, 1)), atol=0.05)


def test_means_stay_within_the_bounds_and_a_gaussians_samples_may_leave_them() -> None:
    observations, (low, high) = 100 * torch.randn(512, 3, generator=seeded(1)), (LOW, HIGH)
    for kind in ACTORS:
        policy = bent(make_spec(kind))(observations)
        mean, sample = policy.mean.detach().numpy(), policy.at(normal(512, 2)).detach().numpy()
        assert ((mean >= low) & (mean <= high)).all()
        inside = bool(((sample >= low) & (sample <= high)).all())
        assert inside == (kind != "gaussian")


# --- distributions


def gaussian() -> DiagonalGaussian:
    mean, log_std = torch.randn(2, 8, 2, dtype=torch.float64, generator=seeded())
    return DiagonalGaussian(mean.requires_grad_(), log_std.requires_grad_())


def squashed(inner: DiagonalGaussian) -> SquashedGaussian:
    return SquashedGaussian(inner, torch.from_numpy(CENTRE), torch.from_numpy(HALF_RANGE))


def test_log_prob_is_the_density_of_independent_normals() -> None:
    policy, actions = gaussian(), torch.randn(8, 2, dtype=torch.float64, generator=seeded(1))
    mean, std = policy.mean.detach(), policy.log_std.detach().exp()
    expected = norm.logpdf(actions, mean, std).sum(axis=1)
    np.testing.assert_allclose(policy.log_prob(actions).detach(), expected, rtol=1e-12)


def test_the_log_prob_of_a_squashed_sample_is_by_change_of_variables() -> None:
    inner = gaussian()
    policy, noise = squashed(inner), torch.randn(8, 2, dtype=torch.float64, generator=seeded(3))
    actions, log_prob = policy.at_with_log_prob(noise)
    raw = inner.at(noise).detach().numpy()
    np.testing.assert_allclose(actions.detach(), CENTRE + HALF_RANGE * np.tanh(raw), rtol=1e-12)
    mean, std = inner.mean.detach(), inner.log_std.detach().exp()
    slope = HALF_RANGE * (1 - np.tanh(raw) ** 2)  # of the action by u
    expected = (norm.logpdf(raw, mean, std) - np.log(slope)).sum(axis=1)
    np.testing.assert_allclose(log_prob.detach(), expected, rtol=1e-9)
    np.testing.assert_allclose(policy.log_prob_under(policy, noise).detach(), expected, rtol=1e-9)
    inside = (np.abs(np.tanh(raw)) < 0.99).all(axis=1)
    assert 0 < inside.sum() < len(inside)
    logged = policy.log_prob(actions).detach()
    np.testing.assert_allclose(logged[inside], expected[inside], rtol=1e-9)


@pytest.mark.parametrize("share", [0.995, 1.0, 1.5])
def test_a_logged_action_at_a_bound_counts_as_a_hundredth_of_the_half_range_inside(
    share: float,
) -> None:
    policy = squashed(gaussian())
    for side in (-1, 1):
        at_bound, counts_as = (
            torch.from_numpy(CENTRE + side * HALF_RANGE * far) for far in (share, 0.99)
        )
        torch.testing.assert_close(policy.log_prob(at_bound), policy.log_prob(counts_as))


def test_a_few_actions_at_a_bound_do_not_rule_a_clone() -> None:
    """A sixth of the door's are; nearer to the bound their u is 7 where the others' is near 0."""
    actions = torch.zeros(60, 1)
    actions[::6] = 1
    both = torch.zeros(2, 1, requires_grad=True)
    optimiser = torch.optim.Adam([both], lr=0.05)
    for _ in range(400):
        policy = SquashedGaussian(DiagonalGaussian(*both), torch.zeros(1), torch.ones(1))
        optimiser.zero_grad()
        (-policy.log_prob(actions).mean()).backward()
        optimiser.step()
    assert 0.1 < policy.mean.item() < 0.5  # their own mean is 0.17


def test_the_divergence_of_squashed_gaussians_is_that_of_their_normals_however_far_out() -> None:
    inner, noise = gaussian(), torch.randn(8, 2, dtype=torch.float64, generator=seeded(3))
    far = DiagonalGaussian(inner.mean + 9, inner.log_std)
    _, mine = squashed(far).at_with_log_prob(noise)
    found = mine - squashed(far).log_prob_under(squashed(inner), noise)
    normals = far.log_prob(far.at(noise)) - far.log_prob_under(inner, noise)
    torch.testing.assert_close(found, normals)


def test_a_squashed_density_sums_to_one() -> None:
    inner = DiagonalGaussian(torch.full((1,), 0.4), torch.full((1,), -1.0))
    policy = SquashedGaussian(inner, torch.tensor([0.5]), torch.tensor([2.5]))
    actions = torch.linspace(-2.0, 3.0, 200_001)[1:-1, None]
    assert policy.log_prob(actions).exp().sum().item() * 5 / 200_000 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("mean", [-60.0, 0.0, 60.0])
def test_a_squashed_log_prob_is_finite_far_out_and_at_the_bounds(mean: float) -> None:
    inner = DiagonalGaussian(torch.full((2,), mean, requires_grad=True), torch.zeros(2))
    policy = SquashedGaussian(inner, torch.zeros(2), torch.ones(2))
    actions, log_prob = policy.at_with_log_prob(normal(2))
    total = log_prob + policy.log_prob(torch.tensor([-1.0, 1.0])) + actions.sum()
    total.backward()
    assert total.isfinite()
    assert inner.mean.grad is not None
    assert inner.mean.grad.isfinite().all()


def test_a_deterministic_log_prob_is_least_squares_in_half_ranges() -> None:
    half_range = torch.tensor([1.0, 2.5])
    policy = Deterministic(torch.tensor([[0.5, 1.0]]), torch.zeros(2), half_range, 0.1)
    actions = torch.tensor([[0.0, -4.0]])  # off by 0.5 and 5: 0.5 and 2 half ranges
    assert policy.log_prob(actions).item() == pytest.approx(-0.5 * (0.25 + 4.0))
    assert policy.at(torch.tensor([[2.0, -1.0]])).tolist() == [pytest.approx([0.7, 0.75])]
    assert policy.at(torch.tensor([[6.0, -20.0]])).tolist() == [[1.0, -2.5]]


def test_samples_have_the_mean_and_spread_that_they_claim() -> None:
    policy = DiagonalGaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0]).log())
    samples = policy.at(normal(100_000, 2))
    torch.testing.assert_close(samples.mean(dim=0), policy.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(samples.std(dim=0), policy.log_std.exp(), rtol=0.02, atol=0)


@pytest.mark.parametrize("squashes", [False, True])
def test_samples_carry_gradients_to_mean_and_spread(squashes: bool) -> None:
    inner = gaussian()
    policy: Distribution = squashed(inner) if squashes else inner
    noise = torch.randn(8, 2, dtype=torch.float64, generator=seeded())
    actions, log_prob = policy.at_with_log_prob(noise)
    (actions.sum() + log_prob.sum()).backward()
    for parameter in (inner.mean, inner.log_std):
        assert parameter.grad is not None
        assert parameter.grad.abs().min() > 0
