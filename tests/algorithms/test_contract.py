"""What every method of the registry promises; a new one is in it by its line in the registry."""

import copy
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from methods import (
    BANDIT,
    ENV,
    STAND_INS,
    build,
    flat,
    furthest_after,
    make_batch,
    make_method,
    modules,
    networks_of,
    with_networks,
)
from running import small
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from torch.utils._python_dispatch import TorchDispatchMode

from awac_dist import algorithms
from awac_dist.algorithms import METHODS, config_class
from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.algorithms.bc import BC, BCConfig
from awac_dist.algorithms.skeletons import Joint
from awac_dist.algorithms.world import World
from awac_dist.cli.options import parse, to_mapping
from awac_dist.errors import InputError
from awac_dist.learner.record import named_tensors
from awac_dist.nn.actors import ACTORS
from awac_dist.nn.first_weights import layers_of
from awac_dist.policies import make_policy
from awac_dist.policies.network import NetworkPolicy
from awac_dist.tensors import Batch
from awac_dist.types import Array

DEFAULTS = {name: config_class(name)() for name in METHODS}
KINDS = {
    f"{name}-{kind}": replace(config, actor=replace(config.actor, kind=kind))
    for name, config in DEFAULTS.items()
    for kind in ACTORS
}
LEGAL = {name: config for name, config in KINDS.items() if not list(config.problems())}
ACTING = {(name.split("-")[0], its.policy_spec(ENV)): name for name, its in LEGAL.items()}
CONFIGS = {name: LEGAL[name] for name in ACTING.values()}  # one for each policy that acts
METRICS = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
EXPLAINED = set(re.findall(r"`(\w+/\w+)`", "".join(re.findall(r"^\|([^|]*)", METRICS, re.M))))


EACH_METHOD = pytest.mark.parametrize("config", DEFAULTS.values(), ids=list(DEFAULTS))


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> MethodConfig:
    return CONFIGS[request.param]


@pytest.fixture
def method(config: MethodConfig) -> Method:
    return make_method(config)


def batches(method: Method, seed: int = 0, rows: int = 24) -> list[Batch]:
    """What one update takes, in float64."""
    count, wishes = method.batches_per_update, (method.needs, method.segment_length)
    return [make_batch(rows, seed * count + number, *wishes) for number in range(count)]


def hastened(config: Any) -> Any:
    """The config with networks that move by steps of 0.003 at least."""
    rates = {n: max(3e-3, part.learning_rate) for n, part in networks_of(config).items()}
    return replace(
        config, **{n: replace(getattr(config, n), learning_rate=r) for n, r in rates.items()}
    )


def quick(config: Any) -> Any:
    """The config with duals that move by steps of 0.03, and a light hand on its critics."""
    rates = {n: 3e-2 for n in vars(config) if n.endswith("_learning_rate")}
    return replace(config, **rates, **{n: 1.0 for n in vars(config) if n == "conservative_weight"})


def test_every_skeleton_and_every_update_of_its_own_is_tested_often() -> None:
    classes = {name: config.method for name, config in DEFAULTS.items()}
    assert {its.__base__ for its in classes.values()} == {classes[n].__base__ for n in STAND_INS}
    own = {name for name, its in classes.items() if {"update", "move_targets"} & vars(its).keys()}
    assert own <= STAND_INS


@pytest.mark.parametrize("name", METHODS)
def test_options_are_legal_quick_to_read_and_survive_a_file(name: str, tmp_path: Path) -> None:
    config = parse(["--algorithm", name]).config
    assert type(config.algorithm) is config_class(name)
    assert list(config.algorithm.problems()) == []
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(to_mapping(config)))
    assert parse(["--config", str(file)]).config == config


def test_metrics_are_numbers_without_a_gradient(method: Method) -> None:
    metrics = method.update(batches(method))
    assert metrics
    assert method.update(batches(method, 1)).keys() == metrics.keys()
    for name, value in metrics.items():
        assert name in EXPLAINED, f"{name} has no row in docs/metrics.md"
        assert value.shape == ()
        assert value.isfinite()
        assert not value.requires_grad


