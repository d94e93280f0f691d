"""One description of a run's components, whatever runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from awac_dist.config import RunConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.distributed.plan import Plan
from awac_dist.distributed.runtime import Runtime
from awac_dist.distributed.weights import WeightStore
from awac_dist.envs.goal_rewards import TaskRewards
from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.learner.learner import Learner
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import PublishedPolicy, RolloutWorker
from awac_dist.types import EnvSpec, Handle, WeightsReader


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
    weights = runtime.start(WeightStore)
    reader = runtime.weights_reader(weights)
    shards = _start_shards(runtime, config, spec, plan, experience)
    learner = _start_learner(runtime, config, spec, plan, shards, weights)
    workers = _start_workers(runtime, config, spec, plan, shards, reader)
    policy = config.networks.policy_spec(spec)
    evaluator = runtime.start(Evaluator, spec, policy, reader, seed=config.seed)
    return Components(weights, shards, learner, workers, evaluator)


def _start_shards(
    runtime: Runtime, config: RunConfig, spec: EnvSpec, plan: Plan, experience: str
) -> list[Handle]:
    return [
        runtime.start(
            ReplayShard,
            index,
            plan.shards,
            spec,
            capacity=_rows_in_play(config) + _rows_under_way(config, plan),
            discount=config.learner.discount,
            clip_prior_actions=config.replay.clip_prior_actions,
            log=ExperienceLog(experience, index, spec),
            goal_rewards=TaskRewards(spec.env_id) if spec.goal_size else None,
        )
        for index in range(plan.shards)
    ]


def _start_learner(
    runtime: Runtime,
    config: RunConfig,
    spec: EnvSpec,
    plan: Plan,
    shards: Sequence[Handle],
    weights: Handle,
) -> Handle:
    return runtime.start(
        Learner,
        spec,
        config.networks,
        config.optimizer,
        config.algorithm,
        config.learner,
        shards,
        weights,
        online_capacity=_rows_in_play(config),
        seed=config.seed,
        device=plan.device,
        gpus=plan.learner_gpus,
    )


def _start_workers(
    runtime: Runtime,
    config: RunConfig,
    spec: EnvSpec,
    plan: Plan,
    shards: Sequence[Handle],
    reader: WeightsReader,
) -> list[Handle]:
    policy = config.networks.policy_spec(spec)
    return [
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


def _rows_in_play(config: RunConfig) -> int:
    """Online rows that the sampler draws from; a step takes two rows at the most."""
    return min(config.replay.capacity, 2 * config.online.env_steps)


def _rows_under_way(config: RunConfig, plan: Plan) -> int:
    """Rows that may arrive between a draw and the answer to it: two rounds of all workers."""
    round_steps = config.rollout.fragment_steps * config.rollout.envs_per_worker * plan.workers
    buffer = (config.online.error_buffer or 0) / config.online.updates_per_step
    return int(2 * (2 * round_steps + 2 * buffer)) + 2
