"""AWAC equals its equations, reaches what it should, continues exactly, and learns."""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import OptimizerConfig
from awac_dist.nn.config import NetworkConfig
from awac_dist.replay.layout import Layout
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec

ENV = EnvSpec("none", 3, 2, (-1.0, -2.0), (1.0, 3.0), None)
NETWORKS = NetworkConfig(actor_hidden=(8, 8), critic_hidden=(8, 8))
FIXED = AWACConfig(temperature=0.4, effective_batch=None)
ROWS = 24

CRITIC_OPTIONS = list(product((False, True), (False, True), (1, 2, 5), (None, 0.0)))
ACTOR_OPTIONS = list(
    product(("softmax", "exp"), (("mean", 1), ("sample", 1), ("sample", 4)), (None, 0.5))
)


def make_method(
    config: AWACConfig = FIXED,
    networks: NetworkConfig = NETWORKS,
    optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
    seed: int = 1,
) -> AWAC:
    """Build AWAC in float64 with parameters large enough that every bound is reached."""
    method = AWAC(
        config,
        networks.policy_spec(ENV),
        networks,
        optimizer,
        seed=seed,
        device=torch.device("cpu"),
    ).double()
    generator = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.normal_(0.0, 0.6, generator=generator)
    return method


def make_batch(rows: int = ROWS, seed: int = 1) -> Batch:
    """Draw a batch in float64, of which every third transition ended the task."""
    rng = np.random.default_rng(seed)
    discounts = np.where(np.arange(rows) % 3 == 0, 0.0, 0.99)
    columns = (
        rng.normal(size=(rows, 3)),
        rng.uniform(-1, 1, size=(rows, 2)),
        rng.normal(size=rows),
        discounts,
        rng.normal(size=(rows, 3)),
    )
    return Batch(*map(torch.from_numpy, columns))


# An independent transcription of the equations: NumPy, one network at a time.


def numpy_policy(
    method: AWAC, networks: NetworkConfig, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [B, A] and standard deviation [B, A]."""
    parameters = [parameter.detach().numpy() for parameter in method.actor.weights]
    hidden = states
    for weight, bias in zip(parameters[0:4:2], parameters[1:4:2], strict=True):
        hidden = np.maximum(hidden @ weight.T + bias, 0.0)
    low, high = np.array(ENV.action_low), np.array(ENV.action_high)
    raw = hidden @ parameters[4].T + parameters[5]
    mean = low + (np.tanh(raw) + 1) * (high - low) / 2
    if networks.state_dependent_std:
        logits = hidden @ parameters[6].T + parameters[7]
    else:
        logits = np.tile(parameters[6], (len(states), 1))
    smallest, largest = networks.log_std_min, networks.log_std_max
    log_std = smallest + (largest - smallest) / (1 + np.exp(-logits))
    return mean, np.exp(log_std) * (high - low) / 2


def numpy_log_density(actions: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return (-((actions - mean) ** 2) / (2 * std**2) - np.log(std * np.sqrt(2 * np.pi))).sum(axis=1)


def numpy_min_q(
    critic: Any, states: np.ndarray, actions: np.ndarray, max_q: float | None
) -> np.ndarray:
    """min_e Q_e(s, a): [B]."""
    return numpy_q(critic, states, actions, max_q).min(axis=0)


def numpy_q(
    critic: Any, states: np.ndarray, actions: np.ndarray, max_q: float | None
) -> np.ndarray:
    """Q_e(s, a): [E, B], one member after the other."""
    members = []
    for e in range(critic.members):
        hidden = np.concatenate([states, actions], axis=1)
        for layer, norm in zip(critic.layers, critic.norms, strict=True):
            weight, bias = (p.detach().numpy()[e] for p in (layer.weight, layer.bias))
            hidden = hidden @ weight + bias
            if isinstance(norm, torch.nn.Identity):
                hidden = np.maximum(hidden, 0.0)
                continue
            scale, shift = (
                np.broadcast_to(p.detach().numpy(), (critic.members, 1, p.shape[-1]))[e]
                for p in (norm.weight, norm.bias)
            )
            centred = hidden - hidden.mean(axis=1, keepdims=True)
            variance = (centred**2).mean(axis=1, keepdims=True)
            hidden = np.maximum(centred / np.sqrt(variance + 1e-5) * scale + shift, 0.0)
        weight, bias = (p.detach().numpy()[e] for p in (critic.head.weight, critic.head.bias))
        values = (hidden @ weight + bias)[:, 0]
        members.append(values if max_q is None else np.minimum(values, max_q))
    return np.stack(members)


def next_noise(method: AWAC, *shape: int) -> np.ndarray:
    """Say what the method's generator will draw next, without drawing it."""
    generator = torch.Generator()
    generator.set_state(method.generator.get_state())
    return torch.randn(shape, generator=generator, dtype=torch.float64).numpy()


def critic_loss(method: AWAC, batch: Batch) -> torch.Tensor:
    return method.critic_loss(batch, method.critic(batch.observations, batch.actions))[0]


def actor_loss(method: AWAC, batch: Batch) -> torch.Tensor:
    return method.actor_loss(batch, method.critic(batch.observations, batch.actions))[0]


def numpy_critic_loss(method: AWAC, networks: NetworkConfig, batch: Batch) -> float:
    max_q = method.config.max_q
    s, a, r, d, s2 = (getattr(batch, name).numpy() for name in batch.__dataclass_fields__)
    mean, std = numpy_policy(method, networks, s2)
    a2 = mean + std * next_noise(method, *mean.shape)
    y = r + d * numpy_min_q(method.target_critic, s2, a2, max_q)
    return float(sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a, max_q)))


