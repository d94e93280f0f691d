"""The components as processes: a plain object and one `ray.remote` line each."""

from __future__ import annotations

from typing import Any

import ray

from awac_dist.distributed.handles import SharedWeightStore
from awac_dist.distributed.weights import WeightStore
from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.learner.learner import Learner
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import RolloutWorker

# No max_restarts: a restarted shard would come back empty and be sampled as if it were whole.
ACTORS: dict[type, Any] = {
    WeightStore: ray.remote(SharedWeightStore),
    ReplayShard: ray.remote(ReplayShard),
    Learner: ray.remote(Learner),
    RolloutWorker: ray.remote(RolloutWorker),
    Evaluator: ray.remote(Evaluator),
}
