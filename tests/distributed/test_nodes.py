"""A run on several nodes, of which one is lost and one is added, by Ray's own cluster utility."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from awac_dist.experiments.campaign import RunSize
from awac_dist.experiments.chaos import launch, stop
from awac_dist.experiments.run_record import UPDATES, judge, last_row, logged_fragments

SOON_S = 240.0


def wait_until(holds: Callable[[], bool], run: psutil.Popen, what: str) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not holds():
        assert run.poll() is None, f"the run ended while it was waited for: {what}"
        assert time.monotonic() - began < SOON_S, what
        time.sleep(0.2)
    return time.monotonic() - began


def workers_below(process: psutil.Process) -> list[int]:
    """Ids of the rollout workers among a process's descendants."""
    found = []
    for child in process.children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::WatchedWorker") and "__init__" not in title:
            found.append(child.pid)
    return found


@pytest.fixture
def seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a node shows in seconds."""
    for name, value in (("period_ms", 1000), ("timeout_ms", 1000), ("failure_threshold", 3)):
        monkeypatch.setenv(f"RAY_health_check_{name}", str(value))


@pytest.fixture
def cluster(seen_soon: None) -> Iterator[Any]:
    """A head with one core and a node with another."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


def labelled(role: str, name: str) -> dict[str, str]:
    return {"awac-dist/role": role, "name": name}


@pytest.fixture
def roles(seen_soon: None) -> Iterator[Any]:
    """A head for drivers alone, the learner's node, and two nodes for workers."""
    labels = labelled("driver", "head") | {"awac-dist/gpus": "0"}
    head = {"num_cpus": 0, "labels": labels}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, labels=labelled("learner", "home"))
    cluster.add_node(num_cpus=2, labels=labelled("worker", "large"))
    yield cluster
    cluster.shutdown()


LOOK = """
import collections, json, sys
import ray
from ray._private.state import actors
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
names = {node["NodeID"]: node["Labels"]["name"] for node in ray.nodes()}
found = collections.defaultdict(list)
for actor in actors().values():
    if actor["State"] == "ALIVE":
        found[names[actor["Address"]["NodeID"]]].append(actor["ActorClassName"])
print(json.dumps({name: sorted(classes) for name, classes in found.items()}))
"""


def who_is_where(cluster: Any) -> dict[str, list[str]]:
    """Classes of the living processes by the name of their node."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, cluster.address], capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def workers_on(places: dict[str, list[str]]) -> dict[str, int]:
    counts = {name: classes.count("WatchedWorker") for name, classes in places.items()}
    return {name: count for name, count in counts.items() if count}


@pytest.mark.ray
@pytest.mark.faults
def test_labelled_nodes_get_what_belongs_there(roles: Any, tmp_path: Path) -> None:
    small, folder = roles.add_node(num_cpus=1, labels=labelled("worker", "small")), tmp_path / "run"
    words = ["--address", roles.address, "--run-dir", str(folder), *RunSize().words]
    words += ["--workers", "5", "--online.env_steps", "40000"]
    run = launch(words, tmp_path / "run.out")

    def said() -> str:
        return (tmp_path / "run.out").read_text()

    def workers(expected: dict[str, int]) -> Callable[[], bool]:
        return lambda: workers_on(who_is_where(roles)) == expected

    try:
        wait_until(workers({"large": 2, "small": 1}), run, "a worker on each core for workers")
        wait_until(lambda: "Learner" in str(who_is_where(roles)), run, "the learner")
        places = who_is_where(roles)
        assert set(places) == {"home", "large", "small"}
        at_home = {"DurableShard", "WatchedEvaluator", "Learner", "SharedWeightStore"}
        assert set(places["home"]) == at_home
        assert {*places["large"], *places["small"]} == {"WatchedWorker"}
        missing = "no room yet for 2 x RolloutWorker (1 CPU); all nodes have 4 CPU, 0 GPU"
        wait_until(lambda: missing in said(), run, "a line that says what waits")
        roles.remove_node(small, allow_graceful=False)
        wait_until(workers({"large": 2}), run, "the loss of a node")
        roles.add_node(num_cpus=2, labels=labelled("worker", "new"))
        wait_until(workers({"large": 2, "new": 2}), run, "workers on a new node")
    finally:
        stop(run)
    assert "learner, shards, evaluator on the node labelled awac-dist/role=learner" in said()


@pytest.mark.ray
@pytest.mark.faults
def test_a_run_outlives_a_node_and_takes_up_a_new_one(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = RunSize()
    node, me, folder = cluster.add_node(num_cpus=1), psutil.Process(), tmp_path / "run"
    words = ["--address", cluster.address, "--run-dir", str(folder), *RunSize().words]
    run = launch(words, tmp_path / "run.out")

    def online(steps: int) -> Callable[[], bool]:
        """Whether the run has got so many online steps further."""
        goal = last_row(folder, UPDATES).get("env_steps", 0) + steps
        return lambda: last_row(folder, UPDATES).get("env_steps", 0) >= goal

    try:
        wait_until(online(500), run, "the online phase")
        assert len(workers_below(me)) == 2
        seen = logged_fragments(folder)
        cluster.remove_node(node, allow_graceful=False)
        lost = wait_until(online(500), run, "steps without the node")
        assert len(workers_below(me)) == 1
        cluster.add_node(num_cpus=1)
        back = wait_until(lambda: len(workers_below(me)) == 2, run, "a worker on the new node")
        while run.poll() is None:
            time.sleep(0.5)
    finally:
        stop(run)
    assert run.poll() == 0
    verdict = judge(folder, seen, env_steps=size.env_steps, grad_steps=size.grad_steps)
    assert (verdict.lost, verdict.unknown, verdict.duplicated) == (0, 0, 0)
    assert verdict.problems == []
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    deaths = [row for row in map(json.loads, lines) if "faults/worker_deaths" in row]
    assert len(deaths) >= 1
    with capsys.disabled():
        print(f"\nnode lost: 500 steps later after {lost:.1f} s; worker on a new one: {back:.1f} s")
