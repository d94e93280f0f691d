"""How a run ends: what was collected is kept, and one line says why and what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from awac_dist.errors import ComponentDied, InputError, RunFailed
from awac_dist.messages import Handle
from awac_dist.runs.event_loop import EventLoop
from awac_dist.runs.learning import LearnerSupervisor
from awac_dist.runs.stopping import StopConditions, Stopped


@contextmanager
def in_order(
    learner: LearnerSupervisor,
    shards: Sequence[Handle],
    began: Callable[[], bool],
    loop: EventLoop,
    stop: StopConditions,
    note: Callable[[str], None],
) -> Iterator[None]:
    """Whatever happens within, have the shards write what they were given.

    Args:
        learner: Knows the checkpoints.
        shards: What was collected is with them.
        began: Whether anything was learned or collected yet.
        loop: Waits for the shards.
        stop: Says how long.
        note: Takes lines for the screen.

    Raises:
        InputError: As it came, before anything was learned or collected.
        RunFailed: Later; names the checkpoint from which the run can go on.
    """
    try:
        yield
    except InputError as error:
        if not began():
            raise
        raise RunFailed(f"{error}; {_left(learner)}") from error
    except RunFailed as error:
        raise RunFailed(f"{error}; {_left(learner)}") from error
    finally:
        stop.hurry()
        _flush(shards, loop, note)


def _left(learner: LearnerSupervisor) -> str:
    newest = learner.newest()
    return f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"


def _flush(shards: Sequence[Handle], loop: EventLoop, note: Callable[[str], None]) -> None:
    """Have the shards write Parquet. Where they cannot, the same is safe in their journals."""
    try:
        for answer in [shard.post("flush") for shard in shards]:
            loop.wait_alone(answer)
    except (InputError, ComponentDied, Stopped) as error:
        note(f"what was collected stays in journals: {error}")
