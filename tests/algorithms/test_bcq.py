"""BCQ equals its equations."""

from typing import Any

import numpy as np
import pytest
import torch
from behaviours import (
    learned_from_two_modes,
    numpy_behaviour_loss,
    numpy_decoded,
    numpy_mlp,
    numpy_soft_target,
    of_units,
)
from methods import make_batch, make_method, next_draws, normal, numpy_batch, numpy_q

from awac_dist.algorithms.bcq import BCQ, BCQConfig
from awac_dist.config import RunConfig
from awac_dist.nn.config import CriticConfig
from awac_dist.tensors import Batch


def numpy_proposals(method: BCQ, actor: Any, states: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """[B, A] of noise [B, Z]."""
    units = np.tanh(numpy_decoded(method.vae, states, np.clip(noise, -0.5, 0.5)))
    moves = np.tanh(numpy_mlp(actor.network, np.concatenate([states, units], axis=1)))
    return of_units(np.clip(units + method.config.max_perturbation * moves, -1, 1))


def numpy_critic_loss(method: BCQ, batch: Batch) -> float:
    noise = normal(next_draws(method), method.config.target_candidates, len(batch.rewards), 4)
    s2 = batch.next_observations.numpy()
    proposals = [numpy_proposals(method, method.target_actor, s2, each) for each in noise]
    return numpy_soft_target(method, batch, proposals)


def numpy_actor_loss(method: BCQ, batch: Batch) -> float:
    s, *_ = numpy_batch(batch)
    actions = numpy_proposals(method, method.actor, s, normal(next_draws(method), 1, len(s), 4)[0])
    return float(-np.mean(numpy_q(method.critic, s, actions)[0]))


@pytest.mark.parametrize("members", [1, 2, 4])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("min_share", "candidates"), [(0.75, 1), (1.0, 10), (0.3, 3)])
@pytest.mark.parametrize("max_perturbation", [0.05, 1.0])
def test_the_losses_equal_the_equations(
    members: int, layer_norm: bool, min_share: float, candidates: int, max_perturbation: float
) -> None:
    config = BCQConfig(
        critic=CriticConfig(members=members, layer_norm=layer_norm),
        min_share=min_share,
        target_candidates=candidates,
        max_perturbation=max_perturbation,
    )
    method, batch = make_method(config), make_batch()
    method.config = config  # all of its candidates
    method.update([make_batch(seed=5)])  # targets differ from networks
    expected = numpy_behaviour_loss(method, batch)
    assert method.behaviour_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, batch)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_the_steps_follow_each_other_and_targets_come_last() -> None:
    method = make_method(BCQConfig())
    stepped: list[str] = []
    follow, move = method.follow, method.move_targets
    method.follow = lambda gradients, names: (stepped.extend(names), follow(gradients, names))
    method.move_targets = lambda: (stepped.append("targets"), move())
    method.update([make_batch()])
    assert stepped == ["behaviour", "critic", "actor", "targets"]


def test_no_gradient_of_the_actor_reaches_the_model() -> None:
    method, batch = make_method(BCQConfig()), make_batch()
    method.actor_loss(batch)[0].backward()
    assert all(parameter.grad is None for parameter in method.vae.parameters())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in method.actor.parameters())


def test_it_takes_the_better_of_the_datas_actions_and_none_between_or_beyond() -> None:
    """A policy of one mode would be at 0, one that only climbs Q at 1."""
    actions = learned_from_two_modes(BCQConfig())
    assert np.abs(actions - 0.6).max() < 0.2


def test_a_run_starts_from_no_policy() -> None:
    found = dict(RunConfig(algorithm=BCQConfig(), init="a.npz").problems())
    assert found == {"init": "a.npz has no effect: this algorithm starts from no policy"}


@pytest.mark.parametrize("size", [1, 2])
def test_phi_moves_an_action_by_so_many_half_ranges_at_most(size: float) -> None:
    """By hand: the network says infinitely much more in both dimensions, of half ranges 1, 2.5."""
    method = make_method(BCQConfig(max_perturbation=0.1 * size))
    with torch.no_grad():
        method.actor.network.weights[-1].fill_(100.0)
    units = torch.tensor([[0.0, 0.2], [-0.5, 0.95]], dtype=torch.float64)
    moved = method.actor(torch.zeros(2, 3, dtype=torch.float64), units)
    step = 0.1 * size
    wanted = [[step, 0.5 + 2.5 * (0.2 + step)], [-0.5 + step, 0.5 + 2.5]]
    torch.testing.assert_close(moved, torch.tensor(wanted, dtype=torch.float64))
