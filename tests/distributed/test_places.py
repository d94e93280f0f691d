"""Which node gets what, from the labels of a cluster's nodes."""

from typing import Any

import pytest

from awac_dist.distributed import places
from awac_dist.distributed.places import Places
from awac_dist.runs.runtime import Resources


def node(name: str, role: str = "", *, cpus: float = 0, gpus: float = 0, **labels: str) -> Any:
    """A node as Ray lists it."""
    roles = {"awac-dist/role": role} if role else {}
    needs = {name: count for name, count in (("CPU", cpus), ("GPU", gpus)) if count}
    return {"NodeID": name, "Alive": True, "Resources": needs, "Labels": {**roles, **labels}}


@pytest.fixture
def seen_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The places of a cluster, seen from its first node, and the label its home asks for."""

    class Context:
        def __init__(self, own: str) -> None:
            self.own = own

        def get_node_id(self) -> str:
            return self.own

    def see(*nodes: Any, gpus: int = 0) -> tuple[Resources, dict[str, str], dict[str, str]]:
        asked = {}

        def group(bundles: Any, bundle_label_selector: Any) -> Any:
            asked["labels"] = bundle_label_selector[0]

        monkeypatch.setattr(places.ray, "nodes", lambda: list(nodes))
        monkeypatch.setattr(places.ray, "get_runtime_context", lambda: Context(nodes[0]["NodeID"]))
        monkeypatch.setattr(places, "placement_group", group)
        found = Places()
        found.reserve(gpus)
        return found.resources, asked["labels"], found.worker(1.0)["label_selector"]

    return see


def test_without_labels_everything_may_go_everywhere_and_the_learner_stays_here(
    seen_from: Any,
) -> None:
    found = seen_from(node("a", cpus=2), node("b", cpus=4))
    assert found == (Resources((2, 4), 0), {"ray.io/node-id": "a"}, {})


def test_a_gpu_that_is_elsewhere_takes_the_learner_there(seen_from: Any) -> None:
    resources, home, _ = seen_from(node("a", cpus=2), node("b", cpus=4, gpus=1), gpus=1)
    assert (resources.gpus, home) == (1, {})


def test_with_labels_each_goes_to_its_own(seen_from: Any) -> None:
    nodes = node("a", "learner", cpus=8, gpus=1), node("b", "worker", cpus=4)
    resources, home, workers = seen_from(*nodes, gpus=1)
    assert resources == Resources((4,), 1, grows=False)
    assert (home, workers) == ({"awac-dist/role": "learner"}, {"awac-dist/role": "worker"})


def test_a_gpu_that_the_learner_may_not_have_is_none(seen_from: Any) -> None:
    nodes = node("a", "learner", cpus=8), node("b", "worker", cpus=16, gpus=1)
    assert seen_from(*nodes)[0] == Resources((16,), 0)


def test_a_head_tells_what_will_come(seen_from: Any) -> None:
    head = node("head", "driver", **{"awac-dist/gpus": "1"})
    resources, home, _ = seen_from(head, gpus=1)
    assert resources == Resources((), 1, grows=True)
    assert home == {"awac-dist/role": "learner"}
