"""BEAR equals its equations."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from behaviours import (
    learned_from_two_modes,
    numpy_behaviour_loss,
    numpy_decoded,
    numpy_soft_target,
)
from methods import (
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_head,
    numpy_q,
    numpy_sample,
)

from awac_dist.algorithms.bear import BEAR, BEARConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch

ACTOR = BEARConfig().actor


def numpy_critic_loss(method: BEAR, batch: Batch) -> float:
    config, s2 = method.config, batch.next_observations.numpy()
    noise = normal(next_draws(method), config.target_candidates, len(s2), 2)
    samples = (numpy_sample(method.target_actor, config.actor, s2, each)[0] for each in noise)
    return numpy_soft_target(method, batch, list(samples))


def numpy_mmd(config: BEARConfig, x: np.ndarray, y: np.ndarray) -> float:
    """Of samples [N, A] each, one pair after the other."""

    def mean_kernel(one: np.ndarray, other: np.ndarray) -> float:
        power = 1 if config.kernel == "laplacian" else 2
        apart = [np.sum(np.abs(p - q) ** power) for p in one for q in other]
        return float(np.mean(np.exp(-np.array(apart) / (2 * config.bandwidth))))

    return float(np.sqrt(mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y) + 1e-6))


def numpy_actor_loss(method: BEAR, batch: Batch) -> tuple[float, float]:
    """The loss, and the divergence in it."""
    config, (s, *_), draws = method.config, numpy_batch(batch), next_draws(method)
    count = config.divergence_samples
    noise, latents = normal(draws, count, len(s), 2), normal(draws, count, len(s), 4)
    raw, log_std = numpy_head(method.actor, config.actor, s)
    policys = raw + np.exp(log_std) * noise  # [N, B, A]
    models = np.stack([numpy_decoded(method.vae, s, its) for its in latents.clip(-0.5, 0.5)])
    pairs = zip(policys.swapaxes(0, 1), models.swapaxes(0, 1), strict=True)
    divergence = float(np.mean([numpy_mmd(config, x, y) for x, y in pairs]))
    actions = [numpy_sample(method.actor, config.actor, s, each)[0] for each in noise]
    values = np.mean([numpy_q(method.critic, s, its).min(axis=0) for its in actions])
    climbs = method.duals["updates"].item() >= config.divergence_updates
    weight = np.exp(method.duals["penalty_weight"].item())
    return float(weight * divergence - climbs * values), divergence


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("state_std", [False, True])
@pytest.mark.parametrize(("kernel", "bandwidth"), [("laplacian", 0.5), ("gaussian", 20.0)])
@pytest.mark.parametrize("divergence_samples", [1, 4])
@pytest.mark.parametrize("divergence_updates", [0, 1, 2])
def test_the_losses_equal_the_equations(
    members: int,
    state_std: bool,
    kernel: Any,
    bandwidth: float,
    divergence_samples: int,
    divergence_updates: int,
) -> None:
    config = BEARConfig(
        actor=replace(ACTOR, state_dependent_std=state_std, log_std_max=0.5),
        critic=CriticConfig(members=members),
        kernel=kernel,
        bandwidth=bandwidth,
        divergence_samples=divergence_samples,
        divergence_updates=divergence_updates,
        target_candidates=divergence_samples,
    )
    method, batch = make_method(config), make_batch()
    method.config = replace(method.config, divergence_samples=divergence_samples)
    method.update([make_batch(seed=5)])  # moves targets, the weight and the count
    expected = numpy_behaviour_loss(method, batch)
    assert method.behaviour_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_critic_loss(method, batch)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    expected, divergence = numpy_actor_loss(method, batch)
    loss, metrics = method.actor_loss(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert metrics["actor/divergence"].item() == pytest.approx(divergence, rel=1e-9)


def weights(config: BEARConfig, divergence: float, online: bool = False) -> list[float]:
    """The logarithm of the weight, after each of three updates with such a divergence."""
    method = make_method(replace(config, penalty_weight_learning_rate=0.5))
    method.online = online
    found = []
    for _ in range(3):
        method.after_update(make_batch(), {"actor/divergence": torch.tensor(divergence).double()})
        found.append(method.duals["penalty_weight"].item())
    return found


def test_the_weight_rises_while_the_policy_is_too_far() -> None:
    up, down = [0.5, 1.0, 1.5], [-0.5, -1.0, -1.5]
    assert weights(BEARConfig(epsilon=0.05), 0.2) == pytest.approx(up, rel=0.05)
    assert weights(BEARConfig(epsilon=0.05), 0.01) == pytest.approx(down, rel=0.3)
    assert weights(BEARConfig(epsilon=0.3), 0.2) == pytest.approx(down, rel=0.3)


def test_loose_bear_has_another_bound_online() -> None:
    loose = BEARConfig(epsilon=0.05, online_epsilon=0.3)
    assert weights(loose, 0.2)[-1] > 0
    assert weights(loose, 0.2, online=True)[-1] < 0
    assert weights(BEARConfig(epsilon=0.05), 0.2, online=True)[-1] > 0
    assert BEAR.knows_online


@pytest.mark.parametrize(("divergence", "end"), [(1.0, 10.0), (0.0, -5.0)])
def test_the_weight_stays_between_its_ends(divergence: float, end: float) -> None:
    method = make_method(BEARConfig(penalty_weight_learning_rate=30.0))
    for _ in range(2):
        method.after_update(make_batch(), {"actor/divergence": torch.tensor(divergence).double()})
    assert method.duals["penalty_weight"].item() == end


def test_the_first_updates_lower_the_divergence_alone() -> None:
    method, batch = make_method(BEARConfig(divergence_updates=2)), make_batch()
    reached = []
    for _ in range(3):
        q = torch.autograd.grad(method.actor_loss(batch)[0], list(method.critic.parameters()))
        reached.append(max(gradient.abs().max().item() for gradient in q))
        method.after_update(batch, {"actor/divergence": torch.tensor(0.1).double()})
    assert reached[0] == reached[1] == 0 < reached[2]


def test_no_gradient_of_the_actor_reaches_the_model() -> None:
    method, batch = make_method(BEARConfig()), make_batch()
    method.actor_loss(batch)[0].backward()
    assert all(parameter.grad is None for parameter in method.vae.parameters())


def test_it_takes_the_better_of_the_datas_actions_and_none_between_or_beyond() -> None:
    """A policy that only climbs Q is at 1; an MMD of 0.5 is that of one mode from both."""
    config = BEARConfig(bandwidth=1.0, epsilon=0.5, penalty_weight_learning_rate=0.03)
    actions = learned_from_two_modes(config)
    assert np.abs(actions - 0.6).max() < 0.2


@pytest.mark.parametrize("kind", ["gaussian", "deterministic"])
def test_what_has_no_sample_before_a_tanh_is_refused(kind: Any) -> None:
    config = BEARConfig(actor=ActorConfig(kind=kind))
    assert [path for path, _ in config.problems()] == ["actor.kind"]
