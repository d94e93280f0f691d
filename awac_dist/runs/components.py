"""One description of a run's components, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from awac_dist.config import RunConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.sources import EXPERIENCE, Source
from awac_dist.envs.goal_rewards import TaskRewards
from awac_dist.evaluation.evaluator import SIDE_BY_SIDE, Evaluator
from awac_dist.learner.learner import Learner
from awac_dist.messages import Handle, WeightsReader
from awac_dist.policies.spec import PolicySpec
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import PublishedPolicy, RolloutWorker
from awac_dist.runs.plan import Plan
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.progress import INCARNATIONS_PER_SESSION
from awac_dist.runs.runtime import Runtime
from awac_dist.runs.weights import WeightStore
from awac_dist.types import EnvSpec

EVIDENCE = "not-finite"  # batches after which a number was not


@dataclass(frozen=True)
class Components:
    """Handles to everything that runs, and starters of what the driver can replace.

    Attributes:
        repeatable: Whether workers may do recorded actions again.
    """

    repeatable: bool
    weights: Handle
    shards: Sequence[Handle]
    start_learner: Callable[[], Handle]
    workers: WorkerPool
    start_evaluator: Callable[[], Handle]


def start_components(
    runtime: Runtime,
    config: RunConfig,
    spec: EnvSpec,
    plan: Plan,
    folder: str,
    sources: Sequence[Source],
    session: int = 0,
) -> Components:
    """Start everything; each component gets its own part of the config only.

    Args:
        runtime: Where they run.
        config: The run.
        spec: The task.
        plan: How many of them.
        folder: The run's, which the experience log lies in.
        sources: Prior data.
        session: How often the run was started before.
    """
    runtime.reserve(plan.learner_gpus)
    weights = runtime.start(WeightStore)
    reader = runtime.weights_reader(weights)
    experience = f"{folder}/{EXPERIENCE}"
    shards = _start_shards(runtime, config, spec, plan, experience, sources, session)
    workers = _start_workers(runtime, config, spec, plan, shards, reader, session)
    policy, evaluation = _policy_spec(config, spec), config.evaluation
    return Components(
        spec.repeatable,
        weights,
        shards,
        partial(_start_learner, runtime, config, spec, plan, shards, weights, folder, sources),
        workers,
        partial(
            runtime.start,
            Evaluator,
            spec,
            policy,
            reader,
            seed=config.seed,
            num_envs=min(SIDE_BY_SIDE, max(evaluation.episodes, evaluation.curve_episodes)),
            step_timeout_s=config.rollout.step_timeout_s,
        ),
    )


def _start_shards(
    runtime: Runtime,
    config: RunConfig,
    spec: EnvSpec,
    plan: Plan,
    experience: str,
    sources: Sequence[Source],
    session: int,
) -> list[Handle]:
    return [
        runtime.start(
            ReplayShard,
            index,
            plan.shards,
            spec,
            discount=config.learner.discount,
            log=ExperienceLog(experience, index, spec, session),
            sources=sources,
            config=config.replay,
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
    folder: str,
    sources: Sequence[Source],
) -> Handle:
    return runtime.start(
        Learner,
        spec,
        config.learner,
        shards,
        weights,
        online_capacity=_rows_in_play(config),
        seed=config.seed,
        device=plan.device,
        replay=config.replay,
        gpus=plan.learner_gpus,
        sources={source.name: source.weight for source in sources},
        evidence=f"{folder}/{EVIDENCE}",
    )


def _start_workers(
    runtime: Runtime,
    config: RunConfig,
    spec: EnvSpec,
    plan: Plan,
    shards: Sequence[Handle],
    reader: WeightsReader,
    session: int,
) -> WorkerPool:
    policy = _policy_spec(config, spec)

    def start(number: int, incarnation: int) -> Handle:
        return runtime.start(
            RolloutWorker,
            spec,
            config.rollout.envs_per_worker,
            shards,
            PublishedPolicy(policy, reader),
            seed=config.seed,
            worker=number,
            incarnation=incarnation,
            step_timeout_s=config.rollout.step_timeout_s,
            cpus=plan.worker_cpus,
        )

    return WorkerPool(start, plan.workers, shards, INCARNATIONS_PER_SESSION * session)


def _policy_spec(config: RunConfig, spec: EnvSpec) -> PolicySpec:
    """Of the policy that acts, which the learner publishes."""
    normalize = config.replay.normalize_observations
    return replace(config.algorithm.policy_spec(spec), normalize_observations=normalize)


def _rows_in_play(config: RunConfig) -> int:
    """Online rows that the sampler draws from; a step takes two rows at the most."""
    return min(config.replay.capacity, 2 * config.online.env_steps)
