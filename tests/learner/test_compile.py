"""Compiled gradients are the gradients, and who compiles them aside is heard of."""

import gc
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import pytest
import torch
from methods import OFTEN, make_batch, make_method, slow_unless

from awac_dist.algorithms import METHODS, config_class
from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.bc import BC, BCConfig
from awac_dist.algorithms.brac import BRACConfig
from awac_dist.algorithms.rlpd import RLPDConfig
from awac_dist.algorithms.td3_bc import TD3BCConfig
from awac_dist.algorithms.world import Task
from awac_dist.learner import compilation
from awac_dist.learner.compilation import CACHE, PATIENCE, Compilation, Job, use_cache
from awac_dist.learner.compile import CompiledGradients
from awac_dist.learner.record import named_tensors
from awac_dist.nn.config import CriticConfig
from awac_dist.replay.layout import Wishes
from awac_dist.tensors import Batch, Metrics

DUAL = BRACConfig(divergence="kl_dual", target_divergence=0.5)
SUBSET = RLPDConfig(critic=CriticConfig(members=4, layer_norm=True), critic_batches=2)
CONFIGS = {name: config_class(name)() for name in METHODS} | {
    "awac-samples": AWACConfig(num_value_samples=3, weights="exp", advantage_clip=0.5, max_q=0.0),
    "awac-soft": AWACConfig(num_value_samples=3, value="soft"),
    "brac-dual": DUAL,
    "brac-mmd": BRACConfig(divergence="mmd", penalty="policy"),
    "brac-reward": BRACConfig(penalty="reward"),
    "sac-subset": SUBSET,
    "td3_bc": TD3BCConfig(critic_penalty=0.1, actor_value="min"),
}


@pytest.fixture(autouse=True)
def _forgets() -> None:
    """All tests together compile more than one process may."""
    torch._dynamo.reset()


class Late(BC):
    """Draws outside its loss, too."""

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        with torch.no_grad():
            self.actor.weights[-1].add_(self.noise(self.actor.weights[-1]), alpha=0.1)


def test_what_is_drawn_outside_a_loss_is_drawn_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BCConfig, "method", Late)
    eager, traced = (updated(BCConfig(), backend, (5, 5)) for backend in (None, "eager"))
    assert all(torch.equal(value, traced[name]) for name, value in eager.items())


def updated(
    config: MethodConfig, backend: str | None, sizes: tuple[int, ...]
) -> dict[str, torch.Tensor]:
    method = make_method(config)
    if backend:
        method.differentiate = CompiledGradients(method, backend)
    for number, size in enumerate(sizes):
        count, wishes = method.batches_per_update, (method.needs, method.segment_length)
        method.update([make_batch(size, count * number + n, *wishes) for n in range(count)])
    return dict(named_tensors(method))


@pytest.mark.parametrize(
    "name", [slow_unless(name in OFTEN | {"brac-dual", "sac-subset"}, name) for name in CONFIGS]
)
def test_losses_are_one_graph_and_draw_the_same(name: str, reproducible: Executor) -> None:
    """To the bit: that backend runs the operations of the graph one by one."""
    assert reproducible.submit(differing, name).result() == []


@pytest.fixture(scope="module")
def reproducible() -> Iterator[Executor]:
    """A process whose products are rounded alike wherever in memory their numbers lie.

    MKL promises that on request alone, and of rows that begin alike: an AMD EPYC needs both.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MKL_CBWR", "COMPATIBLE")
        spawn = get_context("spawn")
        with ProcessPoolExecutor(1, spawn, torch.set_num_threads, (1,)) as process:
            yield process


def differing(name: str) -> list[str]:
    """Tensors that are not the same after updates by the traced graph."""
    torch._dynamo.reset()
    sizes = (12, 12, 8, 12) if name in ("awac", "sac-subset") else (12, 12)
    eager, traced = (updated(CONFIGS[name], backend, sizes) for backend in (None, "eager"))
    assert eager.keys() == traced.keys()
    return [tensor for tensor, value in eager.items() if not torch.equal(value, traced[tensor])]


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.parametrize("name", ["bc", "sac-subset"])
def test_compiled_updates_are_the_updates(name: str) -> None:
    """Of the least, since a compiler takes a second of a kernel where none is in its cache."""
    sizes = (12, 12, 12)
    eager, compiled = (updated(CONFIGS[name], backend, sizes) for backend in (None, "inductor"))
    for tensor, value in eager.items():
        torch.testing.assert_close(value, compiled[tensor], rtol=1e-9, atol=1e-9)


def job_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, Compilation]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is as before in the end
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    use_cache()
    spec = make_method(BCConfig()).task.spec
    job = Job(BCConfig(), Task(spec, 0.99), Wishes(), 4, "float32", [1])
    return job, Compilation(job.build(), job)


def waited(made: Compilation) -> str:
    updates, seconds = PATIENCE
    assert not made.updated(updates, seconds / 2)
    assert made._process is None
    assert not made.updated(1, seconds / 2)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if said := made.updated(1, 0.1):
            return said
        time.sleep(0.05)
    raise AssertionError("nobody said anything")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_what_is_compiled_aside_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, made = job_of(tmp_path, monkeypatch)
    before = job.build().training_state()
    assert waited(made).startswith("updates are compiled now: ")
    assert isinstance(made.method.differentiate, CompiledGradients)
    assert list(CACHE.expanduser().iterdir())
    assert CACHE.expanduser().stat().st_mode & 0o777 == 0o700
    assert CACHE.expanduser().is_relative_to(tmp_path)
    for name, value in job.build().networks["actor"].state_dict().items():
        assert torch.equal(made.method.networks["actor"].state_dict()[name], value)
    assert torch.equal(made.method.generator.get_state(), before["generator"])
    assert not made.updated(1, 100)


def test_a_compiler_that_fails_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = job_of(tmp_path, monkeypatch)
    command = [sys.executable, "-c", "import sys; sys.exit('no Python.h')"]
    monkeypatch.setattr(compilation, "COMMAND", command)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name)
    before = made.method.differentiate
    assert waited(made) == "updates stay as they are: torch.compile failed: no Python.h"
    assert made.method.differentiate is before


def test_without_a_compiler_nobody_starts_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    _, made = job_of(tmp_path, monkeypatch)
    for _ in range(3):
        assert not made.updated(*PATIENCE)
    assert made._process is None


def test_who_compiles_ends_where_its_starter_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name)
    _, made = job_of(tmp_path, monkeypatch)
    made.updated(*PATIENCE)
    process = made._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as the system does for one that is gone
    assert process.wait(60) == 1


@pytest.mark.filterwarnings("error")
def test_a_compilation_that_never_began_leaves_no_file_open() -> None:
    Compilation(make_method(BCConfig()), mock.Mock())
    gc.collect()
