"""AWAC equals its equations, and holds its temperature."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    ROWS,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_gaussian,
    numpy_log_density,
    numpy_q,
)

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.replay.layout import Layout
from awac_dist.tensors import Batch

FIXED = AWACConfig(temperature=0.4, effective_batch=None)

CRITIC_OPTIONS = list(product((False, True), (False, True), (1, 2, 5), (None, 0.0)))
ACTOR_OPTIONS = list(
    product(
        ("softmax", "exp"), (("mean", 1), ("sample", 1), ("sample", 4), ("soft", 4)), (None, 0.5)
    )
)


def critic_loss(method: AWAC, batch: Batch) -> torch.Tensor:
    return method.critic_loss(batch, method.critic(batch.observations, batch.actions))[0]


def actor_loss(method: AWAC, batch: Batch) -> torch.Tensor:
    return method.actor_loss(batch, method.critic(batch.observations, batch.actions))[0]


def numpy_critic_loss(method: AWAC, batch: Batch) -> float:
    max_q = method.config.max_q
    s, a, r, d, s2 = numpy_batch(batch)
    mean, std = numpy_gaussian(method.actor, method.config.actor, s2)
    a2 = mean + std * normal(next_draws(method), *mean.shape)
    y = r + d * numpy_q(method.target_critic, s2, a2, max_q).min(axis=0)
    return float(sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a, max_q)))


def numpy_advantages(method: AWAC, batch: Batch) -> np.ndarray:
    """Advantages [B] before any clip."""
    config = method.config
    s, a, *_ = numpy_batch(batch)
    mean, std = numpy_gaussian(method.actor, config.actor, s)
    if config.value == "mean":
        chosen = [mean]
    else:
        chosen = list(
            mean + std * normal(next_draws(method), config.num_value_samples, *mean.shape)
        )
    q = [numpy_q(method.critic, s, actions, config.max_q).min(axis=0) for actions in (a, *chosen)]
    if config.value == "soft":
        temperature = np.exp(method.duals["log_temperature"].item())
        return q[0] - temperature * np.log(np.mean(np.exp(np.array(q[1:]) / temperature), axis=0))
    return q[0] - np.mean(q[1:], axis=0)


def numpy_actor_loss(method: AWAC, batch: Batch) -> float:
    config = method.config
    advantages = numpy_advantages(method, batch)
    if config.advantage_clip is not None:
        advantages = np.minimum(advantages, config.advantage_clip)
    exponentials = np.exp(advantages / np.exp(method.duals["log_temperature"].item()))
    if config.weights == "softmax":
        weights = exponentials / exponentials.sum() * len(advantages)
    else:
        weights = np.minimum(exponentials, config.max_weight)
    policy = numpy_gaussian(method.actor, config.actor, batch.observations.numpy())
    return float(-np.mean(weights * numpy_log_density(batch.actions.numpy(), *policy)))


def with_networks(
    config: AWACConfig, state_std: bool, layer_norm: bool, members: int
) -> AWACConfig:
    actor = replace(config.actor, state_dependent_std=state_std)
    critic = replace(config.critic, layer_norm=layer_norm, members=members)
    return replace(config, actor=actor, critic=critic)


@pytest.mark.parametrize(("state_std", "layer_norm", "members", "max_q"), CRITIC_OPTIONS)
def test_critic_loss_equals_the_equation(
    state_std: bool, layer_norm: bool, members: int, max_q: float | None
) -> None:
    config = with_networks(replace(FIXED, max_q=max_q), state_std, layer_norm, members)
    method, batch = make_method(config), make_batch()
    expected = numpy_critic_loss(method, batch)
    assert critic_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("state_std", "layer_norm", "members", "max_q"), CRITIC_OPTIONS)
@pytest.mark.parametrize(("weights", "value", "clip"), ACTOR_OPTIONS)
def test_actor_loss_equals_the_equation(
    weights: Any,
    value: tuple[Any, int],
    clip: float | None,
    state_std: bool,
    layer_norm: bool,
    members: int,
    max_q: float | None,
) -> None:
    config = replace(
        FIXED,
        weights=weights,
        max_weight=2.0,
        value=value[0],
        num_value_samples=value[1],
        advantage_clip=clip,
        max_q=max_q,
    )
    method = make_method(with_networks(config, state_std, layer_norm, members))
    batch = make_batch()
    expected = numpy_actor_loss(method, batch)
    assert actor_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [None, 0.5])
@pytest.mark.parametrize("weights", ["softmax", "exp"])
def test_losses_equal_the_equations_after_the_temperature_has_moved(
    share: float | None, weights: Any
) -> None:
    method = make_method(replace(FIXED, effective_batch=share, weights=weights))
    batch = make_batch()
    for _ in range(5):
        method.update([batch])
    moved = abs(method.duals["log_temperature"].exp().item() - FIXED.temperature) > 0.01
    assert moved == (share is not None)
    expected = numpy_critic_loss(method, batch)
    assert critic_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch)
    assert actor_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)


def test_the_batch_of_these_tests_reaches_every_bound() -> None:
    method, batch = make_method(FIXED), make_batch()
    advantages = numpy_advantages(method, batch)
    q = numpy_q(method.critic, batch.observations.numpy(), batch.actions.numpy(), None)
    for values, bound in ((advantages, 0.5), (np.exp(advantages / 0.4), 2.0), (q, 0.0)):
        assert 0.1 < np.mean(values > bound) < 0.9


@pytest.mark.parametrize("weights", ["softmax", "exp"])
def test_an_infinite_temperature_is_behavioural_cloning(weights: Any) -> None:
    batch = make_batch()
    method = make_method(replace(FIXED, temperature=1e8, weights=weights))
    actor_loss(method, batch).backward()
    clone = make_method(FIXED).actor
    (-clone(batch.observations).log_prob(batch.actions).mean()).backward()
    for ours, theirs in zip(method.actor.parameters(), clone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("start", [0.2, 6.0])
def test_the_temperature_holds_the_effective_batch_at_its_share(start: float) -> None:
    method = make_method(replace(FIXED, temperature=start, effective_batch=0.5, value="mean"))
    for optimizer in method.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    batch = make_batch()
    shares = [method.update([batch])["actor/effective_batch"].item() / ROWS for _ in range(250)]
    assert abs(shares[0] - 0.5) > 0.2
    assert shares[-1] == pytest.approx(0.5, abs=0.02)


def test_a_packed_block_is_read_column_by_column() -> None:
    layout = Layout(observation_size=3, action_size=2)
    block = torch.arange(10.0).expand(4, 10)
    batch = Batch.from_block(block, layout)
    assert batch.observations[0].tolist() == [0, 1, 2]
    assert batch.actions[0].tolist() == [3, 4]
    assert (batch.rewards[0].item(), batch.discounts[0].item()) == (5, 6)
    assert batch.next_observations[0].tolist() == [7, 8, 9]
