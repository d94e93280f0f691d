"""SAC+BC equals its equations, and clones what it is told to."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    build,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_gaussian,
    numpy_log_density,
    numpy_q,
    numpy_sample,
    one_step_task,
    with_networks,
)
from running import small

from awac_dist.algorithms.sac_bc import SACBC, SACBCConfig
from awac_dist.nn.config import ActorConfig
from awac_dist.tensors import Batch


def with_columns(batch: Batch, is_online: torch.Tensor) -> Batch:
    return replace(batch, columns={"is_online": is_online.to(batch.rewards.dtype)})


def numpy_actor_loss(method: SACBC, batch: Batch) -> float:
    config, (s, a, *_) = method.config, numpy_batch(batch)
    noise = normal(next_draws(method), *a.shape)
    drawn, density = numpy_sample(method.actor, config.actor, s, noise)
    value = numpy_q(method.critic, s, drawn).min(axis=0)
    mean, std = numpy_gaussian(method.actor, config.actor, s)
    rows = np.ones(len(s), bool)
    if config.bc_rows == "prior":
        rows &= batch.columns["is_online"].numpy() == 0
    if config.q_filter:
        better = numpy_q(method.critic, s, a).min(axis=0) > numpy_q(method.critic, s, mean).min(0)
        assert 0 < better.sum() < len(s)
        rows &= better
    clone = numpy_log_density(a, mean, std)[rows].mean()
    alpha = np.exp(method.duals["entropy_coef"].item())
    return float(np.mean(alpha * density - value) - config.bc_weight * clone)


@pytest.mark.parametrize("rows", ["prior", "all"])
@pytest.mark.parametrize("q_filter", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_actors_loss_equals_the_equations(rows: Any, q_filter: bool, weight: float) -> None:
    actor = ActorConfig(state_dependent_std=True)
    config = SACBCConfig(actor=actor, bc_weight=weight, bc_rows=rows, q_filter=q_filter)
    method, batch = make_method(config), make_batch(needs=SACBC.needs)
    expected = numpy_actor_loss(method, batch)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_where_there_is_no_prior_row_nothing_is_cloned() -> None:
    method, batch = make_method(SACBCConfig()), make_batch()
    losses = []
    for weight in (0.0, 5.0):
        method.config = replace(method.config, bc_weight=weight)
        method.generator.manual_seed(0)
        loss, metrics = method.actor_loss(with_columns(batch, torch.ones(24)))
        losses.append(loss.item())
        assert metrics["actor/cloned_rows"].item() == 0.0
    assert losses[0] == losses[1]


def test_demonstrations_are_followed_where_the_critic_knows_nothing_better() -> None:
    """Prior rows do s / 2, collected ones -0.8; all rewards are equal."""
    config = small(SACBCConfig(target_entropy=None, entropy_coef=0.01))
    method = build(with_networks(config, learning_rate=1e-2), BANDIT)
    rng, online = np.random.default_rng(0), torch.arange(64) % 2
    for _ in range(200):
        batch = one_step_task(64, rng, 0.05)
        actions = torch.where(online.bool().unsqueeze(1), -0.8, batch.actions)
        drawn = replace(batch, actions=actions, rewards=torch.zeros(64))
        method.update([with_columns(drawn, online)])
    states = torch.linspace(-1, 1, 21).unsqueeze(1)
    assert (method.actor(states).mean - states / 2).abs().max().item() < 0.15
