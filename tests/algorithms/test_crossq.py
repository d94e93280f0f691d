"""CrossQ equals its equations."""

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
    next_draws,
    normal,
    numpy_batch,
    numpy_sample,
)
from running import small

from awac_dist.algorithms.crossq import CrossQ, CrossQConfig
from awac_dist.algorithms.soft import SoftConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

OPTIONS = list(product(("gaussian", "squashed_gaussian"), (1, 2, 3), (0, 100), (False, True)))
Statistics = list[tuple[np.ndarray, np.ndarray]]


def numpy_q(critic: Any, inputs: np.ndarray, by_batch: bool, corrected: bool = False) -> np.ndarray:
    """Q_e(s, a) [E, B] by the statistics of the rows or by running ones, member after member."""
    state = {name: value.detach().numpy() for name, value in critic.state_dict().items()}
    members = []
    for e in range(critic.members):
        hidden = inputs
        for layer in range(3):
            gamma, beta, mean, variance = (
                state[f"norms.{layer}.{name}"][e, 0]
                for name in ("weight", "bias", "mean", "variance")
            )
            r, d = 1.0, 0.0
            if by_batch:
                own, own_variance = hidden.mean(axis=0), hidden.var(axis=0)
                if corrected:
                    running = np.sqrt(variance + 1e-3)
                    r = np.clip(np.sqrt(own_variance + 1e-3) / running, 1 / 3, 3)
                    d = np.clip((own - mean) / running, -5, 5)
                mean, variance = own, own_variance
            hidden = gamma * ((hidden - mean) / np.sqrt(variance + 1e-3) * r + d) + beta
            if layer < 2:
                weight, bias = (state[f"layers.{layer}.{name}"][e] for name in ("weight", "bias"))
                hidden = np.maximum(hidden @ weight + bias, 0)
        members.append((hidden @ state["head.weight"][e] + state["head.bias"][e])[:, 0])
    return np.stack(members)


def numpy_values(method: CrossQ, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Q of the batch [E, B], and what it should be [B]."""
    config, (s, a, r, d, s2) = method.config, numpy_batch(batch)
    s2 = np.where(d[:, None] == 0, s, s2)
    noise = normal(next_draws(method), *a.shape)
    a2, density = numpy_sample(method.actor, config.actor, s2, noise)
    rows = np.concatenate([np.concatenate([s, s2]), np.concatenate([a, a2])], axis=1)
    corrected = method.duals["critic_steps"].item() >= config.correct_after
    q = numpy_q(method.critic, rows, by_batch=True, corrected=corrected)
    q_data, q2 = q[:, : len(s)], q[:, len(s) :]
    alpha = method.duals["entropy_coef"].exp().item()
    return q_data, r + d * (q2.min(axis=0) - config.entropy_in_target * alpha * density)


def numpy_critic_loss(method: CrossQ, batch: Batch) -> float:
    q_data, y = numpy_values(method, batch)
    return float(sum(np.mean((q - y) ** 2) for q in q_data))


def numpy_actor_loss(method: CrossQ, batch: Batch) -> float:
    config, (s, a, *_) = method.config, numpy_batch(batch)
    noise = normal(next_draws(method), *a.shape)
    drawn, density = numpy_sample(method.actor, config.actor, s, noise)
    q = numpy_q(method.critic, np.concatenate([s, drawn], axis=1), by_batch=False)
    values = q.mean(axis=0) if config.actor_value == "mean" else q.min(axis=0)
    return float(np.mean(method.duals["entropy_coef"].exp().item() * density - values))


@pytest.mark.parametrize(("kind", "members", "correct_after", "in_target"), OPTIONS)
@pytest.mark.parametrize("actor_value", ["mean", "min"])
def test_the_losses_equal_the_equations(
    kind: Any, members: int, correct_after: int, in_target: bool, actor_value: Any
) -> None:
    config = CrossQConfig(
        actor=ActorConfig(kind=kind, state_dependent_std=True, log_std_max=0.5),
        critic=CriticConfig(members=members),
        actor_value=actor_value,
        correct_after=correct_after,
        entropy_in_target=in_target,
        statistics_rate=0.5,
    )
    method, batch = make_method(config), make_batch()
    method.update([make_batch(seed=seed) for seed in range(3)])  # moves the statistics
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_no_gradient_flows_through_what_the_critics_say_of_the_next_state() -> None:
    method, batch = make_method(CrossQConfig()), make_batch()
    q_data, y = numpy_values(method, batch)
    loss, _ = method.critic_loss(batch)
    (gradient,) = torch.autograd.grad(loss, [method.critic.head.bias])  # moves a member's values
    by_hand = 2 * (q_data - y).mean(axis=1)
    np.testing.assert_allclose(gradient.flatten().numpy(), by_hand, rtol=1e-9)


def test_steps_of_the_critics_are_counted_and_the_correction_begins_with_them() -> None:
    method = make_method(CrossQConfig(correct_after=5))
    seen: list[float] = []
    by_batch = method.critic.by_batch
    method.critic.by_batch = lambda *args: (seen.append(args[3].item()), by_batch(*args))[1]
    for update in range(3):
        method.update([make_batch(seed=3 * update + number) for number in range(3)])
    assert seen == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert method.duals["critic_steps"].item() == 9


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    config = CrossQConfig(target_entropy=None, entropy_coef=0.01)
    method = build(small(config, 16), BANDIT)
    assert furthest_after(method, 200) < 0.15


@pytest.mark.parametrize(
    ("critic", "path"),
    [
        (CriticConfig(layer_norm=True), "critic.layer_norm"),
        (CriticConfig(target_update_rate=0.1), "critic.target_update_rate"),
    ],
)
def test_what_has_no_effect_is_named(critic: CriticConfig, path: str) -> None:
    assert [found for found, _ in CrossQConfig(critic=critic).problems()] == [path]
    assert not list(SoftConfig(critic=critic).problems())