def numpy_advantages(method: AWAC, networks: NetworkConfig, batch: Batch) -> np.ndarray:
    """Advantages [B] before any clip."""
    config = method.config
    s, a = batch.observations.numpy(), batch.actions.numpy()
    mean, std = numpy_policy(method, networks, s)
    if config.value == "mean":
        chosen = [mean]
    else:
        chosen = list(mean + std * next_noise(method, config.num_value_samples, *mean.shape))
    values = np.mean([numpy_min_q(method.critic, s, c, config.max_q) for c in chosen], axis=0)
    return numpy_min_q(method.critic, s, a, config.max_q) - values


def numpy_actor_loss(method: AWAC, networks: NetworkConfig, batch: Batch) -> float:
    config = method.config
    advantages = numpy_advantages(method, networks, batch)
    if config.advantage_clip is not None:
        advantages = np.minimum(advantages, config.advantage_clip)
    exponentials = np.exp(advantages / np.exp(method.log_temperature.item()))
    if config.weights == "softmax":
        weights = exponentials / exponentials.sum() * len(advantages)
    else:
        weights = np.minimum(exponentials, config.max_weight)
    policy = numpy_policy(method, networks, batch.observations.numpy())
    return float(-np.mean(weights * numpy_log_density(batch.actions.numpy(), *policy)))


@pytest.mark.parametrize(("state_std", "layer_norm", "members", "max_q"), CRITIC_OPTIONS)
def test_critic_loss_equals_the_equation(
    state_std: bool, layer_norm: bool, members: int, max_q: float | None
) -> None:
    networks = replace(
        NETWORKS,
        state_dependent_std=state_std,
        critic_layer_norm=layer_norm,
        num_critics=members,
    )
    method, batch = make_method(replace(FIXED, max_q=max_q), networks), make_batch()
    expected = numpy_critic_loss(method, networks, batch)
    assert critic_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("state_std", "layer_norm", "members", "max_q"), CRITIC_OPTIONS)
@pytest.mark.parametrize(("weights", "value", "clip"), ACTOR_OPTIONS)
def test_actor_loss_equals_the_equation(
    weights: Any,
    value: tuple[Any, int],
    clip: float | None,
    state_std: bool,
    layer_norm: bool,
    members: int,
    max_q: float | None,
) -> None:
    config = replace(
        FIXED,
        weights=weights,
        max_weight=2.0,
        value=value[0],
        num_value_samples=value[1],
        advantage_clip=clip,
        max_q=max_q,
    )
    networks = replace(
        NETWORKS,
        state_dependent_std=state_std,
        critic_layer_norm=layer_norm,
        num_critics=members,
    )
    method, batch = make_method(config, networks), make_batch()
    expected = numpy_actor_loss(method, networks, batch)
    assert actor_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [None, 0.5])
@pytest.mark.parametrize("weights", ["softmax", "exp"])
def test_losses_equal_the_equations_after_the_temperature_has_moved(
    share: float | None, weights: Any
) -> None:
    method = make_method(replace(FIXED, effective_batch=share, weights=weights))
    batch = make_batch()
    for _ in range(5):
        method.update(batch)
    moved = abs(method.log_temperature.exp().item() - FIXED.temperature) > 0.01
    assert moved == (share is not None)
    expected = numpy_critic_loss(method, NETWORKS, batch)
    assert critic_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)
    expected = numpy_actor_loss(method, NETWORKS, batch)
    assert actor_loss(method, batch).item() == pytest.approx(expected, rel=1e-9)


def test_the_batch_of_these_tests_reaches_every_bound() -> None:
    method, batch = make_method(), make_batch()
    advantages = numpy_advantages(method, NETWORKS, batch)
    q = numpy_q(method.critic, batch.observations.numpy(), batch.actions.numpy(), None)
    for values, bound in ((advantages, 0.5), (np.exp(advantages / 0.4), 2.0), (q, 0.0)):
        assert 0.1 < np.mean(values > bound) < 0.9


