"""One description of a run's components, whatever runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from awac_dist.config import RunConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.distributed.plan import SHARED_BY_HELPERS, Plan
from awac_dist.distributed.runtime import Runtime
from awac_dist.distributed.weights import WeightStore
from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.learner.learner import Learner
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import PublishedPolicy, RolloutWorker
from awac_dist.types import EnvSpec, Handle


@dataclass(frozen=True)
class Components:
    """Handles to everything that runs."""

    weights: Handle
    shards: Sequence[Handle]
    learner: Handle
    workers: Sequence[Handle]
    evaluator: Handle


def start_components(
    runtime: Runtime, config: RunConfig, spec: EnvSpec, plan: Plan, experience: str
) -> Components:
    """Start everything; each component gets its own part of the config only.

    Args:
        runtime: Where they run.
        config: The run.
        spec: The task.
        plan: How many of them.
        experience: Folder of the experience log.
    """
    weights = runtime.start(WeightStore, cpus=SHARED_BY_HELPERS)
    reader = runtime.weights_reader(weights)
    capacity = min(config.replay.capacity, max(config.online.env_steps, 1))
    shards = [
        runtime.start(
            ReplayShard,
            index,
            plan.shards,
            spec,
            capacity=capacity,
            discount=config.learner.discount,
            clip_prior_actions=config.replay.clip_prior_actions,
            log=ExperienceLog(experience, index, spec),
            cpus=SHARED_BY_HELPERS,
        )
        for index in range(plan.shards)
    ]
    learner = runtime.start(
        Learner,
        spec,
        config.networks,
        config.optimizer,
        config.algorithm,
        config.learner,
        shards,
        weights,
        online_capacity=capacity,
        seed=config.seed,
        device=plan.device,
        cpus=SHARED_BY_HELPERS,
        gpus=plan.learner_gpus,
    )
    policy = config.networks.policy_spec(spec)
    workers = [
        runtime.start(
            RolloutWorker,
            spec,
            config.rollout.envs_per_worker,
            shards,
            PublishedPolicy(policy, reader),
            seed=config.seed,
            worker=index,
            cpus=plan.worker_cpus,
        )
        for index in range(plan.workers)
    ]
    evaluator = runtime.start(
        Evaluator, spec, policy, reader, seed=config.seed, cpus=SHARED_BY_HELPERS
    )
    return Components(weights, shards, learner, workers, evaluator)
