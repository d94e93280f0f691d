"""What makes a learner fast may change its numbers only where they need not repeat themselves."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from running import small, write_demonstrations

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.bc import BCConfig
from awac_dist.data.sources import open_source
from awac_dist.envs.make import env_spec
from awac_dist.learner import compilation
from awac_dist.learner import learner as learning
from awac_dist.learner.compilation import Compilation
from awac_dist.learner.compile import CompiledGradients
from awac_dist.learner.config import Coming, LearnerConfig
from awac_dist.learner.learner import Learner
from awac_dist.learner.record import named_tensors
from awac_dist.replay.config import NOTHING_CHANGED
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.runtime import InlineHandle
from awac_dist.runs.weights import WeightStore


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write_demonstrations(tmp_path / "prior.parquet")


def begun(data: str, *, repeats: bool = True, **options: Any) -> Learner:
    spec = env_spec("Pendulum-v1")
    source = open_source(data, spec)
    shard = ReplayShard(
        0, 1, spec, discount=0.99, log=None, sources=[source], config=NOTHING_CHANGED
    )
    shard.load()
    learner = Learner(
        spec,
        LearnerConfig(**options),
        [InlineHandle(shard)],
        InlineHandle(WeightStore()),
        online_capacity=10,
        seed=0,
        device="cpu",
        repeats=repeats,
    )
    learner.open(None)
    learner.begin(small(BCConfig()), 8)
    return learner


@pytest.mark.parametrize(
    ("options", "counts", "graph", "aside"),
    [
        ({}, [2], False, False),
        ({"compile": True}, [2], True, False),
        ({"repeats": False}, [1, 2, 4], False, True),
        ({"repeats": False, "threads": 3}, [3], False, True),
        ({"repeats": False, "compile": False}, [1, 2, 4], False, False),
    ],
)
def test_threads_and_graphs_are_free_where_nothing_has_to_repeat(
    data: str,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    counts: list[int],
    graph: bool,
    aside: bool,
) -> None:
    monkeypatch.setattr(learning, "default_threads", lambda: 2)
    monkeypatch.setattr(learning, "thread_counts", lambda: [1, 2, 4])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    learner = begun(data, **options)
    assert learner._threads.counts == counts
    assert isinstance(learner.method.differentiate, CompiledGradients) == graph
    assert learner._compilations.now is not None
    assert learner._compilations.now.wanted == aside


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who compiles aside is done at once, and what is compiled runs its operations one by one."""
    monkeypatch.setattr(compilation, "COMMAND", [sys.executable, "-c", ""])
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name)
    monkeypatch.setattr(
        compilation, "CompiledGradients", partial(CompiledGradients, backend="eager")
    )


def compiled(learner: Learner) -> bool:
    return isinstance(learner.method.differentiate, CompiledGradients)


def waited_for(made: Compilation | None) -> None:
    assert made is not None
    assert made._process is not None
    assert made._process.wait(60) == 0


@pytest.mark.usefixtures("beside")
def test_what_comes_next_is_compiled_meanwhile_and_learns_the_same(data: str) -> None:
    coming = small(AWACConfig())
    learner, plain = (begun(data, repeats=False, threads=1) for _ in range(2))
    learner.begin(small(BCConfig()), 8, then=Coming(coming, 8, compilation.WORTH_IT))
    learner.update(3)
    plain.update(3)
    waited_for(learner._compilations.coming)
    learner.look_ahead()
    assert not compiled(learner)  # it is what comes, not what is
    for each in (learner, plain):
        each.begin(coming, 8, adopt=True)
    assert compiled(learner)
    assert not compiled(plain)
    assert learner.update(2).note.startswith("updates are compiled now: ")
    assert not plain.update(2).note
    assert named(learner) == named(plain)


@pytest.mark.usefixtures("beside")
def test_what_was_compiled_for_something_else_is_given_up(data: str) -> None:
    learner = begun(data, repeats=False, threads=1)
    coming = Coming(small(AWACConfig()), 8, compilation.WORTH_IT)
    learner.begin(small(BCConfig()), 8, then=coming)
    ahead = learner._compilations.coming
    waited_for(ahead)
    learner.begin(coming.method, 4)  # of another size
    learner.look_ahead()
    assert not compiled(learner)
    assert learner._compilations.now is not ahead


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize(
    ("options", "updates"),
    [({"repeats": False}, compilation.WORTH_IT - 1), ({}, compilation.WORTH_IT)],
)
def test_nothing_is_compiled_ahead_of_few_updates_nor_where_a_run_repeats_itself(
    data: str, options: dict[str, Any], updates: int
) -> None:
    learner = begun(data, threads=1, **options)
    learner.begin(small(BCConfig()), 8, then=Coming(small(AWACConfig()), 8, updates))
    assert learner._compilations.coming is None


def named(learner: Learner) -> dict[str, list[float]]:
    return {name: each.tolist() for name, each in named_tensors(learner.method)}


def test_denormal_numbers_are_nothing_while_it_updates_and_only_then(data: str) -> None:
    learner, seen = begun(data), list[float]()
    update, tiny = learner.method.update, torch.tensor([1e-30])

    def watched(batches: Any) -> Any:
        seen.append((tiny * 1e-10).item())
        return update(batches)

    learner.method.update = watched  # type: ignore[method-assign]
    learner.update(1)
    assert seen == [0.0]
    assert (tiny * 1e-10).item() > 0
