"""SAC equals its equations."""

from itertools import product
from math import log
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
    numpy_q,
    numpy_sample,
    one_step_task,
    with_networks,
)
from running import small

from awac_dist.algorithms.sac import SAC, SACConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec

OPTIONS = list(product(("gaussian", "squashed_gaussian"), (1, 2, 5), (1, 2), (False, True)))


def coefficient(method: SAC) -> float:
    if method.config.target_entropy is None:
        return method.config.entropy_coef
    return float(np.exp(method.duals["entropy_coef"].item()))


def numpy_critic_loss(method: SAC, batch: Batch) -> float:
    config, (s, a, r, d, s2), draws = method.config, numpy_batch(batch), next_draws(method)
    a2, density = numpy_sample(method.actor, config.actor, s2, normal(draws, *a.shape))
    q2 = numpy_q(method.target_critic, s2, a2)
    if config.target_members < len(q2):
        q2 = q2[torch.randperm(len(q2), generator=draws).numpy()[: config.target_members]]
    values = q2.min(axis=0) - config.entropy_in_target * coefficient(method) * density
    return float(sum(np.mean((q - r - d * values) ** 2) for q in numpy_q(method.critic, s, a)))


def numpy_actor_loss(method: SAC, batch: Batch) -> float:
    config, (s, a, *_) = method.config, numpy_batch(batch)
    noise = normal(next_draws(method), *a.shape)
    drawn, density = numpy_sample(method.actor, config.actor, s, noise)
    q = numpy_q(method.critic, s, drawn)
    values = q.mean(axis=0) if config.actor_value == "mean" else q.min(axis=0)
    return float(np.mean(coefficient(method) * density - values))


@pytest.mark.parametrize(("kind", "members", "target_members", "learned"), OPTIONS)
@pytest.mark.parametrize("entropy_in_target", [False, True])
@pytest.mark.parametrize("actor_value", ["mean", "min"])
@pytest.mark.parametrize("state_std", [False, True])
def test_the_losses_equal_the_equations(
    kind: Any,
    members: int,
    target_members: int,
    learned: bool,
    entropy_in_target: bool,
    actor_value: Any,
    state_std: bool,
) -> None:
    config = SACConfig(
        actor=ActorConfig(kind=kind, state_dependent_std=state_std, log_std_max=0.5),
        critic=CriticConfig(members=members, layer_norm=learned),
        target_members=target_members,
        actor_value=actor_value,
        entropy_coef=0.3,
        target_entropy=-0.5 if learned else None,
        entropy_in_target=entropy_in_target,
    )
    method, batch = make_method(config), make_batch()
    method.update([make_batch(seed=5)])  # moves alpha
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_the_target_entropy_is_told_in_half_ranges() -> None:
    """Half ranges of 1 and 2.5: -0.5 for each of two dimensions, and log 2.5."""
    method = make_method(SACConfig(entropy_coef=2.0, target_entropy=-0.5))
    losses = []
    method.step = lambda loss, names: losses.append((loss.item(), *names))  # type: ignore
    method.after_update(make_batch(), {"actor/entropy": torch.tensor(1.0)})
    assert losses == [(pytest.approx(2.0 * (1.0 - (-1.0 + log(2.5)))), "entropy_coef")]


@pytest.mark.parametrize("start", [0.02, 1.0])
def test_alpha_brings_the_entropy_to_its_target(start: float) -> None:
    config = SACConfig(entropy_coef=start, entropy_coef_learning_rate=2e-2, target_entropy=-0.5)
    wider = EnvSpec("none", 1, 1, (-2.0,), (2.0,), 1)
    method = build(with_networks(small(config), learning_rate=5e-3), wider)
    rng = np.random.default_rng(0)
    metrics = [method.update([one_step_task(64, rng)]) for _ in range(500)]
    entropies = [found["actor/entropy"].item() for found in metrics]
    assert np.mean(entropies[-200:]) == pytest.approx(-0.5 + log(2.0), abs=0.1)


def test_members_of_the_target_are_drawn_anew_and_all_of_them_in_time() -> None:
    method = make_method(SACConfig(critic=CriticConfig(members=4)))
    batch, seen = make_batch(), set()
    q = method.critic(batch.observations, batch.actions)
    for _ in range(40):
        some = method.critic.some(method.some_of(4, 2), batch.observations, batch.actions)
        found = [e for e in range(4) for row in some if torch.allclose(row, q[e])]
        assert len(set(found)) == 2
        seen.add(frozenset(found))
    assert len(seen) == 6


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    config = small(SACConfig(target_entropy=None, entropy_coef=0.01, critic_batches=2))
    method = build(with_networks(config, learning_rate=1e-2), BANDIT)
    assert furthest_after(method, 200) < 0.15


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (SACConfig(actor=ActorConfig(kind="deterministic")), "actor.kind"),
        (SACConfig(entropy_coef=0.0), "entropy_coef"),
    ],
)
def test_what_cannot_work_is_named(config: SACConfig, path: str) -> None:
    assert [found for found, _ in config.problems()] == [path]
    assert not list(SACConfig(entropy_coef=0.0, target_entropy=None).problems())