def gradients(module: torch.nn.Module) -> list[Tensor | None]:
    return [parameter.grad for parameter in module.parameters()]


def test_the_critic_loss_reaches_only_the_critic() -> None:
    method = make_method()
    critic_loss(method, make_batch()).backward()
    assert all(g is not None and g.abs().sum() > 0 for g in gradients(method.critic))
    assert gradients(method.actor) == [None] * len(gradients(method.actor))
    assert gradients(method.target_critic) == [None] * len(gradients(method.target_critic))


@pytest.mark.parametrize("value", ["sample", "mean"])
def test_the_actor_loss_reaches_only_the_actor(value: Any) -> None:
    method = make_method(replace(FIXED, value=value))
    actor_loss(method, make_batch()).backward()
    assert all(g is not None and g.abs().sum() > 0 for g in gradients(method.actor))
    assert gradients(method.critic) == [None] * len(gradients(method.critic))
    assert gradients(method.target_critic) == [None] * len(gradients(method.target_critic))


def test_metrics_carry_no_gradient() -> None:
    assert not any(metric.requires_grad for metric in make_method().update(make_batch()).values())


@pytest.mark.parametrize("weights", ["softmax", "exp"])
def test_an_infinite_temperature_is_behavioural_cloning(weights: Any) -> None:
    batch = make_batch()
    method = make_method(replace(FIXED, temperature=1e8, weights=weights))
    actor_loss(method, batch).backward()
    clone = make_method().actor
    (-clone(batch.observations).log_prob(batch.actions).mean()).backward()
    for ours, theirs in zip(gradients(method.actor), gradients(clone), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)


def test_an_update_moves_the_target_by_its_rate() -> None:
    method = make_method(optimizer=OptimizerConfig(target_update_rate=0.1))
    before = [parameter.clone() for parameter in method.target_critic.parameters()]
    method.update(make_batch())
    after = method.target_critic.parameters()
    for old, new, critic in zip(before, after, method.critic.parameters(), strict=True):
        torch.testing.assert_close(new.data, 0.9 * old + 0.1 * critic.data, rtol=1e-12, atol=0)


def test_the_target_starts_as_a_copy_of_the_critic() -> None:
    networks = NETWORKS.policy_spec(ENV)
    method = AWAC(FIXED, networks, NETWORKS, OptimizerConfig(), seed=0, device=torch.device("cpu"))
    for critic, target in zip(
        method.critic.parameters(), method.target_critic.parameters(), strict=True
    ):
        assert torch.equal(critic, target)
        assert critic.data_ptr() != target.data_ptr()
        assert not target.requires_grad


@pytest.mark.parametrize("start", [0.2, 6.0])
def test_the_temperature_holds_the_effective_batch_at_its_share(start: float) -> None:
    method = make_method(
        replace(FIXED, temperature=start, effective_batch=0.5, value="mean"),
        optimizer=OptimizerConfig(0.0, 0.0),
    )
    batch = make_batch()
    shares = [method.update(batch)["actor/effective_batch"].item() / ROWS for _ in range(250)]
    assert abs(shares[0] - 0.5) > 0.2
    assert shares[-1] == pytest.approx(0.5, abs=0.02)


