"""How many processes of which kind, from what the cluster has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from awac_dist.distributed.runtime import Resources
from awac_dist.errors import InputError
from awac_dist.learner.device import count_cores, count_gpus

CORES_PER_SHARD = 16  # one shard feeds the learner of a machine of so many cores


@dataclass(frozen=True)
class Plan:
    """Processes of a run and the share of the machine each of them books.

    Attributes:
        workers: Rollout workers.
        shards: Replay shards.
        worker_cpus: Cores that a worker books; less than one where workers share cores. The
            other processes book none: one that waits must not keep a worker from its place.
        learner_gpus: GPUs of the learner.
    """

    workers: int
    shards: int
    worker_cpus: float
    learner_gpus: int

    @property
    def device(self) -> str:
        """Where the learner computes."""
        return "cuda" if self.learner_gpus else "cpu"


def local_resources() -> Resources:
    """What this machine has."""
    return Resources((float(count_cores()),), count_gpus())


def make_plan(
    resources: Resources, *, workers: int | None, shards: int | None, gpus: int | None
) -> Plan:
    """Fill in what the user left open.

    Args:
        resources: What there is.
        workers: Rollout workers, None for one a core.
        shards: Replay shards, None for one a node and one more for every 16 cores.
        gpus: GPUs of the learner, None for one if there is one.

    Raises:
        InputError: More GPUs are asked for than there are.
    """
    if gpus is not None and gpus > resources.gpus:
        raise InputError(
            f"--learner.gpus {gpus} asks for more GPUs than there are ({resources.gpus:g}); "
            "leave it out to take what there is"
        )
    total = sum(resources.node_cpus)
    workers = workers or max(1, int(total))
    shards = shards or max(len(resources.node_cpus), int(total / CORES_PER_SHARD))
    return Plan(
        workers=workers,
        shards=shards,
        worker_cpus=_share(resources.node_cpus, workers),
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
