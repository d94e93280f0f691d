"""AWR equals its equations."""

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
    numpy_ensemble,
    numpy_gaussian,
    numpy_log_density,
    with_networks,
)
from running import small

from awac_dist.algorithms.awr import AWR, AWRConfig
from awac_dist.nn.config import ActorConfig, NetworkConfig
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec

OPTIONS = list(product((False, True), (1, 2, 6), (0.3, 1.0), (0.5, 3.0), (1.5, 20.0)))


def lambda_returns(method: Any, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """V of the first states [B], and their returns of TD(lambda) [B], step by step."""
    columns = {name: column.numpy() for name, column in batch.columns.items()}
    trace, value = method.config.trace, method.networks["value"]
    values, found = [], []
    for row, mask in enumerate(columns["segment_mask"]):
        steps = int(mask.sum())
        states = [*columns["segment_observations"][row, :steps]]
        states.append(columns["segment_final_observations"][row])
        v = numpy_ensemble(value, np.array(states))[0]
        total = v[-1]
        for t in reversed(range(steps)):
            ahead = v[-1] if t == steps - 1 else (1 - trace) * v[t + 1] + trace * total
            total = (
                columns["segment_rewards"][row, t] + columns["segment_discounts"][row, t] * ahead
            )
        values.append(v[0])
        found.append(total)
    return np.array(values), np.array(found)


def numpy_losses(method: AWR, batch: Batch) -> list[float]:
    """Of the value and the actor."""
    config, states = method.config, batch.observations.numpy()
    values, wanted = lambda_returns(method, batch)
    advantages = wanted - values
    scaled = (advantages - np.mean(advantages)) / (np.std(advantages) + 1e-5)
    weights = np.minimum(np.exp(scaled / config.temperature), config.max_weight)
    policy = numpy_gaussian(method.actor, config.actor, states)
    density = numpy_log_density(batch.actions.numpy(), *policy)
    return [float(np.mean(advantages**2)), float(-np.mean(weights * density))]


@pytest.mark.parametrize(("state_std", "horizon", "trace", "temperature", "max_weight"), OPTIONS)
def test_the_losses_equal_the_equations(
    state_std: bool, horizon: int, trace: float, temperature: float, max_weight: float
) -> None:
    config = AWRConfig(
        actor=ActorConfig(state_dependent_std=state_std),
        temperature=temperature,
        max_weight=max_weight,
        trace=trace,
        horizon=horizon,
    )
    method = make_method(config)
    batch = make_batch(needs=method.needs, segment_length=horizon)
    losses = [loss.item() for loss, _ in method.losses(batch)]
    assert losses == pytest.approx(numpy_losses(method, batch), rel=1e-9)


def test_it_needs_segments_of_its_horizon() -> None:
    assert build(AWRConfig(horizon=7)).segment_length == 7


def test_a_chain_is_solved_by_looking_past_a_step_that_costs() -> None:
    """Two steps: to go right costs 1 at once and brings 3 after it, from a second state."""
    rates: dict[str, Any] = {"learning_rate": 1e-2, "hidden": (16,)}
    config = AWRConfig(
        actor=replace(AWRConfig().actor, **rates),
        value=NetworkConfig(**rates),
        temperature=0.5,
        horizon=2,
    )
    method = build(config, EnvSpec("none", 1, 1, (-1.0,), (1.0,), 2))
    rng = np.random.default_rng(0)
    for _ in range(150):
        method.update([chain(64, rng)])
    assert method.actor(torch.zeros(1, 1)).mean.item() > 0.5


def chain(rows: int, rng: np.random.Generator) -> Batch:
    """Episodes of two steps from state 0; the second reward is three times the first action."""
    first, second = (torch.from_numpy(rng.uniform(-1, 1, (rows, 1)).astype("f4")) for _ in "12")
    states, following, ones = torch.zeros(rows, 1), torch.ones(rows, 1), torch.ones(rows)
    columns = {
        "segment_observations": torch.stack((states, following), dim=1),
        "segment_actions": torch.stack((first, second), dim=1),
        "segment_rewards": torch.cat((-first, 3 * first), dim=1),
        "segment_discounts": torch.stack((ones, 0 * ones), dim=1),
        "segment_mask": torch.ones(rows, 2),
        "segment_final_observations": states,
    }
    return Batch(states, first, -first[:, 0], ones, following, columns)


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    method = build(with_networks(small(AWRConfig(temperature=0.3)), learning_rate=3e-3), BANDIT)
    assert furthest_after(method, 300, 128) < 0.15
