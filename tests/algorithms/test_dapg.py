"""DAPG equals its equations."""

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
    numpy_ensemble,
    numpy_gaussian,
    numpy_log_density,
    one_step_task,
)
from running import small
from test_awr import lambda_returns

from awac_dist.algorithms.dapg import DAPG, DAPGConfig
from awac_dist.nn.config import ActorConfig
from awac_dist.tensors import Batch

OWN = {"half": lambda rows: np.arange(rows) % 2, "all": np.ones, "none": np.zeros}
OPTIONS = list(product((False, True), (1, 5), (0.3, 1.0), ("largest", "one"), OWN))


def config_of(**options: Any) -> DAPGConfig:
    return DAPGConfig(actor=ActorConfig(learning_rate=0.1), demonstration_weight=0.7, **options)


def batch_of(method: DAPG, own: str, seed: int = 1) -> Batch:
    batch = make_batch(seed=seed, needs=method.needs, segment_length=method.segment_length)
    rows = len(batch.rewards)
    batch.columns["is_online"][:] = torch.from_numpy(np.array(OWN[own](rows), float))
    return batch


def numpy_losses(method: DAPG, batch: Batch, weight: float) -> list[float]:
    """Of the value and the actor."""
    config, states = method.config, batch.observations.numpy()
    columns = {name: column.numpy() for name, column in batch.columns.items()}
    own = columns["is_online"] == 1
    counted = own if own.any() else ~own
    seen = (states, columns["final_observations"])
    values, final = (numpy_ensemble(method.networks["value"], each)[0] for each in seen)
    errors = columns["returns"] + columns["return_discounts"] * final - values
    first, wanted = lambda_returns(method, batch)
    advantages = wanted - first
    weights = np.full(len(states), weight)
    if own.any():
        mine = advantages[own]
        weights[own] = (mine - np.mean(mine)) / (np.std(mine) + 1e-5)
        if config.demonstration_scale == "largest":
            weights[~own] *= np.max(weights[own])
    policy = numpy_gaussian(method.actor, config.actor, states)
    density = numpy_log_density(batch.actions.numpy(), *policy)
    return [float(np.mean(errors[counted] ** 2)), float(-np.mean(weights * density))]


@pytest.mark.parametrize(("state_std", "horizon", "trace", "scale", "own"), OPTIONS)
def test_the_losses_equal_the_equations(
    state_std: bool, horizon: int, trace: float, scale: Any, own: str
) -> None:
    config = config_of(horizon=horizon, trace=trace, demonstration_scale=scale)
    config = replace(config, actor=replace(config.actor, state_dependent_std=state_std))
    method = make_method(config)
    batch = batch_of(method, own)
    losses = [loss(batch)[0].item() for loss in (method.value_loss, method.actor_loss)]
    assert losses == pytest.approx(numpy_losses(method, batch, 0.7), rel=1e-9)
    method.update([batch])
    method.update([batch])
    losses = [loss(batch)[0].item() for loss in (method.value_loss, method.actor_loss)]
    assert losses == pytest.approx(numpy_losses(method, batch, 0.7 * 0.95**2), rel=1e-9)


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("state_std", [False, True])
def test_the_step_is_the_gradient_through_the_inverse_of_the_fisher_matrix(
    own: str, state_std: bool
) -> None:
    """F in full, of the Jacobians of means and log standard deviations in its own states."""
    config = config_of(iterations=100, damping=0.1)
    config = replace(config, actor=replace(config.actor, state_dependent_std=state_std))
    method = make_method(config, width=3)
    batch = batch_of(method, own)
    parameters = method.trained_by(["actor"])
    gradient = torch.cat(
        [g.flatten() for g in torch.autograd.grad(method.actor_loss(batch)[0], parameters)]
    )
    rows = batch.columns["is_online"] == 1
    policy = method.actor(batch.observations[rows if rows.any() else ~rows])
    fisher = torch.zeros(len(gradient), len(gradient), dtype=torch.float64)
    for row in range(len(policy.mean)):
        for numbers, scale in ((policy.mean, (-2 * policy.log_std).exp()), (policy.log_std, None)):
            for a in range(2):
                found = torch.autograd.grad(
                    numbers[row, a], parameters, retain_graph=True, allow_unused=True
                )
                pairs = zip(found, parameters, strict=True)
                slope = torch.cat(
                    [(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs]
                )
                fisher += torch.outer(slope, slope) * (2 if scale is None else scale[row, a].item())
    damped = fisher / len(policy.mean) + 0.1 * torch.eye(len(gradient))
    solution = torch.linalg.solve(damped, gradient)
    expected = 0.1 * solution / gradient.dot(solution).sqrt()
    before = torch.cat([p.detach().flatten() for p in parameters])
    method.update([batch])
    moved = before - torch.cat([p.detach().flatten() for p in parameters])
    torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-9)


def test_the_divergence_of_a_step_is_half_of_its_squared_length() -> None:
    config = small(DAPGConfig(actor=replace(DAPGConfig().actor, learning_rate=0.02)), 16)
    method = build(config, BANDIT)
    rng = np.random.default_rng(0)
    wishes = method.needs, method.segment_length
    for _ in range(3):
        batch = one_step_task(1000, rng, 0.3, *wishes, method.actor)
        assert method.update([batch])["actor/kl"].item() == pytest.approx(0.0002, rel=0.1)


def test_v_goes_through_the_batch_in_parts_of_its_own_rows() -> None:
    method = make_method(config_of(value_epochs=3, value_batch_size=8))
    batch, seen = batch_of(method, "half"), []
    loss = method.value_loss
    method.value_loss = lambda part: seen.append(part.rewards.tolist()) or loss(part)
    method.differentiate = lambda loss, part, parameters: (
        torch.autograd.grad(loss(part)[0], parameters),
        {},
    )
    method.update([batch])
    assert [len(rows) for rows in seen] == [8] * 9
    once = [row for rows in seen[:3] for row in rows]
    assert sorted(once) == sorted(batch.rewards.tolist())
    assert seen[:3] == seen[3:6] == seen[6:]


def test_demonstrations_show_what_it_would_not_find() -> None:
    """A reward that is flat but near the demonstrated actions: only they lead there."""

    def bandit(method: Any, rng: np.random.Generator) -> Batch:
        batch = one_step_task(600, rng, 0.05, method.needs, method.segment_length, method.actor)
        near = (batch.actions - batch.observations / 2 - 0.45).abs()[:, 0] < 0.1
        batch.actions[::2] += 0.45
        for column in (batch.rewards, batch.columns["segment_rewards"][:, 0]):
            column[:] = near.float()
        batch.columns["returns"][:] = near.float()
        return batch

    errors = {}
    for weight in (0.0, 1.0):
        config = small(DAPGConfig(demonstration_weight=weight, damping=1e-2), 16)
        actor = replace(config.actor, log_std_min=-3.0, log_std_max=-2.0)
        method = build(replace(config, actor=actor), BANDIT)
        rng = np.random.default_rng(0)
        for _ in range(30):
            method.update([bandit(method, rng)])
        states = torch.linspace(-1, 1, 21).unsqueeze(1)
        errors[weight] = (method.actor(states).mean - states / 2 - 0.45).abs().max().item()
    assert errors[1.0] < 0.2 < 0.4 < errors[0.0]


def test_what_cannot_work_is_named() -> None:
    for kind in ("squashed_gaussian", "deterministic"):
        config = DAPGConfig(actor=ActorConfig(kind=kind))  # type: ignore[arg-type]
        assert [path for path, _ in config.problems()] == ["actor.kind"]
    assert not list(DAPGConfig().problems())
    assert ENV.action_size == 2
