"""MARWIL equals its equations."""

from itertools import product

import numpy as np
import pytest
from methods import (
    BANDIT,
    build,
    furthest_after,
    make_batch,
    make_method,
    numpy_ensemble,
    numpy_gaussian,
    numpy_log_density,
    one_step_task,
    with_networks,
)
from running import small

from awac_dist.algorithms.marwil import MARWIL, MARWILConfig
from awac_dist.nn.config import ActorConfig
from awac_dist.tensors import Batch

OPTIONS = list(product((False, True), (0.5, 3.0), (1.5, 20.0), (0.1, 4.0), (1e-8, 0.2, 1.0)))


def numpy_losses(method: MARWIL, batch: Batch, squared_norm: float) -> tuple[list[float], float]:
    """Of the value and the actor, and c^2 afterwards."""
    config, states = method.config, batch.observations.numpy()
    columns = {name: column.numpy() for name, column in batch.columns.items()}
    seen = (states, columns["final_observations"])
    values, final = (numpy_ensemble(method.networks["value"], each)[0] for each in seen)
    advantages = columns["returns"] + columns["return_discounts"] * final - values
    squared_norm += config.norm_rate * (np.mean(advantages**2) - squared_norm)
    weights = np.exp(advantages / np.sqrt(squared_norm) / config.temperature)
    weights = np.minimum(weights, config.max_weight)
    policy = numpy_gaussian(method.actor, config.actor, states)
    density = numpy_log_density(batch.actions.numpy(), *policy)
    losses = float(np.mean(advantages**2)), float(-np.mean(weights * density))
    return list(losses), float(squared_norm)


@pytest.mark.parametrize(("state_std", "temperature", "max_weight", "start", "rate"), OPTIONS)
def test_the_losses_equal_the_equations_while_the_norm_moves(
    state_std: bool, temperature: float, max_weight: float, start: float, rate: float
) -> None:
    config = MARWILConfig(
        actor=ActorConfig(state_dependent_std=state_std),
        temperature=temperature,
        max_weight=max_weight,
        norm_start=start,
        norm_rate=rate,
    )
    method, squared_norm = make_method(config), start
    for seed in range(3):
        batch = make_batch(seed=seed, needs=method.needs)
        losses = [loss.item() for loss, _ in method.losses(batch)]
        expected, squared_norm = numpy_losses(method, batch, squared_norm)
        assert losses == pytest.approx(expected, rel=1e-9)
        method.update([batch])
        assert method.duals["squared_norm"].item() == pytest.approx(squared_norm, rel=1e-12)


def test_the_papers_rate_moves_the_norm_although_all_else_is_float32() -> None:
    method = build(small(MARWILConfig(), 8), BANDIT)
    batch = one_step_task(16, np.random.default_rng(0), None, method.needs)
    method.update([batch])
    moved = 100 - method.duals["squared_norm"].item()
    assert 0.9e-6 < moved < 1.1e-6  # 1e-8 of 100 less the squared advantage, which is about 1


def test_advantages_that_overflow_the_exponential_weigh_as_much_as_may_be() -> None:
    method = build(small(MARWILConfig(), 8), BANDIT)
    batch = one_step_task(16, np.random.default_rng(0), None, method.needs)
    batch.columns["returns"][:] = 1e6
    metrics = method.update([batch])
    assert all(value.isfinite() for value in metrics.values())
    assert metrics["actor/effective_batch"].item() == pytest.approx(16)


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    config = small(MARWILConfig(temperature=0.5, norm_rate=0.1))
    method = build(with_networks(config, learning_rate=3e-3), BANDIT)
    assert furthest_after(method, 300, 128) < 0.15
