"""BRAC equals its equations."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    ENV,
    ROWS,
    build,
    furthest_after,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_gaussian,
    numpy_head,
    numpy_log_density,
    numpy_q,
    numpy_sample,
    one_step_task,
    with_networks,
)
from running import small

from awac_dist.algorithms.brac import BRAC, BRACConfig
from awac_dist.nn.config import CriticConfig, NetworkConfig
from awac_dist.tensors import Batch

KINDS = "gaussian", "squashed_gaussian"
DIVERGENCES = list(product(KINDS, ("kl", "mmd", "kl_dual"), ("value", "policy")))
OPTIONS = [*DIVERGENCES, *((kind, "kl", "reward") for kind in KINDS)]
HALF = (np.array(ENV.action_high) - np.array(ENV.action_low)) / 2


def log_behaviour(method: BRAC, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    network, config = method.networks["behaviour"], method.config.actor
    if config.kind == "gaussian":
        return numpy_log_density(a, *numpy_gaussian(network, config, s))
    raw, log_std = numpy_head(network, config, s)
    squashed = np.clip((a - np.array(ENV.action_low)) / HALF - 1, -1 + 1e-6, 1 - 1e-6)
    slope = np.log(HALF * (1 - squashed**2)).sum(axis=1)
    return numpy_log_density(np.arctanh(squashed), raw, np.exp(log_std)) - slope


def log_ratio(method: BRAC, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    logits = numpy_q(method.networks["ratio"], s, a)[0]
    return np.log(np.log1p(np.exp(logits)) + 1e-8)


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of exp(-|x - y|_1 / 20) over all pairs of samples [N, B, A]: [B]."""
    return np.mean([np.exp(-np.abs((i - j) / HALF).sum(axis=1) / 20) for i in x for j in y], axis=0)


def numpy_divergence(method: BRAC, s: np.ndarray, draws: torch.Generator) -> np.ndarray:
    config = method.config
    shape = config.num_divergence_samples, len(s), 2
    drawn = [numpy_sample(method.actor, config.actor, s, each) for each in normal(draws, *shape)]
    actions = np.stack([action for action, _ in drawn])
    if config.divergence == "kl_dual":
        return np.mean([log_ratio(method, s, each) for each in actions], axis=0)
    if config.divergence == "kl":
        return np.mean([density - log_behaviour(method, s, a) for a, density in drawn], axis=0)
    network = method.networks["behaviour"]
    others = np.stack([numpy_sample(network, config.actor, s, e)[0] for e in normal(draws, *shape)])
    square = kernel(actions, actions) + kernel(others, others) - 2 * kernel(actions, others)
    return np.maximum(square, 0) + 1e-6


def weight_of(method: BRAC) -> float:
    dual = method.duals.get("penalty_weight")
    return method.config.penalty_weight if dual is None else float(np.exp(dual.item()))


def numpy_critic_loss(method: BRAC, batch: Batch) -> float:
    config, (s, a, r, d, s2), draws = method.config, numpy_batch(batch), next_draws(method)
    a2, density = numpy_sample(method.actor, config.actor, s2, normal(draws, *a.shape))
    values = numpy_q(method.target_critic, s2, a2).min(axis=0) - config.entropy_coef * density
    if config.penalty == "value":
        values -= weight_of(method) * numpy_divergence(method, s2, draws)
    if config.penalty == "reward":
        r = r + weight_of(method) * log_behaviour(method, s, a)
    return float(sum(np.mean((q - r - d * values) ** 2) for q in numpy_q(method.critic, s, a)))


def numpy_actor_loss(method: BRAC, batch: Batch) -> float:
    config, (s, a, *_), draws = method.config, numpy_batch(batch), next_draws(method)
    drawn, density = numpy_sample(method.actor, config.actor, s, normal(draws, *a.shape))
    loss = config.entropy_coef * density - numpy_q(method.critic, s, drawn).min(axis=0)
    if config.penalty != "reward":
        loss = loss + weight_of(method) * numpy_divergence(method, s, draws)
    return float(np.mean(loss))