def first_adam_step(parameter: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    """Return the parameter after Adam's first step, where both moments cancel."""
    return parameter - learning_rate * gradient / (gradient.abs() + 1e-8)


def test_weight_decay_is_an_l2_penalty_on_the_actor_alone() -> None:
    method, twin = (
        make_method(optimizer=OptimizerConfig(1e-2, 1e-2, actor_weight_decay=0.5)) for _ in range(2)
    )
    batch = make_batch()
    (critic_loss(twin, batch) + actor_loss(twin, batch)).backward()
    method.update(batch)
    for name, decay in (("actor", 0.5), ("critic", 0.0)):
        pairs = zip(
            getattr(method, name).parameters(), getattr(twin, name).parameters(), strict=True
        )
        for new, old in pairs:
            expected = first_adam_step(old.data, old.grad + decay * old.data, 1e-2)
            torch.testing.assert_close(new.data, expected, rtol=1e-6, atol=1e-9)


def with_garbage(batch: Batch, rows: Tensor) -> Batch:
    """Replace the next observations of some rows by something else."""
    garbage = batch.next_observations.clone()
    garbage[rows] = 1e3
    return replace(batch, next_observations=garbage)


def test_what_follows_a_true_end_does_not_matter() -> None:
    batch = make_batch()
    garbage = with_garbage(batch, batch.discounts == 0)
    losses = [critic_loss(make_method(), b).item() for b in (batch, garbage)]
    assert losses[0] == losses[1]


def test_what_follows_any_other_step_matters() -> None:
    batch = make_batch()
    garbage = with_garbage(batch, batch.discounts > 0)
    losses = [critic_loss(make_method(), b).item() for b in (batch, garbage)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_a_packed_block_is_read_column_by_column() -> None:
    layout = Layout(observation_size=3, action_size=2)
    block = torch.arange(10.0).expand(4, 10)
    batch = Batch.from_block(block, layout)
    assert batch.observations[0].tolist() == [0, 1, 2]
    assert batch.actions[0].tolist() == [3, 4]
    assert (batch.rewards[0].item(), batch.discounts[0].item()) == (5, 6)
    assert batch.next_observations[0].tolist() == [7, 8, 9]


def saved(method: AWAC) -> dict[str, Any]:
    """Take the training state through a file, as a checkpoint does."""
    file = io.BytesIO()
    torch.save(method.training_state(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def parameters_after(method: AWAC, updates: int) -> Tensor:
    for number in range(updates):
        method.update(make_batch(seed=number))
    return torch.cat([tensor.flatten() for tensor in method.state_dict().values()])


RESUMED = replace(FIXED, effective_batch=0.5)


def interrupted() -> tuple[dict[str, Any], Tensor]:
    """Return the state after three updates, and the parameters after three more."""
    method = make_method(RESUMED)
    parameters_after(method, 3)
    state = saved(method)
    return state, parameters_after(method, 3)


def test_a_loaded_training_state_continues_exactly() -> None:
    state, expected = interrupted()
    method = make_method(RESUMED, seed=9)
    method.load_training_state(state)
    assert torch.equal(parameters_after(method, 3), expected)


def leave_out_networks(prefix: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def leave_out(state: dict[str, Any], fresh: dict[str, Any]) -> None:
        names = [name for name in state["networks"] if name.startswith(prefix)]
        assert names
        state["networks"].update({name: fresh["networks"][name] for name in names})

    return leave_out


def leave_out_optimizer(name: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def leave_out(state: dict[str, Any], fresh: dict[str, Any]) -> None:
        state["optimizers"][name] = fresh["optimizers"][name]

    return leave_out


def leave_out_generator(state: dict[str, Any], fresh: dict[str, Any]) -> None:
    state["generator"] = fresh["generator"]


@pytest.mark.parametrize(
    "leave_out",
    [
        pytest.param(leave_out_networks("actor"), id="actor"),
        pytest.param(leave_out_networks("critic"), id="critic"),
        pytest.param(leave_out_networks("target_critic"), id="target"),
        pytest.param(leave_out_networks("log_temperature"), id="temperature"),
        pytest.param(leave_out_optimizer("actor"), id="actor's optimizer"),
        pytest.param(leave_out_optimizer("critic"), id="critic's optimizer"),
        pytest.param(leave_out_generator, id="generator"),
    ],
)
def test_every_part_of_the_training_state_is_needed(
    leave_out: Callable[[dict[str, Any], dict[str, Any]], None],
) -> None:
    state, expected = interrupted()
    method = make_method(RESUMED, seed=9)
    leave_out(state, saved(method))
    method.load_training_state(state)
    assert not torch.equal(parameters_after(method, 3), expected)


def one_step_task(rows: int, rng: np.random.Generator) -> Batch:
    """Draw transitions of a bandit: the best action is s / 2, the data are uniform."""
    states = rng.uniform(-1, 1, size=(rows, 1))
    actions = rng.uniform(-1, 1, size=(rows, 1))
    rewards = -((actions - states / 2) ** 2)[:, 0]
    columns = states, actions, rewards, np.zeros(rows), np.zeros((rows, 1))
    return Batch(*(torch.from_numpy(column.astype(np.float32)) for column in columns))


@pytest.mark.parametrize("weights", ["softmax", "exp"])
def test_a_one_step_task_is_solved(weights: Any) -> None:
    env = EnvSpec("none", 1, 1, (-1.0,), (1.0,), 1)
    networks = NetworkConfig(actor_hidden=(32, 32), critic_hidden=(32, 32))
    method = AWAC(
        AWACConfig(temperature=0.03, effective_batch=None, weights=weights),
        networks.policy_spec(env),
        networks,
        OptimizerConfig(3e-3, 3e-3),
        seed=0,
        device=torch.device("cpu"),
    )
    rng = np.random.default_rng(0)
    for _ in range(400):
        method.update(one_step_task(256, rng))
    states = torch.linspace(-1, 1, 21).unsqueeze(1)
    error = (method.actor(states).mean - states / 2).abs()
    assert error.max().item() < 0.15
