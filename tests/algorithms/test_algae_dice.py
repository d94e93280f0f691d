"""AlgaeDICE equals its equations."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    build,
    furthest_after,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_q,
    numpy_sample,
    with_networks,
)
from running import small

from awac_dist.algorithms.algae_dice import AlgaeDICE, AlgaeDICEConfig
from awac_dist.cli.options import parse
from awac_dist.errors import InputError
from awac_dist.nn.config import CriticConfig
from awac_dist.tensors import Batch

OPTIONS = list(product(("gaussian", "squashed_gaussian"), (1.5, 2.0, 3.0), (0.05, 1.0)))


def batch_of(seed: int = 1) -> Batch:
    return make_batch(seed=seed, needs=AlgaeDICE.needs)


def numpy_terms(method: AlgaeDICE, batch: Batch, draws_more: bool) -> tuple[Any, Any]:
    """The errors u [E, B], and (1 - g) w times the values [E, B] of the first actions."""
    config, (s, a, r, d, s2), draws = method.config, numpy_batch(batch), next_draws(method)
    s0 = batch.columns["initial_observations"].numpy()
    a2, density = numpy_sample(method.actor, config.actor, s2, normal(draws, *a.shape))
    a0, _ = numpy_sample(method.actor, config.actor, s0, normal(draws, *a.shape))
    slow = numpy_q(method.target_critic, s2, a2)
    if config.target_members < len(slow):
        if draws_more:  # for the entropy
            normal(draws, *a.shape)
        slow = slow[torch.randperm(len(slow), generator=draws).numpy()[: config.target_members]]
    share, alpha = config.online_share, np.exp(method.duals["entropy_coef"].item())
    mixed = share * numpy_q(method.critic, s2, a2) + (1 - share) * slow.min(axis=0)
    u = r + d * (mixed - config.entropy_in_target * alpha * density) - numpy_q(method.critic, s, a)
    return u, 0.01 * config.divergence_weight * numpy_q(method.critic, s0, a0)  # gamma is 0.99


@pytest.mark.parametrize(("kind", "exponent", "online_share"), OPTIONS)
@pytest.mark.parametrize("target_members", [1, 3])
@pytest.mark.parametrize("actor_value", ["mean", "min"])
@pytest.mark.parametrize("entropy_in_target", [False, True])
def test_the_losses_equal_the_equations(
    kind: Any,
    exponent: float,
    online_share: float,
    target_members: int,
    actor_value: Any,
    entropy_in_target: bool,
) -> None:
    config = AlgaeDICEConfig(
        actor=replace(AlgaeDICEConfig().actor, kind=kind, log_std_max=0.5),
        critic=CriticConfig(members=3),
        target_members=target_members,
        actor_value=actor_value,
        entropy_in_target=entropy_in_target,
        exponent=exponent,
        online_share=online_share,
        divergence_weight=3.0,
    )
    method, batch = make_method(config), batch_of()
    method.update([batch_of(5), batch_of(6)])
    u, initial = numpy_terms(method, batch, False)
    expected = np.sum(np.mean(np.abs(u) ** exponent / exponent + initial, axis=1))
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    u, initial = numpy_terms(method, batch, True)
    objective = np.maximum(u, 0) ** (exponent - 1) * u + initial
    values = objective.mean(axis=0) if actor_value == "mean" else objective.min(axis=0)
    assert method.actor_loss(batch)[0].item() == pytest.approx(-np.mean(values), rel=1e-9)


def test_the_critics_follow_both_ends_of_the_error_and_the_first_values() -> None:
    """The gradient is the slope of the loss, measured: nothing of it is taken for a constant."""
    method, batch = (
        make_method(AlgaeDICEConfig(online_share=0.5, divergence_weight=9.0)),
        batch_of(),
    )
    weight = method.critic.head.weight
    before = method.generator.get_state()

    def loss() -> torch.Tensor:
        method.generator.set_state(before)
        return method.critic_loss(batch)[0]

    (gradient,) = torch.autograd.grad(loss(), [weight])
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        weight += 1e-6 * direction
        above = loss()
        weight -= 2e-6 * direction
        below = loss()
    torch.testing.assert_close(
        (gradient * direction).sum(), (above - below) / 2e-6, rtol=1e-6, atol=1e-6
    )


def test_the_ratio_is_a_constant_of_the_actor() -> None:
    """f'(u)+ u has the slope f'(u)+, not that of a square; and none where u is below 0."""
    method = make_method(AlgaeDICEConfig(exponent=2.0, critic_batches=1))
    batch = batch_of()
    zeros = torch.zeros(2, len(batch.rewards), dtype=torch.float64)
    method.initial_values = lambda batch, actions: zeros
    u = zeros.clone()
    u[0], u[1] = 3.0, -4.0
    u.requires_grad_()
    method.residuals = lambda *parts: (u, zeros)
    loss, metrics = method.actor_loss(batch)
    loss.backward()
    assert u.grad is not None
    rows = 2 * len(batch.rewards)  # the mean over critics and rows
    torch.testing.assert_close(u.grad[0], torch.full_like(u[0], -3.0 / rows))
    torch.testing.assert_close(u.grad[1], torch.zeros_like(u[1]))
    assert metrics["actor/ratio_mean"].item() == pytest.approx(1.5)


@pytest.mark.parametrize(("exponent", "weight"), [(1.5, 0.01), (2.0, 0.1)])
def test_a_one_step_task_is_solved_from_actions_at_random(exponent: float, weight: float) -> None:
    config = AlgaeDICEConfig(target_entropy=None, entropy_coef=0.01)
    config = replace(config, exponent=exponent, divergence_weight=weight)
    method = build(with_networks(small(config), learning_rate=1e-2), BANDIT)
    assert furthest_after(method, 200) < 0.15


def test_an_exponent_whose_slope_does_not_rise_is_refused() -> None:
    with pytest.raises(InputError, match=r"exponent: 1\.0 is not above 1"):
        parse(["--algorithm", "algae_dice", "--algorithm.exponent", "1.0"])
