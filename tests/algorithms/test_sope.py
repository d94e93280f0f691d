"""SOPE equals its equations, and leaves the actor and the held-out rows alone in a pause."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    build,
    make_batch,
    make_method,
    modules,
    next_draws,
    normal,
    numpy_batch,
    numpy_q,
    numpy_sample,
)

from awac_dist.algorithms.sope import SOPE, SOPEConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch


def held_out(batch: Batch) -> np.ndarray:
    rows: np.ndarray = batch.columns["held_out"].numpy() == 1
    assert 0 < rows.sum() < len(rows)
    return rows


def numpy_critic_loss(method: SOPE, batch: Batch, rows: np.ndarray) -> float:
    """Of these rows alone."""
    (s, a, r, d, s2), noise = numpy_batch(batch), normal(next_draws(method), *batch.actions.shape)
    a2, density = numpy_sample(method.actor, method.config.actor, s2, noise)
    alpha = np.exp(method.duals["entropy_coef"].item())
    y = r + d * (numpy_q(method.target_critic, s2, a2).min(axis=0) - alpha * density)
    return float(sum(np.mean((q - y)[rows] ** 2) for q in numpy_q(method.critic, s, a)))


def numpy_actor_loss(method: SOPE, batch: Batch, rows: np.ndarray) -> float:
    s, noise = batch.observations.numpy(), normal(next_draws(method), *batch.actions.shape)
    drawn, density = numpy_sample(method.actor, method.config.actor, s, noise)
    q, alpha = numpy_q(method.critic, s, drawn), np.exp(method.duals["entropy_coef"].item())
    values = q.mean(axis=0) if method.config.actor_value == "mean" else q.min(axis=0)
    return float(np.mean((alpha * density - values)[rows]))


@pytest.mark.parametrize("actor_value", ["mean", "min"])
@pytest.mark.parametrize("alone", [False, True])
def test_the_losses_equal_the_equations(actor_value: Any, alone: bool) -> None:
    actor = ActorConfig(kind="squashed_gaussian", state_dependent_std=True, log_std_max=0.5)
    method = make_method(SOPEConfig(actor, actor_value=actor_value))
    batch = make_batch(needs=method.needs)
    method.critics_alone, held = alone, held_out(batch)
    expected = numpy_critic_loss(method, batch, ~held if alone else held | True)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch, held)
    assert method.held_out_loss(batch).item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch, held | True)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def parameters(method: SOPE) -> dict[str, torch.Tensor]:
    found = {
        f"{name}.{inner}": value.detach().clone()
        for name, module in modules(method).items()
        for inner, value in module.named_parameters()
    }
    return found | {name: dual.detach().clone() for name, dual in method.duals.items()}


def test_a_pause_moves_the_critics_alone() -> None:
    method = make_method(SOPEConfig(critic_batches=2))
    method.critics_alone, before = True, parameters(method)
    metrics = method.update([make_batch(seed=seed, needs=method.needs) for seed in range(2)])
    moved = {name for name, value in parameters(method).items() if not value.equal(before[name])}
    assert moved == {name for name in before if "critic." in name}
    assert "actor/held_out_loss" in metrics
    assert not metrics["actor/held_out_loss"].requires_grad


def test_what_is_held_out_is_not_learned_from_in_a_pause() -> None:
    found = []
    for reward in (0.0, 1e3):
        method = make_method(SOPEConfig())
        method.critics_alone = True
        batch = make_batch(needs=method.needs)
        rewards = torch.where(batch.columns["held_out"] == 1, reward, batch.rewards)
        method.update([replace(batch, rewards=rewards)])
        found.append(parameters(method))
    assert all(value.equal(found[1][name]) for name, value in found[0].items())


def test_critics_catch_up_in_a_pause_and_the_held_out_loss_tells() -> None:
    fast = CriticConfig(hidden=(16, 16), learning_rate=1e-2, layer_norm=True)
    method = build(SOPEConfig(critic=fast, target_entropy=None, entropy_coef=0.01))
    method.critics_alone, losses = True, []
    for seed in range(100):
        drawn = make_batch(64, seed, method.needs)
        columns = {name: value.float() for name, value in drawn.columns.items()}
        s, a = drawn.observations.float(), drawn.actions.float()
        metrics = method.update([Batch(s, a, 5 + a.sum(dim=1), torch.zeros(64), s, columns)])
        losses.append(metrics["actor/held_out_loss"].item())
    assert np.mean(losses[:5]) > -1.5
    assert np.mean(losses[-5:]) < -3.5
