"""One description of a run's components, whatever runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from awac_dist.config import RunConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.sources import EXPERIENCE, Source
from awac_dist.envs.goal_rewards import TaskRewards
from awac_dist.evaluation.evaluator import SIDE_BY_SIDE, Evaluator
from awac_dist.learner.learner import Learner
from awac_dist.messages import Handle
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import PublishedPolicy, RolloutWorker
from awac_dist.runs.plan import Plan
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.runtime import Runtime
from awac_dist.runs.weights import WeightStore
from awac_dist.types import EnvSpec

EVIDENCE = "not-finite"  # batches after which a number was not
INITIAL_POLICY = "initial-policy.npz"  # that the run starts from, where its config names one
INCARNATIONS_PER_SESSION = 1_000_000  # a worker cannot die so often


@dataclass
class Components:
    """Everything that runs; each component gets its own part of the config only.

    Shards, workers and the weight store start at once, learner and evaluator when they are asked
    for, since the driver may need another one.
    """

    runtime: Runtime
    config: RunConfig
    spec: EnvSpec
    plan: Plan  # how many of them
    folder: str  # the run's, a path or URI
    sources: Sequence[Source]  # prior data
    session: int = 0  # how often the run was started before

    def __post_init__(self) -> None:
        config, plan = self.config, self.plan
        self.placement = self.runtime.reserve(plan.learner_gpus)
        self.weights = self.runtime.start(WeightStore)
        self._reader = self.runtime.weights_reader(self.weights)
        began_with_data = not all(source.joined for source in self.sources)
        normalize = config.replay.normalize_observations and began_with_data
        self._replay = replace(config.replay, normalize_observations=normalize)
        self.shards = [self._start_shard(index) for index in range(plan.shards)]
        first = INCARNATIONS_PER_SESSION * self.session
        self.workers = WorkerPool(
            self._start_worker, plan.workers, self.shards, first, end=self.runtime.end
        )

    def start_learner(self) -> Handle:
        """One that knows nothing yet."""
        config, capacity = self.config, self.config.replay.capacity
        return self.runtime.start(
            Learner,
            self.spec,
            config.learner,
            self.shards,
            self.weights,
            # rows that the sampler draws from; a step takes two at the most
            online_capacity=min(capacity, 2 * config.online.env_steps),
            seed=config.seed,
            device=self.plan.device,
            replay=self._replay,
            gpus=self.plan.learner_gpus,
            sources={source.name: source.weight for source in self.sources},
            evidence=f"{self.folder}/{EVIDENCE}",
            initial=f"{self.folder}/{INITIAL_POLICY}" if config.init else None,
            repeats=config.mode == "sync",
        )

    def start_evaluator(self) -> Handle:
        """One that pulls the newest policy."""
        evaluation = self.config.evaluation
        return self.runtime.start(
            Evaluator,
            self.spec,
            self._reader,
            seed=self.config.seed,
            num_envs=min(SIDE_BY_SIDE, max(evaluation.episodes, evaluation.curve_episodes)),
            step_timeout_s=self.config.rollout.step_timeout_s,
        )

    def _start_shard(self, index: int) -> Handle:
        spec, experience = self.spec, f"{self.folder}/{EXPERIENCE}"
        return self.runtime.start(
            ReplayShard,
            index,
            self.plan.shards,
            spec,
            discount=self.config.learner.discount,
            log=ExperienceLog(experience, index, spec, self.session),
            sources=self.sources,
            config=self._replay,
            goal_rewards=TaskRewards(spec) if spec.goal_size else None,
        )

    def _start_worker(self, number: int, incarnation: int) -> Handle:
        rollout = self.config.rollout
        return self.runtime.start(
            RolloutWorker,
            self.spec,
            rollout.envs_per_worker,
            self.shards,
            PublishedPolicy(self._reader),
            seed=self.config.seed,
            worker=number,
            incarnation=incarnation,
            step_timeout_s=rollout.step_timeout_s,
            cpus=self.plan.worker_cpus,
        )
