"""Whoever is replaced is ended, and what it booked is free for the one in its place."""

from types import SimpleNamespace
from typing import Any

import pytest

from awac_dist.distributed import ray_runtime
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.messages import Handle, RolloutReport, Tally
from awac_dist.rollout.worker import RolloutWorker
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.runtime import InlineFuture, InlineHandle, Resources


class FakeActor:
    """As much of Ray's as is called."""

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: (self, method, object()))


class FakeActors:
    """Ray's class of an actor; its actors live until they are killed."""

    def __init__(self) -> None:
        self.living: list[FakeActor] = []

    def options(self, **place: Any) -> "FakeActors":
        return self

    def remote(self, **named: Any) -> FakeActor:
        self.living.append(FakeActor())
        return self.living[-1]


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> FakeActors:
    """Of rollout workers, on a Ray that is not there."""
    actors = FakeActors()
    places = SimpleNamespace(resources=Resources((2.0,), 0), worker=lambda cpus: {})
    session = SimpleNamespace(check=lambda at_once: None, parts=[])
    monkeypatch.setattr(ray_runtime, "ACTORS", {RolloutWorker: actors})
    monkeypatch.setattr(ray_runtime, "Places", lambda: places)
    monkeypatch.setattr(ray_runtime, "Session", lambda *_: session)
    monkeypatch.setattr(ray_runtime, "_where", lambda: ("node", "job"))
    monkeypatch.setattr(ray_runtime.ray, "kill", actors.living.remove)
    return actors


def test_a_worker_that_does_not_repeat_itself_is_ended_before_another_one_begins(
    actors: FakeActors,
) -> None:
    runtime, found = RayRuntime(), list[int]()
    nothing = SimpleNamespace(close_stream=lambda position: Tally(0, 0))

    def start(number: int, incarnation: int) -> Handle:
        found.append(len(actors.living))
        return runtime.start(RolloutWorker, worker=number, incarnation=incarnation, cpus=1.0)

    workers = WorkerPool(start, 4, [InlineHandle(nothing)], end=runtime.end)
    for worker in workers._workers:
        report = RolloutReport(1, [], 50, 0, 0.0, 0.0, stream=worker.position, taken=False)
        worker.starting, worker.call = None, InlineFuture(report)
    assert len(list(workers.reports(workers.answers()))) == 0
    assert found == [0, 1, 2, 3] + [3] * 4
    assert actors.living == [handle.actor for handle in workers.handles]
    assert [its.actor for its in runtime._processes] == actors.living
    assert [its.actor for its in runtime._asked.values()] == actors.living