def test_a_step_moves_what_its_optimizers_own_and_nothing_else(method: Method) -> None:
    follow, stepped = method.follow, set()

    def watched(gradients: Any, names: Any) -> None:
        names = list(names)
        assert isinstance(method, Joint) or len(names) == 1
        own = {p for n in names for g in method.optimizers[n].param_groups for p in g["params"]}
        before = {name: value.clone() for name, value in tensors(method)}
        follow(gradients, names)
        for name, value in tensors(method):
            assert torch.equal(value, before[name]) == (value not in own), name
        stepped.update(own)

    method.follow = watched  # type: ignore[method-assign]
    method.update(batches(method))
    trained = {p for network in method.networks.values() for p in network.parameters()}
    assert trained <= stepped


def tensors(method: Method) -> Iterator[tuple[str, Tensor]]:
    for name, module in modules(method).items():
        kept = module.state_dict(keep_vars=True)
        yield from ((f"{name}.{inner}", value) for inner, value in kept.items())
    yield from method.duals.items()


def test_each_of_several_losses_reaches_a_network_of_its_own(method: Method) -> None:
    if not isinstance(method, Joint):
        pytest.skip("its steps follow each other")
    reached = []
    for loss, _ in method.losses(batches(method)[0]):
        found = dict(tensors(method))
        wanted = {name: value for name, value in found.items() if value.requires_grad}
        grads = torch.autograd.grad(
            loss, list(wanted.values()), allow_unused=True, retain_graph=True
        )
        pairs = zip(wanted, grads, strict=True)
        reached.append({name.partition(".")[0] for name, grad in pairs if grad is not None})
    assert sorted(name for names in reached for name in names) == sorted(method.networks)
    assert all(len(names) == 1 for names in reached)


def test_copies_start_as_copies_and_move_by_their_rate_or_not_at_all(config: MethodConfig) -> None:
    method = build(small(with_networks(config, target_update_rate=0.1)))
    originals = {name: method.networks[name.removeprefix("frozen_")] for name in method.targets}
    before = {name: copy.deepcopy(network) for name, network in originals.items()}
    for name, target in method.targets.items():
        for a, b in zip(target.parameters(), originals[name].parameters(), strict=True):
            assert torch.equal(a, b)
            assert a.data_ptr() != b.data_ptr()
            assert not a.requires_grad
    with torch.no_grad():
        for parameter in {p for network in originals.values() for p in network.parameters()}:
            parameter += 1.0
    method.move_targets()
    for name, target in method.targets.items():
        moved = 0.0 if name.startswith("frozen_") else 0.1
        for a, b in zip(target.parameters(), before[name].parameters(), strict=True):
            torch.testing.assert_close(a.data, b.data + moved)


def test_each_network_can_begin_as_pytorchs_layers_do(config: MethodConfig) -> None:
    usual = build(small(config)).networks
    for name in usual:
        method = build(small(with_networks(config, name, first_weights="fan_in")))
        its = method.networks[name]
        drawn = [layer for module in its.modules() for layer in layers_of(module)]
        for weight, bias in drawn:
            reference = torch.nn.Linear(weight.shape[1], 1000)
            for ours, theirs in ((weight, reference.weight), (bias, reference.bias)):
                assert 0.01 < ours.abs().max() / theirs.abs().max() < 1.01
        matrices = {id(p) for p in its.parameters() if p.ndim > 1 and min(p.shape[-2:]) > 1}
        assert matrices <= {id(weight) for weight, _ in drawn}
        others = usual.keys() - {name}
        pairs = [(usual[other], method.networks[other]) for other in others]
        pairs += [(its, method.targets[name])] if name in method.targets else []
        for one, twin in pairs:
            vectors = (parameters_to_vector(each.parameters()) for each in (one, twin))
            assert torch.equal(*vectors)


def test_weight_decay_is_an_l2_penalty_on_its_own_network(config: MethodConfig) -> None:
    plain, decayed = (make_method(with_networks(config, weight_decay=d)) for d in (0.0, 0.5))
    for method in (plain, decayed):
        method.step(sum(value.sum() for _, value in tensors(method)), method.networks)
    for name in plain.networks:
        optimizer = decayed.optimizers[name]
        start = make_method(with_networks(config, weight_decay=0.0)).networks[name]
        for parameter, old in zip(
            decayed.networks[name].parameters(), start.parameters(), strict=True
        ):
            wanted = 1 + 0.5 * old.data
            if isinstance(optimizer, torch.optim.Adam):
                share = 1 - optimizer.defaults["betas"][0]
                torch.testing.assert_close(optimizer.state[parameter]["exp_avg"], share * wanted)
            else:  # of plain gradients
                rate = optimizer.param_groups[0]["lr"]
                torch.testing.assert_close(parameter.data, old.data - rate * wanted)


