"""An update may multiply in bfloat16 and still learn the same."""

import time
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from running import small
from torch import Tensor

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import Method
from awac_dist.algorithms.world import Task
from awac_dist.learner import batches
from awac_dist.learner.config import LearnerConfig, Precision
from awac_dist.learner.device import autocast
from awac_dist.learner.learner import Learner
from awac_dist.learner.record import named_tensors
from awac_dist.messages import Announced, Cursor, Placement
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.replay.layout import Layout
from awac_dist.runs.runtime import InlineHandle
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec

CPU = torch.device("cpu")
ENV = EnvSpec("none", 3, 2, (-1.0, -2.0), (1.0, 3.0), None)
LAYOUT = Layout.of(ENV)
STATE_STD = AWACConfig(ActorConfig(state_dependent_std=True))
WAIT_S = 0.1


def make_awac(config: AWACConfig = AWACConfig()) -> AWAC:  # noqa: B008
    return AWAC(small(config), Task(ENV, 0.99), seed=1, device=CPU)


def make_batch(rows: int = 256) -> Batch:
    block = torch.randn(rows, LAYOUT.width, generator=torch.Generator().manual_seed(0))
    block[:, LAYOUT.discounts] = 0.99
    return Batch.from_block(block, LAYOUT)


def gradients(method: Method, batch: Batch) -> Tensor:
    """Of an update, by what Adam remembers of them."""
    method.update([batch])
    states = [state for o in method.optimizers.values() for state in o.state.values()]
    return torch.cat([state["exp_avg"].flatten() for state in states])


def test_bfloat16_products_give_nearly_the_same_gradients() -> None:
    exact = gradients(make_awac(), make_batch())
    with autocast("bfloat16", CPU):
        rounded = gradients(make_awac(), make_batch())
    difference = ((rounded - exact).norm() / exact.norm()).item()
    assert 1e-4 < difference < 0.02  # rounded, and by no more than 2^-8 a few times


def test_float32_is_left_alone() -> None:
    exact = gradients(make_awac(), make_batch())
    with autocast("float32", CPU):
        assert torch.equal(gradients(make_awac(), make_batch()), exact)


def test_the_last_layer_of_the_policy_is_exact() -> None:
    actor = make_awac(STATE_STD).actor
    with torch.no_grad():
        for layer in (0, 1):  # so that the last hidden layer is 0.5, which bfloat16 can hold
            actor.weights[2 * layer].zero_()
            actor.weights[2 * layer + 1].fill_(0.5)
        actor.weights[4].normal_(0.0, 0.3, generator=torch.Generator().manual_seed(0))
        exact = actor(torch.zeros(1, 3))
        with autocast("bfloat16", CPU):
            rounded = actor(torch.zeros(1, 3))
    assert torch.equal(rounded.mean, exact.mean)
    assert torch.equal(rounded.log_std, exact.log_std)


def test_the_policy_and_its_density_are_float32() -> None:
    method, batch = make_awac(STATE_STD), make_batch()
    with autocast("bfloat16", CPU):
        policy = method.actor(batch.observations)
        values = method.critic(batch.observations, batch.actions)
        density = policy.log_prob(batch.actions)
    kinds = {policy.mean.dtype, policy.log_std.dtype, values.dtype, density.dtype}
    assert kinds == {torch.float32}
    assert {value.dtype for _, value in named_tensors(method)} == {torch.float32}


def test_bfloat16_learns_the_same_one_step_task() -> None:
    errors = {}
    for precision in ("float32", "bfloat16"):
        rates = ActorConfig(learning_rate=3e-3), CriticConfig(learning_rate=3e-3)
        method = make_awac(AWACConfig(*rates, temperature=0.05, effective_batch=None))
        rng = np.random.default_rng(0)
        for _ in range(250):
            with autocast(precision, CPU):
                method.update([one_step_batch(rng)])
        states = torch.from_numpy(rng.normal(size=(500, 3)).astype(np.float32))
        with torch.no_grad():
            chosen = method.actor(states).mean[:, 0]
        errors[precision] = (chosen - wanted(states)).abs().mean().item()
    assert errors["float32"] < 0.25  # actions drawn at random are 0.6 off
    assert errors["bfloat16"] == pytest.approx(errors["float32"], abs=0.05)


def one_step_batch(rng: np.random.Generator, rows: int = 64) -> Batch:
    """Actions at random; the reward falls with the distance to the wanted one."""
    states = torch.from_numpy(rng.normal(size=(rows, 3)).astype(np.float32))
    actions = torch.from_numpy(rng.uniform(-1, 1, size=(rows, 2)).astype(np.float32))
    rewards = -(actions[:, 0] - wanted(states)).square()
    return Batch(states, actions, rewards, torch.zeros(rows), states)


def wanted(states: Tensor) -> Tensor:
    return 0.8 * torch.tanh(states[:, 0])


class SlowShard:
    """Answers with numbers after a while."""

    def since(self, cursor: Cursor | None, released: int) -> Announced:
        places = [] if cursor else [Placement("prior", 0, 0, 500, (), (0,))]
        return Announced(places, Cursor(0, 1), 0)

    def take(self, rows: np.ndarray, *wishes: Any) -> np.ndarray:
        time.sleep(WAIT_S)
        return np.zeros((len(rows), LAYOUT.width), np.float32)


class Store:
    """Takes every policy."""

    def publish(self, version: int, spec: object, vector: np.ndarray) -> None:
        assert vector.dtype == np.float32


def make_learner(config: LearnerConfig) -> Learner:
    learner = Learner(
        ENV,
        config,
        [InlineHandle(SlowShard())],
        InlineHandle(Store()),
        online_capacity=1_000,
        seed=0,
        device="cpu",
    )
    learner.register()
    learner.begin(small(AWACConfig()), 32)
    return learner


@pytest.mark.parametrize("precision", get_args(Precision))
def test_a_learner_updates_in_the_precision_it_was_told(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def update(self: AWAC, batches: Sequence[Batch]) -> dict[str, Tensor]:
        seen.add(torch.is_autocast_enabled("cpu"))
        return {"loss": batches[0].rewards.mean()}

    monkeypatch.setattr(AWAC, "update", update)
    make_learner(LearnerConfig(precision=precision)).update(2)
    assert seen == {precision == "bfloat16"}
    assert not torch.is_autocast_enabled("cpu")


def test_waiting_is_told_from_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner(LearnerConfig(batches_per_request=1))
    empty = torch.empty

    def slowly(size: Any, **options: Any) -> Tensor:
        time.sleep(2 * WAIT_S)
        return empty(size, **options)

    monkeypatch.setattr(batches.torch, "empty", slowly)  # makes the block that answers go into
    report = learner.update(3)
    assert 3 * WAIT_S <= report.wait_s < 6 * WAIT_S
    assert 6 * WAIT_S <= report.copy_s < report.seconds - report.wait_s
