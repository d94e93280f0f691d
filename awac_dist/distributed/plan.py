"""How many processes of which kind, from what the cluster has."""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.distributed.runtime import Resources
from awac_dist.errors import InputError
from awac_dist.learner.device import count_cores, count_gpus

CORES_PER_SHARD = 16  # one shard feeds the learner of a machine of so many cores
SHARED_BY_HELPERS = 0.1  # of a core, for a process that mostly waits


@dataclass(frozen=True)
class Plan:
    """Processes of a run and the share of the machine each of them books.

    Attributes:
        workers: Rollout workers.
        shards: Replay shards.
        worker_cpus: Cores that a worker books; less than one where workers share cores.
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
    return Resources(count_cores(), count_gpus(), nodes=1)


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
    workers = workers or max(1, int(resources.cpus))
    shards = shards or max(resources.nodes, int(resources.cpus / CORES_PER_SHARD), 1)
    helpers = SHARED_BY_HELPERS * (shards + 3)  # learner, weights and evaluator besides
    free = max(resources.cpus - helpers, 0.5)
    return Plan(
        workers=workers,
        shards=shards,
        worker_cpus=min(1.0, int(1000 * free / workers) / 1000),
        learner_gpus=min(1, int(resources.gpus)) if gpus is None else gpus,
    )
