"""Components that know of their process. They must not need torch: it costs each one seconds."""

from __future__ import annotations

from typing import Any

import ray
from ray._private.state import actors  # the only place that tells how often

from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import RolloutWorker


class DurableShard(ReplayShard):
    """A shard that is whole again before it answers, when Ray starts it again after its death.

    Ray repeats the calls that were under way; those that were done already change nothing.
    """

    def __init__(self, index: int, *arguments: Any, **named: Any) -> None:
        self._index = index  # first: Ray asks for the name, too, where the rest fails
        super().__init__(index, *arguments, **named)
        actor = actors(actor_id=ray.get_runtime_context().get_actor_id())
        self._restarts = int(actor["NumRestarts"])
        if self._restarts:
            self.load()

    def __repr__(self) -> str:
        return f"shard {self._index}"  # before each line of its log

    def restarts(self) -> int:
        return self._restarts


class WatchedWorker(RolloutWorker):
    """A rollout worker that may end its process, where a step hangs."""

    owns_process = True

    def __init__(self, *arguments: Any, worker: int, **named: Any) -> None:
        self._number = worker  # first: Ray asks for the name, too, where the rest fails
        super().__init__(*arguments, worker=worker, **named)

    def __repr__(self) -> str:
        return f"worker {self._number}"  # before each line of its log


class WatchedEvaluator(Evaluator):
    """An evaluator that may end its process, where a step hangs."""

    owns_process = True
