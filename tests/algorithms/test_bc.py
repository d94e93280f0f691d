"""Behavioural cloning equals its equation, for each kind of policy."""

from typing import Any

import numpy as np
import pytest
from methods import ENV, make_batch, make_method, numpy_batch, numpy_gaussian, numpy_log_density

from awac_dist.algorithms.bc import BCConfig
from awac_dist.nn.config import ActorConfig


@pytest.mark.parametrize("state_std", [False, True])
def test_the_loss_is_the_negative_log_likelihood(state_std: bool) -> None:
    config = BCConfig(ActorConfig(state_dependent_std=state_std))
    method, batch = make_method(config), make_batch()
    s, a, *_ = numpy_batch(batch)
    expected = -np.mean(numpy_log_density(a, *numpy_gaussian(method.actor, config.actor, s)))
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_a_deterministic_clone_is_least_squares() -> None:
    method, batch = make_method(BCConfig(ActorConfig(kind="deterministic"))), make_batch()
    half_range = (np.array(ENV.action_high) - np.array(ENV.action_low)) / 2
    error = (batch.actions - method.actor(batch.observations).mean).detach().numpy()
    expected = 0.5 * np.mean(((error / half_range) ** 2).sum(axis=1))
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "squashed_gaussian", "deterministic"])
def test_every_kind_of_policy_learns_the_actions(kind: Any) -> None:
    method = make_method(BCConfig(ActorConfig(kind=kind, learning_rate=1e-2)))
    losses = [method.update([make_batch()])["actor/loss"].item() for _ in range(200)]
    assert losses[-1] < losses[0] - 0.1
