"""Where processes go in a Ray cluster.

The learner and what serves it (shards, weight store, evaluator) share one node, by a placement
group: the one labelled `awac-dist/role=learner` where nodes are labelled, else the driver's own
node, else the one with the GPU. Workers are spread over the nodes labelled `worker`, or over all.
A node labelled `driver` is the head of a cluster that adds nodes on demand; its label
`awac-dist/gpus` tells how many GPUs the learner's node has once it comes. (Ray 2.60 does not tell.)
"""

from __future__ import annotations

from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from awac_dist.runs.runtime import Resources

ROLE, DRIVER, LEARNER, WORKER = "awac-dist/role", "driver", "learner", "worker"
GPUS = "awac-dist/gpus"
NODE_ID = "ray.io/node-id"


class Places:
    """What the cluster of this process has, and which part of it a process gets."""

    def __init__(self) -> None:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        own = ray.get_runtime_context().get_node_id()
        self._own = next(node for node in nodes if node["NodeID"] == own)
        self._has_roles = any(ROLE in node["Labels"] for node in nodes)
        self._nodes = nodes
        self._group: PlacementGroup | None = None

    @property
    def resources(self) -> Resources:
        """What there is, and what the cluster may become."""
        heads = [node["Labels"] for node in self._nodes if node["Labels"].get(ROLE) == DRIVER]
        to_come = max((float(labels.get(GPUS, 0)) for labels in heads), default=0.0)
        gpus, cpus = sum(self._of(LEARNER, "GPU")), self._of(WORKER, "CPU")
        return Resources(tuple(filter(None, cpus)), max(gpus, to_come), grows=bool(heads))

    def _of(self, role: str, resource: str) -> list[float]:
        """What each node has of a resource that is for a role; without labels all are for all."""
        label = role if self._has_roles else None
        theirs = (node for node in self._nodes if node["Labels"].get(ROLE) == label)
        return [node["Resources"].get(resource, 0.0) for node in theirs]

    def reserve(self, gpus: int) -> str:
        """Book the learner's node; returns what goes where, empty if there is no choice."""
        labels, home = self._home(gpus)
        needs = {"GPU": gpus} if gpus else {"memory": 1}  # a group needs to book something
        self._group = placement_group([needs], bundle_label_selector=[labels])
        if len(self._nodes) == 1 and not self._has_roles:
            return ""
        workers = f"nodes labelled {ROLE}={WORKER}" if self._has_roles else "all nodes"
        return f"learner, shards, evaluator on {home}, workers on {workers}"

    def beside_learner(self, gpus: float) -> dict[str, Any]:
        """Options of the learner, and of whoever serves it."""
        options = {"num_cpus": 0, "num_gpus": gpus}
        if self._group is None:  # nobody reserved a place
            return options
        return options | {"scheduling_strategy": PlacementGroupSchedulingStrategy(self._group, 0)}

    def worker(self, cpus: float) -> dict[str, Any]:
        """Options of a rollout worker."""
        labels = {ROLE: WORKER} if self._has_roles else {}
        return {"num_cpus": cpus, "scheduling_strategy": "SPREAD", "label_selector": labels}

    def free(self) -> None:
        """Give the learner's node back."""
        if self._group is not None:
            remove_placement_group(self._group)

    def _home(self, gpus: int) -> tuple[dict[str, str], str]:
        if self._has_roles:
            return {ROLE: LEARNER}, f"the node labelled {ROLE}={LEARNER}"
        if gpus > self._own["Resources"].get("GPU", 0.0):
            return {}, "a node with a GPU"
        return {NODE_ID: self._own["NodeID"]}, "this node"
