"""Methods in float64 with weights that reach every bound, batches, and their networks in NumPy."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from commit import commit_number
from running import small

from awac_dist.algorithms import METHODS
from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.algorithms.world import Task
from awac_dist.nn.config import ActorConfig, NetworkConfig
from awac_dist.replay.layout import NEEDS
from awac_dist.tensors import Batch
from awac_dist.types import Array, EnvSpec

ENV = EnvSpec("none", 3, 2, (-1.0, -2.0), (1.0, 3.0), None)
CPU = torch.device("cpu")
BANDIT = EnvSpec("none", 1, 1, (-1.0,), (1.0,), 1)  # of the one-step task
ROWS = 24
# A method of each skeleton and those whose update is their own. They stand for the others, which
# are `slow` where a test costs seconds a method, but for one, which moves with the commit.
STAND_INS = {"abm", "awac", "bear", "crossq", "dapg", "ibrl", "sac", "sope", "td3_bc", "wsrl"}
OFTEN = STAND_INS | {sorted(METHODS)[commit_number() % len(METHODS)]}
FLAGS = {"has_next_action", "held_out"}  # columns of 1 and 0


def slow_unless(often: bool, *values: Any) -> Any:
    """Parameters of a test that is run by default, or not."""
    return pytest.param(*values, marks=() if often else pytest.mark.slow)


def each_method(names: Iterable[str] = METHODS) -> list[Any]:
    """Methods as parameters of a test that costs seconds."""
    return [slow_unless(name in OFTEN, name) for name in sorted(names)]


@contextmanager
def float64() -> Iterator[None]:
    """What is made inside is made in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build(config: MethodConfig, env: EnvSpec = ENV, seed: int = 1, **options: Any) -> Any:
    """The method of a config, whatever its class."""
    task = Task(env, discount=0.99)
    return config.method(config, task, seed=seed, device=CPU, **options)


def make_method(config: MethodConfig, seed: int = 1, width: int = 8) -> Any:
    """A small method in float64 with parameters large enough that every bound is reached."""
    with float64():
        method = build(small(config, width), seed=seed)
    generator = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for module in modules(method).values():
            for parameter in module.parameters():
                parameter.normal_(0.0, 0.6, generator=generator)
    return method


def networks_of(config: MethodConfig) -> dict[str, NetworkConfig]:
    return {n: part for n, part in vars(config).items() if isinstance(part, NetworkConfig)}


def with_networks(config: MethodConfig, *names: str, **options: Any) -> Any:
    """The config with options of these networks or of all changed, where they have them."""
    parts = {
        name: replace(part, **{o: v for o, v in options.items() if hasattr(part, o)})
        for name, part in networks_of(config).items()
        if name in (names or [name])
    }
    return replace(config, **parts)


def modules(method: Method) -> dict[str, torch.nn.Module]:
    """Networks by name, and targets as target_NAME."""
    targets = {f"target_{name}": target for name, target in method.targets.items()}
    return {**method.networks, **targets}


def flat(method: Method) -> torch.Tensor:
    """A copy of all that an update may change, but for optimisers: [P]."""
    tensors = [t for module in modules(method).values() for t in module.state_dict().values()]
    return torch.cat([t.detach().flatten() for t in (*tensors, *method.duals.values())])


def make_batch(
    rows: int = ROWS, seed: int = 1, needs: Iterable[str] = (), segment_length: int = 1
) -> Batch:
    """Draw a batch in float64, of which every third transition ended the task."""
    rng = np.random.default_rng(seed)
    ended = np.arange(rows) % 3 == 0
    columns = (
        rng.normal(size=(rows, 3)),
        rng.uniform(-1, 1, size=(rows, 2)),
        rng.normal(size=rows),
        np.where(ended, 0.0, 0.99),
        rng.normal(size=(rows, 3)),
    )
    shapes = shapes_of(needs, {"O": 3, "A": 2, "H": segment_length})
    extra = {name: rng.normal(size=(rows, *shape)) for name, shape in shapes.items()}
    batch = Batch(*map(torch.from_numpy, columns), as_tensors(extra))
    make_legal(batch, np.where(ended, 1, rng.integers(1, segment_length + 1, size=rows)))
    return batch


