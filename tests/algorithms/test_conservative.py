"""CQL, Cal-QL and WSRL equal their equations."""

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
    make_batch,
    make_method,
    next_draws,
    normal,
    numpy_batch,
    numpy_gaussian,
    numpy_log_density,
    numpy_q,
    numpy_sample,
    one_step_task,
)
from running import small

from awac_dist.algorithms.cal_ql import CalQLConfig
from awac_dist.algorithms.conservative import MAX_WEIGHT, ConservativeConfig
from awac_dist.algorithms.cql import CQLConfig
from awac_dist.algorithms.wsrl import WSRLConfig
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.tensors import Batch, Metrics

LOW, HIGH = np.array(ENV.action_low), np.array(ENV.action_high)


def batch_of(method: Any, seed: int = 1) -> Batch:
    return make_batch(seed=seed, needs=method.needs)


class Reference:
    """The losses of a method for its next draws, one set of N actions after the other."""

    def __init__(self, method: Any, batch: Batch) -> None:
        self.method, self.config, self.draws = method, method.config, next_draws(method)
        self.s, self.a, self.r, self.d, self.s2 = numpy_batch(batch)
        self.columns = {name: value.numpy() for name, value in batch.columns.items()}
        dual = method.duals.get("entropy_coef")
        self.alpha = self.config.entropy_coef if dual is None else float(dual.detach().exp())

    def drawn(self, states: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Actions [B, A] and log densities [B], so many times."""
        noise = normal(self.draws, count, *self.a.shape)
        actor = self.method.actor, self.config.actor
        return [numpy_sample(*actor, states, noise[n]) for n in range(count)]

    def values(self, states: np.ndarray) -> np.ndarray:
        """V'(s): the best of some actions."""
        samples = self.config.backup_actions
        if self.method.online and isinstance(self.config, WSRLConfig):
            samples = self.config.online_backup_actions
        drawn = self.drawn(states, samples)
        q = [numpy_q(self.method.target_critic, states, actions) for actions, _ in drawn]
        if self.config.target_members < len(q[0]):
            order = torch.randperm(len(q[0]), generator=self.draws).numpy()
            q = [each[order[: self.config.target_members]] for each in q]
        entropy = self.config.entropy_in_target * self.alpha
        return np.max(
            [n.min(axis=0) - entropy * p for n, (_, p) in zip(q, drawn, strict=True)], axis=0
        )

    def penalty(self, q_data: np.ndarray, floored: bool) -> float:
        """Sum over the critics of log sum exp - Q(s, a)."""
        count = self.config.num_actions
        where = torch.rand((count, *self.a.shape), generator=self.draws, dtype=torch.float64)
        uniform = LOW + (HIGH - LOW) * where.numpy()
        following = np.where((self.d == 0)[:, None], self.s, self.s2)
        own = self.drawn(self.s, count) + self.drawn(following, count)
        floor = np.full(len(self.r), -np.inf)
        if floored:
            last = self.values(self.columns["final_observations"])
            floor = self.columns["returns"] + self.columns["return_discounts"] * last
        total = 0.0
        for e in range(len(q_data)):
            terms = [
                np.exp(numpy_q(self.method.critic, self.s, a)[e]) * np.prod(HIGH - LOW)
                for a in uniform
            ]
            terms += [
                np.exp(np.maximum(numpy_q(self.method.critic, self.s, a)[e], floor)) / np.exp(p)
                for a, p in own
            ]
            total += np.mean(np.log(np.sum(terms, axis=0)) - q_data[e])
        return total

    def critic_loss(self, floored: bool, weight: float) -> float:
        q_data = numpy_q(self.method.critic, self.s, self.a)
        y = self.r + self.d * self.values(self.s2)
        loss = sum(np.mean((q - y) ** 2) for q in q_data)
        return float(loss + (weight and weight * self.penalty(q_data, floored)))

    def actor_loss(self, cloning: bool) -> float:
        ((drawn, density),) = self.drawn(self.s, 1)
        q = numpy_q(self.method.critic, self.s, drawn)
        values = q.mean(axis=0) if self.config.actor_value == "mean" else q.min(axis=0)
        if cloning:
            gaussian = numpy_gaussian(self.method.actor, self.config.actor, self.s)
            values = numpy_log_density(self.a, *gaussian)
        return float(np.mean(self.alpha * density - values))


OPTIONS = list(
    product(
        (CQLConfig, CalQLConfig, WSRLConfig),
        ("gaussian", "squashed_gaussian"),
        (1, 3),
        (1, 4),
        (None, 0.7),
    )
)


@pytest.mark.parametrize(("kind", "actor", "members", "samples", "gap"), OPTIONS)
@pytest.mark.parametrize("entropy_in_target", [False, True])
def test_the_critics_loss_equals_the_equations(
    kind: type[ConservativeConfig],
    actor: Any,
    members: int,
    samples: int,
    gap: float | None,
    entropy_in_target: bool,
) -> None:
    config = kind(
        actor=ActorConfig(kind=actor, state_dependent_std=True, log_std_max=0.5),
        critic=CriticConfig(members=members, layer_norm=samples > 1),
        num_actions=samples,
        backup_actions=5 - samples,
        conservative_weight=0.6,
        action_gap=gap,
        conservative_weight_learning_rate=0.2,
        entropy_coef=0.3,
        entropy_in_target=entropy_in_target,
    )
    method = make_method(config)
    method.update([batch_of(method, seed=5)])  # moves the weight
    weight = float(method.duals["conservative_weight"].detach().exp()) if gap else 0.6
    assert (weight != pytest.approx(0.6)) == (gap is not None)
    batch = batch_of(method)
    expected = Reference(method, batch).critic_loss(kind is not CQLConfig, weight)
    assert method.critic_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("actor_value", ["mean", "min"])
@pytest.mark.parametrize("clone_updates", [0, 1, 2])
def test_the_actor_clones_first_and_then_climbs(clone_updates: int, actor_value: Any) -> None:
    actor = ActorConfig(state_dependent_std=True)
    method = make_method(
        CQLConfig(actor=actor, actor_value=actor_value, clone_updates=clone_updates)
    )
    method.update([batch_of(method, seed=5)])
    batch = batch_of(method)
    expected = Reference(method, batch).actor_loss(cloning=clone_updates > 1)
    assert method.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("samples", [1, 3])
def test_warm_start_is_conservative_offline_and_plain_online(
    calibrated: bool, samples: int
) -> None:
    config = WSRLConfig(
        critic=CriticConfig(members=4), calibrated=calibrated, online_backup_actions=samples
    )
    method = make_method(config)
    batch = batch_of(method)
    offline = Reference(method, batch).critic_loss(calibrated, config.conservative_weight)
    assert method.critic_loss(batch)[0].item() == pytest.approx(offline, rel=1e-9)
    assert method.batches_per_update == 1
    method.online = True
    online = Reference(method, batch).critic_loss(calibrated, 0.0)
    assert method.critic_loss(batch)[0].item() == pytest.approx(online, rel=1e-9)
    assert method.batches_per_update == 3  # of 4, in a small method


def test_the_weight_stays_online_where_nothing_is_held_down() -> None:
    method = make_method(WSRLConfig(action_gap=0.5))
    method.online = True
    before = method.duals["conservative_weight"].item()
    metrics = method.update([batch_of(method, seed) for seed in range(3)])
    assert method.duals["conservative_weight"].item() == before
    assert not {name for name in metrics if "conservative" in name}


def stepped(method: Any, gap: float) -> float:
    """What is lowered by the weight's step."""
    losses: list[float] = []
    method.step = lambda loss, names: losses.append(loss.item())
    metrics: Metrics = {
        "actor/entropy": torch.tensor(0.0),
        "critic/conservative_gap": torch.tensor(gap),
    }
    method.after_update(batch_of(method), metrics)
    return losses[-1]


@pytest.mark.parametrize(("start", "loss"), [(2.0, -2.0 * 1.5), (1e9, -MAX_WEIGHT * 1.5)])
def test_the_weight_grows_while_the_gap_is_too_wide(start: float, loss: float) -> None:
    method = make_method(CQLConfig(conservative_weight=start, action_gap=0.5))
    assert stepped(method, 2.0) == pytest.approx(loss)


def test_the_weight_brings_the_gap_where_it_is_wanted() -> None:
    config = CQLConfig(
        conservative_weight=0.05, action_gap=1.5, conservative_weight_learning_rate=3e-2
    )
    fast = replace(config.critic, learning_rate=1e-2)
    method = build(small(replace(config, critic=fast, num_actions=4), 16), BANDIT)
    rng = np.random.default_rng(0)
    gaps = [
        method.update([one_step_task(64, rng, 0.1)])["critic/conservative_gap"].item()
        for _ in range(250)
    ]
    assert np.mean(gaps[:50]) > 1.8
    assert np.mean(gaps[-50:]) == pytest.approx(1.5, abs=0.1)


def trained(config: ConservativeConfig, low: float, high: float, updates: int = 150) -> Any:
    """Learns from actions within bounds alone, of which the reward is the action."""
    fast = replace(config.critic, learning_rate=1e-2)
    quiet = {"target_entropy": None, "entropy_coef": 0.01, "num_actions": 4}
    method = build(small(replace(config, critic=fast, **quiet), 16), BANDIT)
    rng, rows, ended = np.random.default_rng(0), torch.zeros(64, 1), torch.zeros(64)
    for _ in range(updates):
        actions = torch.from_numpy(rng.uniform(low, high, size=(64, 1)).astype(np.float32))
        returns = {"returns": actions[:, 0], "return_discounts": ended}
        columns = {**returns, "final_observations": rows}
        method.update([Batch(rows, actions, actions[:, 0], ended, rows, columns)])
    return method


def test_actions_that_are_not_in_the_data_are_not_believed_in() -> None:
    """Without the conservative term Q extrapolates, and the policy leaves the data."""
    fast = replace(CQLConfig().actor, learning_rate=1e-2)
    found = [
        trained(CQLConfig(actor=fast, conservative_weight=weight), -0.5, 0.0)
        .actor(torch.zeros(1, 1))
        .mean.item()
        for weight in (0.0, 1.0)
    ]
    assert found[0] > 0.2
    assert -0.5 < found[1] < 0.0


def test_a_floor_keeps_the_policys_values_from_being_unlearned() -> None:
    """The data is better than the policy, whose value need not fall below the data's for that."""
    slow = replace(CQLConfig().actor, learning_rate=1e-9)
    q = [
        trained(kind(actor=slow, conservative_weight=10.0), 0.6, 0.9)
        .critic(torch.zeros(1, 1), torch.zeros(1, 1))
        .mean()
        .item()
        for kind in (CQLConfig, CalQLConfig)
    ]
    assert q[0] < -100
    assert q[1] > -50


@pytest.mark.parametrize("kind", [CQLConfig, CalQLConfig, WSRLConfig])
def test_what_cannot_work_is_named(kind: type[ConservativeConfig]) -> None:
    config = kind(conservative_weight=0.0, action_gap=1.0)
    assert [path for path, _ in config.problems()] == ["conservative_weight"]
    assert not list(kind(conservative_weight=0.0).problems())
