"""Networks: ensembles of independent members."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from awac_dist.nn.critics import CriticEnsemble


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(sum(shape)))


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
