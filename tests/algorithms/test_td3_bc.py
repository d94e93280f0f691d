"""TD3 + BC equals its equations, and ReBRAC's are among its options."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    ENV,
    build,
    make_batch,
    make_method,
    numpy_action,
    numpy_batch,
    numpy_q,
    one_step_task,
    with_networks,
)
from running import small
from test_td3 import numpy_smoothed, numpy_value

from awac_dist.algorithms.td3_bc import TD3BC, TD3BCConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

HALF_RANGE = (np.array(ENV.action_high) - np.array(ENV.action_low)) / 2
OPTIONS = list(product(("first", "mean", "min"), (0.0, 2.5), (0.0, 0.5), (0.0, 0.1), (False, True)))


def numpy_critic_loss(method: TD3BC, batch: Batch) -> float:
    s, a, r, d, s2 = numpy_batch(batch)
    chosen = numpy_smoothed(method, s2)
    values = numpy_q(method.target_critic, s2, chosen).min(axis=0)
    if method.config.critic_penalty and not method.online:
        done = batch.columns["next_actions"].numpy()
        distance = (((chosen - done) / HALF_RANGE) ** 2).sum(axis=1)
        values = values - method.config.critic_penalty * distance * known(batch)
    y = r + d * values
    return float(sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a)))


def known(batch: Batch) -> np.ndarray:
    return batch.columns["has_next_action"].numpy()


def numpy_actor_loss(method: TD3BC, batch: Batch) -> float:
    config, (s, a, *_) = method.config, numpy_batch(batch)
    chosen = numpy_action(method.actor, s)
    values = numpy_value(method, s, chosen)
    weight = config.online_bc_weight if method.online else 1.0
    error = (((chosen - a) / HALF_RANGE) ** 2).mean()
    return float(weight * error - config.alpha / np.abs(values).mean() * values.mean())


@pytest.mark.parametrize(("actor_value", "alpha", "weight", "penalty", "online"), OPTIONS)
def test_the_losses_equal_the_equations(
    actor_value: Any, alpha: float, weight: float, penalty: float, online: bool
) -> None:
    config = TD3BCConfig(
        critic=CriticConfig(layer_norm=True),
        actor_value=actor_value,
        alpha=alpha,
        online_bc_weight=weight,
        critic_penalty=penalty,
    )
    method = make_method(config)
    batch, method.online = make_batch(needs=method.needs), online
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_rebrac_is_this_with_another_scale() -> None:
    """Its actor lowers beta_1 times the sum of squares, less Q / mean |Q|."""
    method = make_method(TD3BCConfig(alpha=1 / (0.01 * 2), actor_value="min"))
    batch = make_batch()
    s, a, *_ = numpy_batch(batch)
    chosen = numpy_action(method.actor, s)
    q = numpy_q(method.critic, s, chosen).min(axis=0)
    squares = (((chosen - a) / HALF_RANGE) ** 2).sum(axis=1)
    theirs = np.mean(0.01 * squares - q / np.abs(q).mean())
    assert method.actor_loss(batch)[0].item() * 0.01 * 2 == pytest.approx(theirs, rel=1e-9)


def test_next_actions_are_asked_for_where_they_are_read() -> None:
    assert make_method(TD3BCConfig()).needs == frozenset()
    assert make_method(TD3BCConfig(critic_penalty=0.1)).needs == {"next_actions"}


def test_what_is_not_known_of_the_next_action_does_not_matter() -> None:
    method = make_method(TD3BCConfig(critic_penalty=0.1))
    batch = make_batch(needs=method.needs)
    rows = torch.arange(24) % 2
    columns = {"next_actions": batch.columns["next_actions"], "has_next_action": rows.double()}
    losses = []
    for garbage in (0.0, 1e3):
        spoilt = columns["next_actions"] + garbage * (1 - rows.double()).unsqueeze(1)
        method.generator.manual_seed(3)
        losses.append(
            method.critic_loss(replace(batch, columns=columns | {"next_actions": spoilt}))
        )
    assert losses[0][0].item() == losses[1][0].item()


def test_it_prefers_the_better_of_what_the_data_did() -> None:
    """Half of the actions are near 0.9, half near -0.9, which is worth more; a clone does 0."""
    method = build(with_networks(small(TD3BCConfig(alpha=2.5)), learning_rate=1e-2), BANDIT)
    rng = np.random.default_rng(0)
    for _ in range(200):
        drawn = [one_step_task(64, rng) for _ in range(2)]
        sides = [torch.where(b.actions > 0, 0.9, -0.9) + 0.05 * b.actions for b in drawn]
        method.update(
            [replace(b, actions=a, rewards=-a[:, 0]) for b, a in zip(drawn, sides, strict=True)]
        )
    states = torch.linspace(-1, 1, 21).unsqueeze(1)
    assert method.actor(states).mean.max().item() < -0.6


def test_a_spread_that_no_loss_trains_is_refused() -> None:
    config = TD3BCConfig(actor=ActorConfig(kind="gaussian"))
    assert [found for found, _ in config.problems()] == ["actor.kind"]
