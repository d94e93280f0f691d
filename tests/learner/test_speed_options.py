"""What makes a learner fast may change its numbers only where they need not repeat themselves."""

from pathlib import Path
from typing import Any

import pytest
import torch
from running import small, write_demonstrations

from awac_dist.algorithms.bc import BCConfig
from awac_dist.data.sources import open_source
from awac_dist.envs.make import env_spec
from awac_dist.learner import learner as learning
from awac_dist.learner.compile import CompiledGradients
from awac_dist.learner.config import LearnerConfig
from awac_dist.learner.learner import Learner
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
    assert (learner._compilation is not None) == aside


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
