"""Networks: ensembles of independent members, the actor and its NumPy twin."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from awac_dist.nn.actors import GaussianActor
from awac_dist.nn.critics import CriticEnsemble
from awac_dist.nn.distributions import DiagonalGaussian
from awac_dist.policies.policy import GaussianPolicy
from awac_dist.policies.spec import PolicySpec

LOW, HIGH = (-1.0, -2.0), (1.0, 3.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(sum(shape)))


def policy_spec(*, state_dependent_std: bool, **options: Any) -> PolicySpec:
    return PolicySpec((3, 16, 12, 2), LOW, HIGH, state_dependent_std, **options)


def make_actor(*, state_dependent_std: bool, **options: Any) -> GaussianActor:
    """Build an actor with parameters large enough to bend every nonlinearity."""
    actor = GaussianActor(policy_spec(state_dependent_std=state_dependent_std, **options), seeded())
    randomise(actor)
    return actor


def randomise(module: nn.Module) -> None:
    generator = seeded(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)


def make_critic(*, members: int = 4, layer_norm: bool = False, **options: Any) -> CriticEnsemble:
    critic = CriticEnsemble(
        5, (16, 12), members, generator=seeded(), layer_norm=layer_norm, **options
    )
    randomise(critic)
    return critic


def member(critic: CriticEnsemble, number: int) -> nn.Sequential:
    """Build an ordinary MLP from the parameters of one member."""
    modules: list[nn.Module] = []
    for layer, norm_layer in zip(critic.layers, critic.norms, strict=True):
        modules.append(linear(layer.weight[number].T, layer.bias[number, 0]))
        if not isinstance(norm_layer, nn.Identity):
            normalise = nn.LayerNorm(layer.weight.shape[-1])
            for name, parameter in norm_layer.named_parameters():
                mine = parameter if parameter.dim() == 1 else parameter[number, 0]
                getattr(normalise, name).data = mine.detach()
            modules.append(normalise)
        modules.append(nn.ReLU())
    modules.append(linear(critic.head.weight[number].T, critic.head.bias[number, 0]))
    return nn.Sequential(*modules)


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight.detach(), bias.detach()
    return layer


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("members", [1, 4])
def test_an_ensemble_equals_separate_networks(members: int, layer_norm: bool) -> None:
    critic = make_critic(members=members, layer_norm=layer_norm)
    observations, actions = normal(6, 3), normal(6, 2)
    inputs = torch.cat((observations, actions), dim=1)
    separate = torch.stack([member(critic, e)(inputs)[:, 0] for e in range(members)])
    torch.testing.assert_close(critic(observations, actions), separate)


def test_many_actions_a_state_equal_one_call_for_each() -> None:
    critic = make_critic()
    observations, actions = normal(6, 3), normal(7, 6, 2)
    one_by_one = torch.stack([critic(observations, chosen) for chosen in actions], dim=1)
    torch.testing.assert_close(critic(observations, actions), one_by_one)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_learning_one_member_leaves_the_others_as_they_are(layer_norm: bool) -> None:
    critic = make_critic(layer_norm=layer_norm)
    observations, actions = normal(6, 3), normal(6, 2)
    before = critic(observations, actions).detach()
    critic(observations, actions)[0].square().sum().backward()
    torch.optim.SGD(critic.parameters(), lr=0.1).step()
    after = critic(observations, actions)
    assert not torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=0)


def test_members_start_apart() -> None:
    critic = CriticEnsemble(5, (16,), 3, generator=seeded())
    values = critic(normal(6, 3), normal(6, 2))
    assert not torch.allclose(values[0], values[1])
    assert not torch.allclose(values[1], values[2])


def test_a_bounded_critic_never_exceeds_its_bound() -> None:
    observations, actions = normal(64, 3), normal(64, 2)
    free = make_critic()(observations, actions)
    bounded = make_critic(max_value=0.0)(observations, actions)
    assert free.max() > 0
    torch.testing.assert_close(bounded, free.clamp(max=0.0))


def test_critics_start_within_their_bounds_and_fill_them() -> None:
    critic = CriticEnsemble(5, (256, 128), 2, generator=seeded())
    bounds = [width**-0.5 for width in (5, 256)] + [3e-3]
    for layer, bound in zip([*critic.layers, critic.head], bounds, strict=True):
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound
        assert not layer.bias.any()


@pytest.mark.parametrize("state_dependent_std", [False, True])
def test_actors_start_within_their_bounds_and_fill_them(state_dependent_std: bool) -> None:
    spec = PolicySpec((5, 256, 128, 3), (-1.0,) * 3, (1.0,) * 3, state_dependent_std)
    weights = list(GaussianActor(spec, seeded()).weights)
    bounds = [5**-0.5, 0, 256**-0.5, 0, 1e-3, 0, *([1e-3, 0] if state_dependent_std else [0])]
    for weight, bound in zip(weights, bounds, strict=True):
        assert 0.9 * bound <= weight.abs().max().item() <= bound


@pytest.mark.parametrize("state_dependent_std", [False, True])
def test_a_new_actor_acts_near_the_centre_with_the_middle_log_std(
    state_dependent_std: bool,
) -> None:
    actor = GaussianActor(policy_spec(state_dependent_std=state_dependent_std), seeded())
    policy = actor(normal(6, 3))
    centre, half_range = torch.tensor([0.0, 0.5]), torch.tensor([1.0, 2.5])
    torch.testing.assert_close(policy.mean, centre.expand(6, 2), rtol=0, atol=0.05)
    expected = half_range.log() - 3.0
    torch.testing.assert_close(policy.log_std, expected.expand(6, 2), rtol=0, atol=0.05)


@pytest.mark.parametrize("state_dependent_std", [False, True])
def test_the_spec_lists_the_shapes_of_the_actors_parameters(state_dependent_std: bool) -> None:
    actor = make_actor(state_dependent_std=state_dependent_std)
    assert actor.spec.shapes == tuple(tuple(p.shape) for p in actor.parameters())
    assert actor.spec.size == sum(p.numel() for p in actor.parameters())
    assert len(actor.flat_vector()) == actor.spec.size


def test_means_stay_within_the_bounds_and_samples_may_leave_them() -> None:
    actor = make_actor(state_dependent_std=False)
    policy = actor(100 * torch.randn(512, 3, generator=seeded(1)))
    low, high = torch.tensor(LOW), torch.tensor(HIGH)
    assert ((policy.mean >= low) & (policy.mean <= high)).all()
    samples = policy.sample(seeded(2))
    assert ((samples < low) | (samples > high)).any()


TWINS = pytest.mark.parametrize(
    "options",
    [
        pytest.param({"state_dependent_std": False}, id="one std"),
        pytest.param({"state_dependent_std": True}, id="std of the state"),
        pytest.param(
            {"state_dependent_std": True, "log_std_min": -2.0, "log_std_max": 1.0}, id="wide std"
        ),
    ],
)


@TWINS
def test_the_numpy_policy_equals_the_actor(options: dict[str, Any]) -> None:
    actor = make_actor(**options)
    twin = GaussianPolicy(actor.spec, actor.flat_vector().numpy(), version=3)
    observations = normal(64, 3)
    with torch.no_grad():
        policy = actor(observations)
        samples = policy.sample(seeded(5))
    noise = torch.randn(64, 2, generator=seeded(5)).numpy()
    means = twin.mean(observations.numpy())
    np.testing.assert_allclose(means, policy.mean.numpy(), rtol=1e-5, atol=1e-6)
    drawn = twin.sample(observations.numpy(), noise)
    np.testing.assert_allclose(drawn, samples.numpy(), rtol=1e-5, atol=1e-5)
    assert means.dtype == drawn.dtype == np.float32
    assert twin.version == 3


@pytest.mark.parametrize("change", [-1, 1])
def test_a_vector_of_another_length_is_refused(change: int) -> None:
    spec = policy_spec(state_dependent_std=False)
    with pytest.raises(ValueError, match=f"{spec.size} parameters was given {spec.size + change}"):
        GaussianPolicy(spec, np.zeros(spec.size + change, np.float32), version=0)


def test_log_prob_is_the_density_of_independent_normals() -> None:
    mean, log_std, actions = torch.randn(3, 8, 4, dtype=torch.float64, generator=seeded())
    log_prob = DiagonalGaussian(mean, log_std).log_prob(actions)
    expected = norm.logpdf(actions, mean, log_std.exp()).sum(axis=1)
    np.testing.assert_allclose(log_prob.numpy(), expected, rtol=1e-12)


def test_samples_have_the_mean_and_spread_that_they_claim() -> None:
    policy = DiagonalGaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0]).log())
    samples = policy.sample(seeded(), (100_000,))
    torch.testing.assert_close(samples.mean(dim=0), policy.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(samples.std(dim=0), policy.log_std.exp(), rtol=0.02, atol=0)


def test_samples_carry_gradients_to_mean_and_spread() -> None:
    mean, log_std = (torch.zeros(2, requires_grad=True) for _ in range(2))
    DiagonalGaussian(mean, log_std).sample(seeded()).sum().backward()
    assert mean.grad is not None
    assert log_std.grad is not None