def with_garbage(batch: Batch, rows: Tensor) -> Batch:
    """Replace what some rows led to by something else."""
    names = ("final_observations", "segment_final_observations")
    columns = {n: v.clone() if n in names else v for n, v in batch.columns.items()}
    spoiled = replace(batch, next_observations=batch.next_observations.clone(), columns=columns)
    for each in (spoiled.next_observations, *(columns[n] for n in names if n in columns)):
        each[rows] = 1e3
    return spoiled


def test_what_follows_a_true_end_does_not_matter(config: MethodConfig) -> None:
    results = []
    for spoil in (False, True):
        method = make_method(config)
        drawn = batches(method)
        drawn = [with_garbage(b, b.discounts == 0) for b in drawn] if spoil else drawn
        method.update(drawn)
        results.append(flat(method))
    assert torch.equal(*results)


@EACH_METHOD
def test_who_reads_next_observations_says_so(config: MethodConfig) -> None:
    results = []
    for shift in (0.0, 1.0):
        method = make_method(config)
        drawn = [replace(b, next_observations=b.next_observations + shift) for b in batches(method)]
        method.update(drawn)
        results.append(flat(method))
    assert torch.equal(*results) == (not config.method.bootstraps)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_tiny_batch_is_as_good_as_any(method: Method, rows: int) -> None:
    for number in range(3):
        metrics = method.update(batches(method, number, rows))
        assert all(value.isfinite() for value in metrics.values())
    assert all(value.isfinite().all() for _, value in named_tensors(method))


def test_all_that_is_kept_is_looked_through_for_what_is_not_finite(method: Method) -> None:
    method.update(batches(method))
    found = dict(named_tensors(method))
    moments = [v for o in method.optimizers.values() for s in o.state.values() for v in s.values()]
    kept = {id(value) for value in (*moments, *(v for _, v in tensors(method)))}
    assert {id(value) for value in found.values()} == kept
    adam = isinstance(method.optimizers["actor"], torch.optim.Adam)
    assert any(name.startswith("gradient of actor.") for name in found) == adam
    assert any(name.startswith("parameter actor.") for name in found)


def test_a_network_may_have_any_name() -> None:
    method = make_method(BCConfig())
    method.networks["values"] = torch.nn.Linear(1, 1)
    assert "parameter values.weight" in dict(named_tensors(method))


# Several learners.


class Half(World):
    """One of two learners, each in its thread, that wait for each other at every exchange."""

    size = 2

    def __init__(self, rank: int, table: list[Any], barrier: Barrier) -> None:
        self.rank, self.table, self.barrier = rank, table, barrier

    def exchange(self, value: Any) -> list[Any]:
        self.table[self.rank] = value
        self.barrier.wait()
        both = list(self.table)
        self.barrier.wait()
        return both

    def gather(self, rows: Tensor) -> Tensor:
        return torch.cat(self.exchange(rows))

    def mine(self, rows: Tensor, dim: int = 0) -> Tensor:
        return rows.chunk(2, dim)[self.rank]

    def average(self, gradients: Sequence[Tensor]) -> None:
        pairs = zip(*self.exchange([g.clone() for g in gradients]), strict=True)
        for gradient, (one, other) in zip(gradients, pairs, strict=True):
            gradient.copy_((one + other) / 2)


def half(batch: Batch, rank: int) -> Batch:
    parts = {n: v.chunk(2)[rank] for n, v in vars(batch).items() if isinstance(v, Tensor)}
    return Batch(**parts, columns={n: v.chunk(2)[rank] for n, v in batch.columns.items()})


def learn_half(method: Any) -> None:
    try:
        for number in range(3):
            method.update([half(batch, method.world.rank) for batch in batches(method, number)])
    except BaseException:
        method.world.barrier.abort()  # nobody waits for a learner that failed
        raise


@EACH_METHOD
def test_two_learners_take_the_steps_of_one(config: MethodConfig) -> None:
    table, barrier = [None, None], Barrier(2, timeout=60)
    pair = [make_method(config) for _ in range(2)]
    for rank, method in enumerate(pair):
        method.world = Half(rank, table, barrier)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(learn_half, pair))
    alone = after(make_method(config), 3)
    for method in pair:
        torch.testing.assert_close(flat(method), alone)


# The state.