def one_step_task(
    rows: int,
    rng: np.random.Generator,
    noise: float | None = None,
    needs: Iterable[str] = (),
    segment_length: int = 1,
    actor: Any = None,
) -> Batch:
    """Draw transitions of a bandit of which the best action is s / 2, each a whole episode.

    Args:
        rows: Transitions.
        rng: Draws them.
        noise: Of the actions around the best one, inside the bounds; None draws them uniformly.
        needs: Extra columns.
        segment_length: H, where these are segments.
        actor: Acted in every other transition, those that are online; None: nobody did.
    """
    states = rng.uniform(-1, 1, size=(rows, 1))
    if noise is None:
        actions = rng.uniform(-1, 1, size=(rows, 1))
    else:
        actions = (states / 2 + noise * rng.normal(size=(rows, 1))).clip(-0.95, 0.95)
    if actor is not None:
        noise_of_half = torch.from_numpy(rng.normal(size=(rows // 2, 1)).astype(np.float32))
        with torch.no_grad():
            policy = actor(torch.from_numpy(states[1::2].astype(np.float32)))
            actions[1::2] = policy.at(noise_of_half).numpy()
    rewards = -((actions - states / 2) ** 2)[:, 0]
    columns = states, actions, rewards, np.zeros(rows), np.zeros((rows, 1))
    shapes = shapes_of(needs, {"O": 1, "A": 1, "H": segment_length})
    known = {"returns": rewards, "initial_observations": states}
    extra = {name: known.get(name, np.zeros((rows, *shape))) for name, shape in shapes.items()}
    batch = Batch(*as_tensors(dict(enumerate(columns)), "f4").values(), as_tensors(extra, "f4"))
    make_legal(batch, np.ones(rows))
    return batch


def furthest_after(
    method: Any,
    updates: int,
    rows: int = 64,
    *,
    noise: float | None = None,
    online: bool = False,
    mean: Callable[[Array], Array] | None = None,
) -> float:
    """Learn the one-step task, until it is solved or for so many updates.

    Args:
        method: Learns.
        updates: At most; every tenth of them is looked how far it is.
        rows: Of a batch.
        noise: Of the actions around the best ones; None: they are at random.
        online: Whether the method itself acted in half of the rows.
        mean: Actions [B, 1] in states [B, 1]; None: the actor's.

    Returns how far actions are from the best ones in the end, at most; 0.15 is near enough.
    """
    rng, states = np.random.default_rng(0), np.linspace(-1, 1, 21, dtype=np.float32)[:, None]
    mean = mean or (lambda states: method.actor(torch.from_numpy(states)).mean.detach().numpy())
    wishes = noise, method.needs, method.segment_length, method.actor if online else None
    for update in range(1, updates + 1):
        count = method.batches_per_update
        method.update([one_step_task(rows, rng, *wishes) for _ in range(count)])
        if update % (updates // 10) == 0:
            furthest = float(np.abs(mean(states) - states / 2).max())
            if furthest < 0.15:
                break
    return furthest


def shapes_of(needs: Iterable[str], sizes: dict[str, int]) -> dict[str, list[int]]:
    """Shapes of the columns that are needed, behind the rows."""
    columns = {name: shape.split() for need in sorted(needs) for name, shape in NEEDS[need].items()}
    return {name: [sizes[letter] for letter in shape] for name, shape in columns.items()}


def as_tensors(columns: Any, dtype: str = "f8") -> Any:
    return {name: torch.from_numpy(column.astype(dtype)) for name, column in columns.items()}


def make_legal(batch: Batch, known: np.ndarray) -> None:
    """Have columns, if they are there, hold what they may.

    A segment begins with its transition; so many steps [B] of it are known. Half is online.
    """
    columns = batch.columns
    if "segment_mask" in columns:
        steps, count = torch.arange(columns["segment_mask"].shape[1]), torch.from_numpy(known)
        columns["segment_mask"][:] = steps < count.unsqueeze(1)
        columns["segment_discounts"][:] = 0.99 * columns["segment_mask"]
        for name in ("observations", "actions", "rewards", "discounts"):
            columns[f"segment_{name}"][:, 0] = getattr(batch, name)
        alone = count == 1
        columns["segment_final_observations"][alone] = batch.next_observations[alone]
    if "returns" in columns:
        columns["return_discounts"][:] = batch.discounts
    for name in FLAGS & columns.keys():
        columns[name][:] = columns[name] > 0
    if "is_online" in columns:
        columns["is_online"][:] = torch.arange(len(known)) % 2


# An independent transcription of the networks: NumPy, one member at a time.


def numpy_batch(batch: Batch) -> tuple[np.ndarray, ...]:
    """s, a, r, d, s'."""
    names = ("observations", "actions", "rewards", "discounts", "next_observations")
    return tuple(getattr(batch, name).numpy() for name in names)


def numpy_head(
    actor: torch.nn.Module, config: ActorConfig, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the last layer gives, and the log standard deviation between its bounds: [B, A] each."""
    parameters = [parameter.detach().numpy() for parameter in actor.parameters()]
    hidden = states
    for weight, bias in zip(parameters[0:4:2], parameters[1:4:2], strict=True):
        hidden = np.maximum(hidden @ weight.T + bias, 0.0)
    if config.state_dependent_std:
        logits = hidden @ parameters[6].T + parameters[7]
    else:
        logits = np.tile(parameters[6], (len(states), 1))
    smallest, largest = config.log_std_min, config.log_std_max
    log_std = smallest + (largest - smallest) / (1 + np.exp(-logits))
    return hidden @ parameters[4].T + parameters[5], log_std


def numpy_action(actor: Any, states: np.ndarray) -> np.ndarray:
    """What a deterministic actor of two hidden layers does: [B, A]."""
    w1, b1, w2, b2, w3, b3 = (parameter.detach().numpy() for parameter in actor.parameters())
    hidden = np.maximum(np.maximum(states @ w1.T + b1, 0) @ w2.T + b2, 0)
    low, high = np.array(ENV.action_low), np.array(ENV.action_high)
    return low + (np.tanh(hidden @ w3.T + b3) + 1) * (high - low) / 2


def numpy_gaussian(
    actor: torch.nn.Module, config: ActorConfig, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [B, A] and standard deviation [B, A]."""
    raw, log_std = numpy_head(actor, config, states)
    low, high = np.array(ENV.action_low), np.array(ENV.action_high)
    mean = low + (np.tanh(raw) + 1) * (high - low) / 2
    return mean, np.exp(log_std) * (high - low) / 2


def numpy_sample(
    actor: torch.nn.Module, config: ActorConfig, states: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Actions [B, A] for standard normal noise, and their log densities [B]."""
    if config.kind == "gaussian":
        mean, std = numpy_gaussian(actor, config, states)
        return mean + std * noise, numpy_log_density(mean + std * noise, mean, std)
    raw, log_std = numpy_head(actor, config, states)
    inner = raw + np.exp(log_std) * noise
    low, high = np.array(ENV.action_low), np.array(ENV.action_high)
    log_slope = np.log((high - low) / 2) - 2 * np.log(np.cosh(inner))  # of half * tanh
    density = numpy_log_density(inner, raw, np.exp(log_std)) - log_slope.sum(axis=1)
    return low + (np.tanh(inner) + 1) * (high - low) / 2, density


def numpy_log_density(actions: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return (-((actions - mean) ** 2) / (2 * std**2) - np.log(std * np.sqrt(2 * np.pi))).sum(axis=1)


def numpy_ensemble(ensemble: Any, inputs: np.ndarray) -> np.ndarray:
    """Outputs [E, B] for inputs [B, n], one member after the other, before any bound."""
    members = []
    for e in range(ensemble.members):
        hidden = inputs
        for layer, norm in zip(ensemble.layers, ensemble.norms, strict=True):
            weight, bias = (p.detach().numpy()[e] for p in (layer.weight, layer.bias))
            hidden = hidden @ weight + bias
            if not isinstance(norm, torch.nn.Identity):
                scale, shift = (p.detach().numpy()[e] for p in (norm.weight, norm.bias))
                centred = hidden - hidden.mean(axis=1, keepdims=True)
                variance = (centred**2).mean(axis=1, keepdims=True)
                hidden = centred / np.sqrt(variance + 1e-5) * scale + shift
            hidden = np.maximum(hidden, 0.0)
        weight, bias = (p.detach().numpy()[e] for p in (ensemble.head.weight, ensemble.head.bias))
        members.append((hidden @ weight + bias)[:, 0])
    return np.stack(members)


def numpy_q(
    critic: Any, states: np.ndarray, actions: np.ndarray, max_q: float | None = None
) -> np.ndarray:
    """Q_e(s, a): [E, B]."""
    values = numpy_ensemble(critic, np.concatenate([states, actions], axis=1))
    return values if max_q is None else np.minimum(values, max_q)


def next_draws(method: Method) -> torch.Generator:
    """A generator that draws what the method's will draw next."""
    generator = torch.Generator()
    generator.set_state(method.generator.get_state())
    return generator


def normal(generator: torch.Generator, *shape: int) -> np.ndarray:
    return torch.randn(shape, generator=generator, dtype=torch.float64).numpy()
