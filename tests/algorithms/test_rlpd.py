"""RLPD is what its paper says by its defaults; what `Soft` can do besides is in test_sac.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods import (
    BANDIT,
    build,
    float64,
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_q,
    numpy_sample,
)

from awac_dist.algorithms.rlpd import RLPD, RLPDConfig
from awac_dist.cli.options import parse
from awac_dist.nn.config import CriticConfig
from awac_dist.tensors import Batch

PRESET = Path(__file__).parents[2] / "configs/algorithms/rlpd.yaml"
EXACT = {"log_std_max": 0.5}  # far out in the tails NumPy's own formula is the less exact one


def test_the_losses_equal_the_equations_for_two_of_ten_critics() -> None:
    config = RLPDConfig()
    config = replace(config, actor=replace(config.actor, **EXACT, hidden=(8, 8)))
    with float64():
        method = build(replace(config, critic=replace(config.critic, hidden=(8, 8))))
    batch, draws = make_batch(), next_draws(method)
    (s, a, r, d, s2), alpha = numpy_batch(batch), np.exp(method.duals["entropy_coef"].item())
    a2, density = numpy_sample(method.actor, method.config.actor, s2, normal(draws, *a.shape))
    two = torch.randperm(10, generator=draws)[:2].numpy()
    y = r + d * (numpy_q(method.target_critic, s2, a2)[two].min(axis=0) - alpha * density)
    q = numpy_q(method.critic, s, a)
    assert len(q) == 10
    expected = sum(np.mean((each - y) ** 2) for each in q)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)
    noise = normal(next_draws(method), *a.shape)
    drawn, density = numpy_sample(method.actor, method.config.actor, s, noise)
    expected = np.mean(alpha * density - numpy_q(method.critic, s, drawn).mean(axis=0))
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


def test_an_update_is_a_critic_step_on_each_batch_and_one_of_the_actor_on_the_last() -> None:
    method = make_method(RLPDConfig())
    method.config = replace(method.config, critic_batches=20)
    steps: list[tuple[str, Any]] = []
    descend = method.descend

    def watched(loss: Any, batch: Batch, names: Any) -> Any:
        steps.append((*names, batch))
        return descend(loss, batch, names)

    method.descend = watched
    assert method.batches_per_update == 20
    batches = [make_batch(seed=seed) for seed in range(20)]
    method.update(batches)
    assert [name for name, _ in steps] == ["critic"] * 20 + ["actor"]
    assert [id(batch) for _, batch in steps] == [*map(id, batches), id(batches[-1])]


def far_from_the_data(layer_norm: bool) -> float:
    """The largest |Q| of any action, learned from few: rewards of 0 and 1, steep in between."""
    fast = CriticConfig(hidden=(32, 32), members=4, layer_norm=layer_norm, learning_rate=1e-2)
    config = RLPDConfig(critic=fast, critic_batches=5, target_entropy=None, entropy_coef=0.0)
    method = build(config, BANDIT)
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = torch.from_numpy(rng.uniform(0.0, 0.02, (64, 1)).astype(np.float32))
        states, rewards = torch.zeros(64, 1), (actions[:, 0] > 0.01).float()
        method.update([Batch(states, actions, rewards, torch.zeros(64), states)] * 5)
    with torch.no_grad():
        q = method.critic(torch.zeros(64, 1), torch.linspace(-1, 1, 64).unsqueeze(1))
    return float(q.abs().max())


def test_layer_norm_keeps_the_critics_in_bounds_where_there_is_no_data() -> None:
    normed, plain = far_from_the_data(True), far_from_the_data(False)
    assert normed < plain / 2


def test_half_of_each_batch_is_prior_data() -> None:
    config = parse(["--config", str(PRESET)]).config
    assert config.replay.mixture == {"offline": 0.5, "online": 0.5}
    assert config.algorithm == RLPDConfig()
    assert config.algorithm.method is RLPD
