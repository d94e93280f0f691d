"""IQL equals its equations."""

from itertools import product

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    build,
    furthest_after,
    make_batch,
    make_method,
    numpy_batch,
    numpy_ensemble,
    numpy_gaussian,
    numpy_log_density,
    numpy_q,
    with_networks,
)
from running import small

from awac_dist.algorithms.iql import IQL, IQLConfig
from awac_dist.nn.config import ActorConfig, CriticConfig, NetworkConfig
from awac_dist.tensors import Batch

OPTIONS = list(product((False, True), (False, True), (1, 2, 5), (0.3, 0.9), (0.4, 3.0)))


def numpy_losses(method: IQL, batch: Batch) -> list[float]:
    """Of the value, the critics and the actor."""
    config, (s, a, r, d, s2) = method.config, numpy_batch(batch)
    values, next_values = (numpy_ensemble(method.networks["value"], x)[0] for x in (s, s2))
    u = numpy_q(method.target_critic, s, a).min(axis=0) - values
    below = np.where(u < 0, 1.0, 0.0)
    value_loss = np.mean(np.abs(config.expectile - below) * u**2)
    y = r + d * next_values
    critic_loss = sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a))
    weights = np.minimum(np.exp(u / config.temperature), config.max_weight)
    density = numpy_log_density(a, *numpy_gaussian(method.actor, config.actor, s))
    return [float(value_loss), float(critic_loss), float(-np.mean(weights * density))]


@pytest.mark.parametrize(
    ("state_std", "layer_norm", "members", "expectile", "temperature"), OPTIONS
)
def test_the_losses_equal_the_equations(
    state_std: bool, layer_norm: bool, members: int, expectile: float, temperature: float
) -> None:
    config = IQLConfig(
        actor=ActorConfig(state_dependent_std=state_std),
        critic=CriticConfig(members=members, layer_norm=layer_norm),
        expectile=expectile,
        temperature=temperature,
        max_weight=2.0,
    )
    method, batch = make_method(config), make_batch()
    losses = [loss.item() for loss, _ in method.losses(batch)]
    assert losses == pytest.approx(numpy_losses(method, batch), rel=1e-9)


def test_the_expectile_by_hand() -> None:
    method = build(IQLConfig(expectile=0.9))
    loss, _ = method.value_loss(torch.tensor([2.0, -1.0]))  # (0.9 * 4 + 0.1 * 1) / 2
    assert loss.item() == pytest.approx(1.85)


def test_v_nears_the_best_action_of_the_data() -> None:
    """Two actions of rewards 0 and 1, equally often: V at the expectile of a fair coin."""
    rates = {"learning_rate": 1e-2, "hidden": (8,)}
    config = IQLConfig(
        critic=CriticConfig(**rates, target_update_rate=0.05),
        value=NetworkConfig(**rates),
        expectile=0.9,
    )
    method = build(config, BANDIT)
    actions = torch.tensor([[-1.0], [1.0]]).repeat(4, 1)
    states, rewards = torch.zeros(8, 1), (actions[:, 0] + 1) / 2
    for _ in range(400):
        method.update([Batch(states, actions, rewards, torch.zeros(8), states)])
    value = method.networks["value"](torch.zeros(1, 1)).item()
    assert value == pytest.approx(0.9, abs=0.03)  # 0.9 (1 - V) = 0.1 V


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    config = small(IQLConfig(temperature=0.01, expectile=0.9))
    method = build(with_networks(config, learning_rate=3e-3), BANDIT)
    assert furthest_after(method, 300, 128) < 0.15
