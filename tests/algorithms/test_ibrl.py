"""IBRL equals its equations."""

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
    furthest_after,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_action,
    numpy_batch,
    numpy_q,
    one_step_task,
    with_networks,
)
from running import small

from awac_dist.algorithms.ibrl import IBRL, IBRLConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

OPTIONS = list(product((1, 2, 5), (1, 2, 3), (0.0, 0.7), (0.0, 0.2), ("first", "mean", "min")))
LOW, HIGH = np.array(ENV.action_low), np.array(ENV.action_high)


def numpy_critic_loss(method: IBRL, batch: Batch) -> tuple[float, float]:
    """The loss, and the share of the clone."""
    config, (s, a, r, d, s2), draws = method.config, numpy_batch(batch), next_draws(method)

    def some() -> np.ndarray:
        drawn = torch.randperm(config.critic.members, generator=draws).numpy()
        return drawn[: config.target_members]

    noise = np.clip(
        config.target_noise * normal(draws, *a.shape),
        -config.target_noise_clip,
        config.target_noise_clip,
    )
    own = np.clip(numpy_action(method.target_actor, s2) + noise * (HIGH - LOW) / 2, LOW, HIGH)
    clone = numpy_action(method.frozen_actor, s2)
    members, chances = some(), normal(draws, len(s), 4)
    scores = np.stack(
        [numpy_q(method.target_critic, s2, its)[members].min(axis=0) for its in (own, clone)]
    )
    if config.choice_temperature:
        squares = (chances**2).reshape(-1, 2, 2).sum(axis=2)
        scores = scores / config.choice_temperature - np.log(squares / 2).T
    number = scores.argmax(axis=0)
    a2 = np.stack([own, clone])[number, np.arange(len(s))]
    y = r + d * numpy_q(method.target_critic, s2, a2)[some()].min(axis=0)
    loss = sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a))
    return float(loss), float(number.mean())


@pytest.mark.parametrize(("members", "count", "temperature", "noise", "actor_value"), OPTIONS)
def test_the_losses_equal_the_equations(
    members: int, count: int, temperature: float, noise: float, actor_value: Any
) -> None:
    config = IBRLConfig(
        critic=CriticConfig(members=members, layer_norm=True),
        target_members=count,
        choice_temperature=temperature,
        target_noise=noise,
        target_noise_clip=0.1,
        actor_value=actor_value,
    )
    method, batch = make_method(config, seed=2), make_batch(100)
    expected, share = numpy_critic_loss(method, batch)
    assert 0 < share < 1
    loss, metrics = method.critic_loss(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert metrics["critic/clone_share"].item() == pytest.approx(share)
    s = batch.observations.numpy()
    q = numpy_q(method.critic, s, numpy_action(method.actor, s))
    values = {"first": q[0], "mean": q.mean(axis=0), "min": q.min(axis=0)}[actor_value]
    assert method.actor_loss(batch)[0].item() == pytest.approx(-values.mean(), rel=1e-9)


def test_critics_copies_move_with_them_and_the_policys_once_the_clone_never() -> None:
    method = make_method(IBRLConfig())
    order: list[str] = []
    follow, move = method.follow, method.move_targets
    method.follow = lambda gradients, names: (order.append(*names), follow(gradients, names))
    method.move_targets = lambda *names: (order.append(f"target_{names[0]}"), move(*names))
    before = method.frozen_actor.flat_vector().clone()
    method.update([make_batch(seed=seed) for seed in range(3)])
    assert order == ["critic", "target_critic"] * 3 + ["actor", "target_actor"]
    assert torch.equal(method.frozen_actor.flat_vector(), before)


def test_a_choice_by_chance_has_the_softmaxs_probability() -> None:
    method = make_method(IBRLConfig(choice_temperature=0.5))
    values = torch.tensor([0.3, 0.6], dtype=torch.float64).view(1, 2, 1).expand(2, 2, 20_000)
    proposals = torch.stack((torch.zeros(20_000, 2), torch.ones(20_000, 2))).double()
    noise = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)).double()
    share = method.chosen(values, proposals, noise).mean().item()
    assert share == pytest.approx(1 / (1 + np.exp(-0.3 / 0.5)), abs=0.01)


@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_a_clone_that_is_good_acts_before_anything_is_learned(temperature: float) -> None:
    """Critics that know the task choose a perfect clone where the policy is at its worst."""
    config = small(IBRLConfig(choice_temperature=temperature))
    method = build(with_networks(config, learning_rate=1e-2), BANDIT)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        method.actor.weights[-1].fill_(-2.0)  # about -0.96 everywhere; the clone is near 0
    for _ in range(150):
        method.descend(method.critic_loss, one_step_task(128, rng), ["critic"])
    states = torch.linspace(-1, 1, 21).unsqueeze(1)
    still = torch.tensor([[0.0] + [1.0] * (4 if temperature else 0)]).expand(21, -1)
    acted = method.act(states, still)
    assert torch.equal(acted[5:], method.frozen_actor(states).mean[5:])
    assert method.actor(states).mean.max().item() < -0.9


def test_a_one_step_task_is_solved_from_actions_at_random() -> None:
    config = small(IBRLConfig(critic=replace(IBRLConfig().critic, members=2), critic_batches=2))
    method = build(with_networks(config, learning_rate=1e-2), BANDIT)
    assert furthest_after(method, 200) < 0.15


def test_a_spread_that_no_loss_trains_is_refused() -> None:
    config = IBRLConfig(actor=ActorConfig(kind="gaussian"))
    assert [found for found, _ in config.problems()] == ["actor.kind"]