def saved(method: Method) -> dict[str, Any]:
    """Take the training state through a file, as a checkpoint does."""
    file = io.BytesIO()
    torch.save(method.training_state(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def after(method: Method, updates: int, first: int = 0) -> Tensor:
    for number in range(first, first + updates):
        method.update(batches(method, number))
    return flat(method)


@EACH_METHOD
def test_a_loaded_state_takes_the_next_ten_updates_alike(config: MethodConfig) -> None:
    method, other = make_method(config), make_method(config, seed=9)
    after(method, 3)
    assert other.load_training_state(saved(method))
    assert torch.equal(after(method, 10, first=3), after(other, 10, first=3))


@EACH_METHOD
def test_a_state_stays_as_it_was_taken(method: Method) -> None:
    after(method, 2)
    state, written = method.training_state(), saved(method)
    after(method, 1, first=2)
    assert torch.equal(state["generator"], written["generator"])
    for group in ("networks", "targets"):
        for name, part in state[group].items():
            assert all(torch.equal(value, written[group][name][key]) for key, value in part.items())


@EACH_METHOD
def test_every_part_of_the_state_is_needed(config: MethodConfig) -> None:
    method = make_method(config)
    after(method, 3)
    state = saved(method)
    expected = after(method, 2, first=3)
    drawn = not torch.equal(state["generator"], make_method(config).training_state()["generator"])
    parts = [(g, n) for g in ("networks", "targets", "optimizers", "duals") for n in state[g]]
    plain = [n for n, o in method.optimizers.items() if isinstance(o, torch.optim.SGD)]
    parts = [part for part in parts if part not in [("optimizers", name) for name in plain]]
    for group, name in [*parts, *[("generator", "")] * drawn]:
        other = make_method(config, seed=9)
        fresh, without = saved(other), copy.deepcopy(state)
        if group == "generator":
            without[group] = fresh[group]
        else:
            without[group][name] = fresh[group][name]
        other.load_training_state(without)
        assert not torch.equal(after(other, 2, first=3), expected), f"{group} {name}"


@EACH_METHOD
def test_a_state_of_another_kind_of_device_goes_on_too(config: MethodConfig) -> None:
    state = {**make_method(config).training_state(), "device": "cuda"}
    state["generator"] = torch.arange(16, dtype=torch.uint8)  # what one on a GPU has
    first, second = (make_method(config, seed=seed) for seed in (1, 2))
    assert not first.load_training_state(state)
    assert not second.load_training_state(state)
    assert torch.equal(after(first, 2), after(second, 2))


# On devices.

READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
LITERAL = torch.ops.aten.lift_fresh.default  # a number of Python's on its way to the device


class NoQuestions(TorchDispatchMode):
    """Refuses what makes the host wait for the device: values read, shapes that follow values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not LITERAL, "a literal is copied to the device"
        assert not READS & set(func.tags), f"{func} depends on a value"
        return func(*args, **(kwargs or {}))


def test_an_update_neither_reads_a_value_nor_sends_one(method: Method) -> None:
    drawn = batches(method)
    method.update(drawn)  # makes the optimisers' state
    with NoQuestions():
        method.update(drawn)


@pytest.mark.parametrize(
    "question",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: x[x > 0],
        lambda x: x + torch.tensor(1.0),
    ],
)
def test_questions_are_noticed(question: Callable[[Tensor], Any]) -> None:
    with NoQuestions(), pytest.raises(AssertionError):
        question(torch.ones(3))


def test_the_policy_that_acts_is_the_one_in_training(method: Method) -> None:
    after(method, 1)
    acting, twin = method.acting(), acts(method)
    assert acting.spec == method.config.policy_spec(method.task.spec)
    observations = make_batch().observations
    noise = torch.randn(len(observations), twin.noise_size, dtype=observations.dtype)
    still = torch.from_numpy(twin.mean_noise(acting.spec)).expand(len(observations), -1)
    with torch.no_grad():
        sample, mean = (method.act(observations, its.to(noise.dtype)) for its in (noise, still))
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(twin.sample(observations.numpy(), noise.numpy()), sample.numpy())
    close(twin.mean(observations.numpy()), mean.numpy())


def test_what_acts_is_made_of_the_networks_that_are_named(method: Method) -> None:
    """RLlib sends these to whoever acts."""
    observations, size = make_batch().observations, acts(method).noise_size
    noise = torch.randn(len(observations), size, dtype=observations.dtype)
    with torch.no_grad():
        before = method.act(observations, noise)
        frozen = set(method.acts_with) - method.networks.keys()
        for group, needed in ((method.networks, method.acts_with), (method.targets, frozen)):
            for name in group.keys() - needed:
                for parameter in group[name].parameters():
                    parameter.mul_(-2)
        assert torch.equal(method.act(observations, noise), before)


def test_a_policy_that_is_adopted_is_that_of_the_actor(config: MethodConfig) -> None:
    method, other = make_method(config), make_method(config, seed=5)
    clone = make_method(BCConfig(config.actor), seed=9)
    assert method.adopts == (acts(method).actor() is not None)
    if not method.adopts:
        return
    for policy in (clone, other):  # a clone, or what such a method left
        method.adopt({name: value.numpy() for name, value in policy.acting().arrays.items()})
        begun = [method.networks[name] for name in ("actor", *method.clones)]
        begun += [its for name, its in method.targets.items() if name in ("actor", "frozen_actor")]
        for network in begun:
            assert torch.equal(network.flat_vector(), policy.actor.flat_vector())


def acts(method: Method) -> NetworkPolicy:
    """The policy that acts, in NumPy."""
    acting = method.acting()
    return make_policy(acting.spec, acting.vector(), version=1)


# It learns.


def test_a_one_step_task_is_solved(config: MethodConfig) -> None:
    config = with_networks(hastened(small(config)), target_update_rate=0.05)
    method = build(quick(config), BANDIT, seed=0)
    adam = isinstance(method.optimizers["actor"], torch.optim.Adam)
    much = (400, 64) if adam else (30, 2000)  # a natural step needs a good direction

    def mean(states: Array) -> Array:
        return acts(method).mean(states)

    assert furthest_after(method, *much, noise=0.3, online=not adam, mean=mean) < 0.15


def test_reading_options_executes_no_torch() -> None:
    """It would take longer than all else that --help does."""
    source = (
        "import sys, awac_dist.config, awac_dist.algorithms as a; "
        "[a.config_class(name) for name in a.METHODS]; print('torch._C' in sys.modules); "
        "import torch.nn; print(torch.nn.Linear(2, 3)(torch.ones(2)).shape[0])"
    )
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert found.stdout.split() == ["False", "3"], found.stderr


def test_a_name_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InputError, match="no algorithm awak; did you mean awac"):
        config_class("awak")
    with pytest.raises(InputError, match=f"no algorithm zzz; there are {', '.join(METHODS)}"):
        config_class("zzz")


def test_a_method_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "METHODS", dict(METHODS))
    algorithms.register_method("mine", f"{__name__}:Mine")
    assert config_class("mine") is MineConfig
    assert algorithms.name_of(MineConfig()) == "mine"
    assert build(MineConfig()).networks.keys() == {"actor", "extra"}  # of which one has no options


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("mien:Mine", "ModuleNotFoundError: No module named 'mien'"),
        (f"{__name__}:Mien", f"AttributeError: module '{__name__}' has no attribute 'Mien'"),
        ("no words", "ValueError: invalid format: 'no words'"),
        (f"{__name__}:MineConfig", "is no method with a dataclass of options, Config: see docs/"),
        ("awac_dist.algorithms.base:Method", "is no method with a dataclass of options, Config"),
    ],
)
def test_a_method_of_ones_own_that_is_not_there_is_told_in_a_line(
    target: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(algorithms, "METHODS", dict(METHODS))
    algorithms.register_method("mine", target)
    with pytest.raises(InputError) as caught:
        config_class("mine")
    told = str(caught.value)
    assert told.startswith("algorithm mine: ")
    assert target in told
    assert why in told


def test_a_process_that_is_started_knows_what_was_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(algorithms, "METHODS", dict(METHODS))
    algorithms.register_method("mine", "a_module:Mine")
    algorithms.register_method("iql", "a_module:IQL")
    source = "from awac_dist.algorithms import METHODS as m; print(m['mine'], m['iql'], len(m))"
    found = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, **algorithms.for_children()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["a_module:Mine", "a_module:IQL", str(len(METHODS) + 1)]


def test_options_know_their_method_where_nobody_named_it() -> None:
    assert MineConfig().method is Mine  # as in a learner's process, which never registered it
    assert BCConfig().method is BC


class MineConfig(BCConfig):
    """Of a method that is not ours."""


class Mine(BC):
    Config = MineConfig

    def make_networks(self, generator: torch.Generator) -> dict[str, torch.nn.Module]:
        return super().make_networks(generator) | {"extra": torch.nn.Linear(1, 1)}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {n: torch.optim.Adam(net.parameters()) for n, net in self.networks.items()}
