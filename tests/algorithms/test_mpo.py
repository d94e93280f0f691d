"""MPO equals its equations."""

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
    next_draws,
    normal,
    numpy_batch,
    numpy_gaussian,
    numpy_log_density,
    numpy_q,
    one_step_task,
    with_networks,
)
from running import small

from awac_dist.algorithms.em import BOUNDS
from awac_dist.algorithms.mpo import MPO, MPOConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

OPTIONS = list(product((1, 2), (False, True), (None, 0.1), (None, 0.01), (None, 1e-4)))
STILL = CriticConfig(target_update_rate=1e-12)


def numpy_value(method: Any, states: np.ndarray, draws: torch.Generator) -> np.ndarray:
    """V' [B] of the slow policy."""
    mean, std = numpy_gaussian(method.target_actor, method.config.actor, states)
    noise = normal(draws, method.config.num_samples, *mean.shape)
    q = [numpy_q(method.target_critic, states, mean + std * each).min(axis=0) for each in noise]
    return np.mean(q, axis=0)


def numpy_critic_loss(method: Any, batch: Batch) -> float:
    s, a, r, d, s2 = numpy_batch(batch)
    y = r + d * numpy_value(method, s2, next_draws(method))
    return float(sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a)))


def price(method: Any, name: str) -> float:
    dual = method.duals.get(name)
    return float(getattr(method.config, name)) if dual is None else float(np.exp(dual.item()))


def numpy_actor_loss(method: Any, batch: Batch, proposal: torch.nn.Module) -> float:
    config, (s, a, *_) = method.config, numpy_batch(batch)
    centre, spread = numpy_gaussian(proposal, config.actor, s)
    noise = normal(next_draws(method), config.num_samples, *a.shape)
    actions = [centre + spread * each for each in noise]
    q = np.stack([numpy_q(method.target_critic, s, each).min(axis=0) for each in actions])
    w = np.exp((q - q.max(axis=0)) / price(method, "temperature"))
    w = w / w.sum(axis=0)
    mean, std = numpy_gaussian(method.actor, config.actor, s)
    old_mean, old_std = numpy_gaussian(method.target_actor, config.actor, s)
    fit = sum(
        each * (numpy_log_density(x, mean, old_std) + numpy_log_density(x, old_mean, std))
        for each, x in zip(w, actions, strict=True)
    )
    loss = -np.mean(fit)
    if config.mean_kl is not None:
        kl = (((mean - old_mean) / old_std) ** 2 / 2).sum(axis=1)
        loss += price(method, "mean_multiplier") * np.mean(kl)
    if config.std_kl is not None:
        kl = (np.log(std / old_std) + (old_std / std) ** 2 / 2 - 0.5).sum(axis=1)
        loss += price(method, "std_multiplier") * np.mean(kl)
    return float(loss)


@pytest.mark.parametrize(("members", "state_std", "sample_kl", "mean_kl", "std_kl"), OPTIONS)
def test_the_losses_equal_the_equations(
    members: int,
    state_std: bool,
    sample_kl: float | None,
    mean_kl: float | None,
    std_kl: float | None,
) -> None:
    config = MPOConfig(
        actor=ActorConfig(state_dependent_std=state_std),
        critic=CriticConfig(members=members),
        num_samples=3,
        sample_kl=sample_kl,
        mean_kl=mean_kl,
        std_kl=std_kl,
        temperature=0.3,
    )
    method, batch = make_method(config), make_batch()
    method.update([make_batch(seed=5)])  # moves the prices
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch, method.target_actor)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_prices_rise_where_a_bound_is_exceeded_and_fall_where_it_is_not() -> None:
    method = make_method(MPOConfig())
    found = {"sample_kl": 0.2, "mean_kl": 0.0, "std_kl": 1.0}
    before = {name: dual.item() for name, dual in method.duals.items()}
    method.after_update(make_batch(), {f"actor/{n}": torch.tensor(v) for n, v in found.items()})
    moved = {name: dual.item() - before[name] for name, dual in method.duals.items()}
    wanted = {"temperature": 0.01, "mean_multiplier": -0.01, "std_multiplier": 0.01}
    assert moved == pytest.approx(wanted, rel=1e-5)  # Adam's first step


def test_a_bound_that_always_holds_takes_no_price_below_its_least() -> None:
    """Equal values have equal weights at any temperature: it would fall to 0, and Q / 0 is none."""
    method = make_method(MPOConfig(critic=STILL, temperature_learning_rate=5.0))
    with torch.no_grad():
        for parameter in method.target_critic.parameters():
            parameter.zero_()
    for _ in range(10):
        metrics = method.update([make_batch()])
    assert metrics["actor/temperature"].item() == pytest.approx(1e-6)
    assert metrics["actor/loss"].isfinite()


def quick(**options: Any) -> MPO:
    config = MPOConfig(**options)
    rates = {f"{name}_learning_rate": 3e-2 for name in BOUNDS}
    return build(with_networks(small(replace(config, **rates)), learning_rate=1e-2), BANDIT)


def test_the_policy_keeps_to_its_bounds_around_a_copy_that_stays() -> None:
    """And the actions' weights to theirs."""
    bounds = {"sample_kl": 0.4, "mean_kl": 0.02, "std_kl": 0.004}
    method, rng = quick(critic=STILL, **bounds), np.random.default_rng(0)
    slow = torch.linspace(-1.0, 1.0, 3).reshape(-1, 1)
    with torch.no_grad():  # a critic that wants more than the bounds allow
        method.targets["critic"].head.weight.mul_(1000.0)
    found = [method.update([one_step_task(64, rng)]) for _ in range(500)][-200:]
    assert method.target_actor(slow).mean.abs().max() < 0.01  # where it began
    for name, bound in bounds.items():
        mean = np.mean([metrics[f"actor/{name}"].item() for metrics in found])
        assert mean == pytest.approx(bound, rel=0.25), name


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    method = quick(critic=CriticConfig(target_update_rate=0.05))
    assert furthest_after(method, 300) < 0.15


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (MPOConfig(actor=ActorConfig(kind="deterministic")), "actor.kind"),
        (MPOConfig(actor=ActorConfig(kind="squashed_gaussian")), "actor.kind"),
        (MPOConfig(num_samples=1), "num_samples"),
    ],
)
def test_what_cannot_work_is_named(config: MPOConfig, path: str) -> None:
    assert [found for found, _ in config.problems()] == [path]
