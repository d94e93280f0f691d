"""ABM equals its equations; what it shares with MPO is tested there."""

from dataclasses import replace
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
    numpy_batch,
    numpy_gaussian,
    numpy_log_density,
    numpy_q,
    one_step_task,
    with_networks,
)
from running import small
from test_mpo import numpy_actor_loss, numpy_critic_loss, numpy_value

from awac_dist.algorithms.abm import ABM, ABMConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

LENGTH = 4


def test_segments_are_fetched_where_something_is_made_of_them() -> None:
    assert make_method(ABMConfig()).needs == {"segments"}
    assert make_method(ABMConfig(advantage="critic")).needs == frozenset()


def numpy_advantages(method: ABM, batch: Batch) -> np.ndarray:
    (s, a, *_), draws = numpy_batch(batch), next_draws(method)
    columns = {name: column.numpy() for name, column in batch.columns.items()}
    values = numpy_value(method, s, draws)
    if method.config.advantage == "critic":
        return numpy_q(method.target_critic, s, a).min(axis=0) - values
    totals = numpy_value(method, columns["segment_final_observations"], draws)
    for row, known in enumerate(columns["segment_mask"].sum(axis=1).astype(int)):
        for step in reversed(range(known)):
            reward, discount = (
                columns[f"segment_{n}"][row, step] for n in ("rewards", "discounts")
            )
            totals[row] = reward + discount * totals[row]
    return totals - values


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("advantage", ["segment", "critic"])
@pytest.mark.parametrize("state_std", [False, True])
def test_the_losses_equal_the_equations(members: int, advantage: Any, state_std: bool) -> None:
    config = ABMConfig(
        actor=ActorConfig(state_dependent_std=state_std),
        critic=CriticConfig(members=members),
        num_samples=3,
        advantage=advantage,
        segment_length=LENGTH,
    )
    method = make_method(config)
    batch = make_batch(needs=method.needs, segment_length=LENGTH)
    prior = method.networks["prior"]
    advantages, (s, a, *_) = numpy_advantages(method, batch), numpy_batch(batch)
    log_probs = numpy_log_density(a, *numpy_gaussian(prior, config.actor, s))
    assert 0 < (advantages > 0).sum() < len(advantages)
    loss, metrics = method.prior_loss(batch)
    assert loss.item() == pytest.approx(-np.mean((advantages > 0) * log_probs), rel=1e-9)
    assert metrics["prior/share"].item() == pytest.approx(np.mean(advantages > 0))
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch, prior)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_advantages_by_hand() -> None:
    """V is 2 everywhere, gamma 0.5: 1 + 0.5 * 3 + 0.25 * 2 - 2; a true end after 1; one step."""
    method = make_method(ABMConfig(segment_length=2))
    method.value_of = lambda states: torch.full((len(states),), 2.0)
    batch = make_batch(3, needs=method.needs, segment_length=2)
    columns = batch.columns
    columns["segment_mask"][:] = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    columns["segment_rewards"][:] = torch.tensor([[1.0, 3.0], [1.0, 9.0], [1.0, 9.0]])
    columns["segment_discounts"][:] = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.5, 0.0]])
    assert method.advantages_of(batch).tolist() == pytest.approx([1.0, -1.0, 0.0])


def quick(**options: Any) -> ABM:
    config = ABMConfig(critic=CriticConfig(target_update_rate=0.05), **options)
    rates = {f"{n}_learning_rate": 3e-2 for n in ("temperature", "mean_multiplier")}
    return build(with_networks(small(replace(config, **rates)), learning_rate=1e-2), BANDIT)


def test_the_prior_clones_the_better_of_two_actions() -> None:
    """Rewards -1 and 1, each as often."""
    method = quick()
    batch = one_step_task(64, np.random.default_rng(0), None, method.needs, method.segment_length)
    better = torch.arange(64) % 2 == 0
    rewards = torch.where(better, 1.0, -1.0)
    actions = (rewards / 2).unsqueeze(1)
    batch.columns["segment_rewards"][:, 0] = rewards
    batch = replace(batch, actions=actions, rewards=rewards)
    for _ in range(150):
        metrics = method.update([batch])
    prior = method.networks["prior"](batch.observations)
    assert (prior.mean - 0.5).abs().max() < 0.05
    assert 0.0 < metrics["prior/share"].item() <= 0.5


@pytest.mark.parametrize("advantage", ["segment", "critic"])
def test_a_one_step_task_is_solved_from_actions_at_random(advantage: Any) -> None:
    assert furthest_after(quick(advantage=advantage), 300) < 0.15
