"""TD3 equals its equations."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    ENV,
    build,
    furthest_after,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_action,
    numpy_batch,
    numpy_q,
    with_networks,
)
from running import small

from awac_dist.algorithms.td3 import TD3, TD3Config
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

OPTIONS = list(product(("first", "mean", "min"), (1, 2, 5), (False, True), (0.0, 0.2), (0.1, 0.5)))


def numpy_smoothed(method: Any, states: np.ndarray) -> np.ndarray:
    """The slow policy's actions with noise."""
    config, low, high = method.config, np.array(ENV.action_low), np.array(ENV.action_high)
    noise = config.target_noise * normal(next_draws(method), len(states), 2)
    noise = np.clip(noise, -config.target_noise_clip, config.target_noise_clip)
    return np.clip(numpy_action(method.target_actor, states) + noise * (high - low) / 2, low, high)


def numpy_value(method: Any, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    q = numpy_q(method.critic, states, actions)
    return {"first": q[0], "mean": q.mean(axis=0), "min": q.min(axis=0)}[method.config.actor_value]


def numpy_critic_loss(method: TD3, batch: Batch) -> float:
    s, a, r, d, s2 = numpy_batch(batch)
    y = r + d * numpy_q(method.target_critic, s2, numpy_smoothed(method, s2)).min(axis=0)
    return float(sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a)))


@pytest.mark.parametrize(("actor_value", "members", "layer_norm", "noise", "clip"), OPTIONS)
def test_the_losses_equal_the_equations(
    actor_value: Any, members: int, layer_norm: bool, noise: float, clip: float
) -> None:
    config = TD3Config(
        critic=CriticConfig(members=members, layer_norm=layer_norm),
        actor_value=actor_value,
        target_noise=noise,
        target_noise_clip=clip,
    )
    method, batch = make_method(config), make_batch()
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    s = batch.observations.numpy()
    expected = -numpy_value(method, s, numpy_action(method.actor, s)).mean()
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_actions_of_the_target_have_bounded_noise_and_stay_in_the_bounds() -> None:
    method = make_method(TD3Config(target_noise=3.0, target_noise_clip=0.5))
    states = make_batch(500).observations
    chosen, plain = method.smoothed(states), method.target_actor(states).mean
    low, high = (
        torch.tensor(bound, dtype=torch.float64) for bound in (ENV.action_low, ENV.action_high)
    )
    moved = (chosen - plain) / ((high - low) / 2)
    assert moved.abs().max().item() == pytest.approx(0.5)
    assert torch.equal(chosen, chosen.clamp(low, high))
    assert (chosen == low).any()
    assert (chosen == high).any()


def test_targets_and_actor_move_once_an_update() -> None:
    method = make_method(TD3Config(critic_batches=3))
    order: list[str] = []
    follow, move = method.follow, method.move_targets
    method.follow = lambda gradients, names: (order.append(*names), follow(gradients, names))
    method.move_targets = lambda: (order.append("targets"), move())
    method.update([make_batch(seed=seed) for seed in range(3)])
    assert order == ["critic", "critic", "critic", "actor", "targets"]


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    method = build(with_networks(small(TD3Config()), learning_rate=1e-2), BANDIT)
    assert furthest_after(method, 200) < 0.15


@pytest.mark.parametrize("kind", ["gaussian", "squashed_gaussian"])
def test_a_spread_that_no_loss_trains_is_refused(kind: Any) -> None:
    config = TD3Config(actor=ActorConfig(kind=kind))
    assert [found for found, _ in config.problems()] == ["actor.kind"]
