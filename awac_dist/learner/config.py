"""Options of the learner; reading them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from awac_dist.ranges import Checked, Count, Processes, Rate

if TYPE_CHECKING:
    from awac_dist.algorithms.base import MethodConfig

Precision: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class LearnerConfig(Checked):
    """The learner.

    Attributes:
        batch_size: Transitions of an online update.
        discount: gamma.
        threads: Threads of torch on the CPU, up to 8 where it is None: in async mode as many as
            are quickest while it runs, in sync mode half of the cores.
        compile: Whether gradients go through torch.compile, which takes a C++ compiler. None does
            so in async mode on the CPU, aside: during the clone phase, or once a method has been
            updated for ten seconds.
        precision: Of the matrix products of an update; parameters, losses and optimisers stay
            float32. "bfloat16" is faster only where the hardware multiplies it.
        gpus: 1 learns on a GPU, 0 on the CPU; None takes a GPU if there is one.
        updates_per_call: Updates between two publications of weights and rows of metrics.
        batches_per_request: Batches fetched from each shard in one call, at most, and of those
            that are wide no more than 8 MiB.
        keep_checkpoints: The newest so many checkpoints stay.
    """

    batch_size: Count = 256
    discount: Rate = 0.99
    threads: Processes | None = None
    compile: bool | None = None
    precision: Precision = "float32"
    gpus: Literal[0, 1] | None = None
    updates_per_call: Count = 100
    batches_per_request: Count = 50
    keep_checkpoints: Count = 3


class Coming(NamedTuple):
    """What is trained next: its options, its batches and how many updates are planned of it."""

    method: MethodConfig
    batch_size: int
    updates: int
