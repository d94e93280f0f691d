"""The components as processes: a plain object and one `ray.remote` line each."""

from __future__ import annotations

from typing import Any

import ray

from awac_dist.distributed.handles import SharedWeightStore
from awac_dist.distributed.process import DurableShard, WatchedEvaluator, WatchedWorker
from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.learner.learner import Learner
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import RolloutWorker
from awac_dist.runs.weights import WeightStore

ACTORS: dict[type, Any] = {
    WeightStore: ray.remote(max_restarts=-1, max_task_retries=-1)(SharedWeightStore),
    ReplayShard: ray.remote(max_restarts=-1, max_task_retries=-1)(DurableShard),
    Learner: ray.remote(Learner),
    RolloutWorker: ray.remote(WatchedWorker),
    Evaluator: ray.remote(WatchedEvaluator),
}