@pytest.mark.parametrize(("kind", "divergence", "penalty"), OPTIONS)
@pytest.mark.parametrize("led", [False, True])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.3])
def test_the_losses_equal_the_equations(
    kind: Any, divergence: Any, penalty: Any, led: bool, entropy_coef: float
) -> None:
    config = BRACConfig(
        actor=replace(BRACConfig().actor, kind=kind, log_std_max=0.5),
        critic=CriticConfig(members=3),
        target_members=3,
        divergence=divergence,
        penalty=penalty,
        entropy_coef=entropy_coef,
        penalty_weight=0.7,
        target_divergence=0.5 if led and penalty != "reward" else None,
        num_divergence_samples=3,
    )
    method, batch = make_method(config), make_batch(needs=BRAC.needs)
    method.update([make_batch(seed=5, needs=BRAC.needs)])  # moves the weight
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    (loss,), s, a = method.other_losses().values(), batch.observations, batch.actions
    s, a = s.numpy(), a.numpy()
    if divergence == "kl_dual":
        noise = normal(next_draws(method), 3, *a.shape)
        drawn = [numpy_sample(method.actor, config.actor, s, each)[0] for each in noise]
        ratios = np.log1p(np.exp(numpy_q(method.networks["ratio"], s, a)[0]))
        expected = np.mean(ratios) - np.mean([log_ratio(method, s, x) for x in drawn]) - 1
    else:
        expected = -np.mean(log_behaviour(method, s, a))
    assert loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("online", [[], [0], [1, 2, 5], list(range(ROWS))])
def test_how_well_the_behaviour_knows_each_kind_of_row(online: list[int]) -> None:
    method, batch = make_method(BRACConfig()), make_batch(needs=BRAC.needs)
    batch.columns["is_online"][:] = torch.tensor([float(row in online) for row in range(ROWS)])
    known = log_behaviour(method, batch.observations.numpy(), batch.actions.numpy())
    is_online = np.isin(np.arange(ROWS), online)
    assert list(method.behaviour_loss(batch)[1]) == ["behaviour/loss"]
    method.online = True
    _, metrics = method.behaviour_loss(batch)
    for name, rows in (("prior", known[~is_online]), ("online", known[is_online])):
        expected = rows.mean() if rows.size else 0.0
        assert metrics[f"behaviour/log_prob_{name}"].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("hidden", "equal"), [((16, 16), True), ((8, 8), False)])
def test_a_clone_begins_the_behaviour_too_where_it_has_its_shape(hidden: Any, equal: bool) -> None:
    config = BRACConfig(behaviour=NetworkConfig(hidden))
    config = replace(config, actor=replace(config.actor, hidden=(16, 16)))
    method, clone = build(config), build(config, seed=2)
    method.adopt(clone.acting().arrays)
    states = make_batch().observations.float()
    apart = method.networks["behaviour"](states).mean - clone.actor(states).mean
    assert (apart.abs().max() == 0) == equal


def quick(**options: Any) -> BRAC:
    config = BRACConfig(penalty_weight_learning_rate=2e-2, **options)
    names = "actor", "critic", "behaviour"
    return build(with_networks(small(config), *names, learning_rate=1e-2), BANDIT)


def test_the_weight_brings_the_divergence_to_its_target() -> None:
    method, rng = quick(target_divergence=0.5), np.random.default_rng(0)
    metrics = [
        method.update([one_step_task(64, rng, noise=0.3, needs=BRAC.needs)]) for _ in range(300)
    ]
    found = np.mean([each["actor/divergence"].item() for each in metrics[-150:]])
    assert found == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("divergence", "weight"), [("kl_dual", 3.0), ("mmd", 100.0)])
def test_a_high_price_holds_the_policy_at_the_behaviour(divergence: Any, weight: float) -> None:
    """Actions around s / 2 + 0.4, which it would leave for s / 2."""
    rng, states, apart = np.random.default_rng(0), torch.linspace(-0.4, 0.4, 5).unsqueeze(1), []
    for price in (weight, 1e-6):
        method = quick(divergence=divergence, penalty_weight=price)
        for _ in range(150):
            batch = one_step_task(64, rng, needs=BRAC.needs)
            noise = 0.3 * torch.from_numpy(rng.normal(size=(64, 1)).astype("f4"))
            actions = batch.observations / 2 + 0.4 + noise
            rewards = -(0.4 + noise).square().squeeze(1)
            method.update([replace(batch, actions=actions.clamp(-0.95, 0.95), rewards=rewards)])
        apart.append((method.actor(states).mean - states / 2 - 0.4).abs().max().item())
    assert apart[0] < 0.15 < 0.25 < apart[1]


@pytest.mark.parametrize("penalty", ["value", "policy"])
def test_a_low_price_lets_it_climb_from_actions_at_random(penalty: Any) -> None:
    assert furthest_after(quick(penalty=penalty, penalty_weight=0.01), 250) < 0.15


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"penalty": "reward", "divergence": "mmd"}, "divergence"),
        ({"penalty": "reward", "target_divergence": 1.0}, "target_divergence"),
        ({"target_entropy": -1.0}, "entropy_coef"),
    ],
)
def test_what_cannot_work_is_named(options: Any, path: str) -> None:
    assert [found for found, _ in BRACConfig(**options).problems()] == [path]
