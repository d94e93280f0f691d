"""How many processes of which kind, from what the cluster has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from awac_dist.errors import InputError
from awac_dist.learner.device import count_cores, count_gpus
from awac_dist.runs.runtime import Resources

CORES_PER_SHARD = 16  # one shard feeds the learner of a machine of so many cores


@dataclass(frozen=True)
class Plan:
    """Processes of a run and the share of the machine each of them books.

    Only workers book cores: another process that waits must not keep a worker from its place.
    """

    workers: int
    shards: int
    worker_cpus: float  # that a worker books; less than one where workers share cores
    learner_gpus: int

    @property
    def device(self) -> str:
        """Where the learner computes."""
        return "cuda" if self.learner_gpus else "cpu"


def named_address() -> str | None:
    """The cluster that the environment names; Ray does so for the jobs that it starts."""
    return os.environ.get("RAY_ADDRESS") or None


def local_resources() -> Resources:
    """What this machine has."""
    return Resources((float(count_cores()),), count_gpus())


def make_plan(
    resources: Resources,
    *,
    workers: int | None,
    shards: int | None,
    gpus: int | None,
    worker_cpus: float | None = None,
) -> Plan:
    """Fill in what the user left open (None).

    There is a worker for each core, a shard for every 16 and at least one, a GPU for the learner if
    there is one; a worker books a core where nodes are added on demand, else such a share that all
    find room.

    Raises:
        InputError: More GPUs are asked for than there are, or nothing tells how many workers.
    """
    if gpus is not None and gpus > resources.gpus:
        raise InputError(
            f"--learner.gpus {gpus} asks for more GPUs than there are ({resources.gpus:g}); "
            "leave it out to take what there is"
        )
    total = sum(resources.node_cpus)
    if workers is None and not total:
        raise InputError(
            "the cluster has no cores for rollout workers yet: say how many: --workers"
        )
    workers = workers or max(1, int(total))
    if worker_cpus is None:
        share = not resources.grows and total
        worker_cpus = _share(resources.node_cpus, workers) if share else 1.0
    return Plan(
        workers=workers,
        shards=shards or max(1, int(total / CORES_PER_SHARD)),
        worker_cpus=worker_cpus,
        learner_gpus=min(1, int(resources.gpus)) if gpus is None else gpus,
    )


def _share(node_cpus: Sequence[float], workers: int) -> float:
    """Most of a core that each worker can book, up to one, so that all fit on the nodes."""
    shares = {cpus / count for cpus in node_cpus for count in range(1, workers + 1)}
    fitting = (
        share
        for share in sorted(shares, reverse=True)
        if sum(int(cpus / share + 1e-9) for cpus in node_cpus) >= workers
    )
    return min(1.0, int(1e4 * next(fitting)) / 1e4)  # Ray counts in ten-thousandths
