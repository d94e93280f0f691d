"""One run, described: what the command line, the YAML files and the run folder all speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import OptimizerConfig
from awac_dist.evaluation.evaluator import EvaluationConfig
from awac_dist.learner.learner import LearnerConfig
from awac_dist.nn.config import NetworkConfig
from awac_dist.replay.shard import ReplayConfig
from awac_dist.rollout.worker import RolloutConfig


@dataclass(frozen=True)
class CloneConfig:
    """A behavioural clone of the demonstrations, and the trajectories that it adds.

    This is the paper's recipe for prior data (appendix A.1).

    Attributes:
        updates: Maximum-likelihood steps on the demonstrations; 0 skips the clone.
        batch_size: Transitions of such a step.
        learning_rate: Step size of Adam.
        episodes: Whole episodes that the workers collect with it, actions sampled.
        initialize_actor: Start AWAC from the clone's actor.
    """

    updates: int = 5_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    episodes: int = 100
    initialize_actor: bool = True


@dataclass(frozen=True)
class OfflineConfig:
    """Training on prior data alone.

    Attributes:
        updates: Gradient steps.
        batch_size: Transitions of a step; None takes the learner's.
    """

    updates: int = 15_000
    batch_size: int | None = None


@dataclass(frozen=True)
class OnlineConfig:
    """Training while the workers collect.

    Attributes:
        env_steps: Environment steps of the whole phase, over all workers.
        updates_per_step: Gradient steps for each environment step.
        error_buffer: Updates by which the learner may be behind before workers wait; None is
            one fragment's worth. Async mode only: in sync mode they take turns.
        stop_at_return: End the run once an evaluation reaches this mean return; None never.
        max_minutes: End the run after so many minutes of wall time; None never.
    """

    env_steps: int = 20_000
    updates_per_step: float = 1.0
    error_buffer: int | None = None
    stop_at_return: float | None = None
    max_minutes: float | None = None


@dataclass(frozen=True)
class RunConfig:
    """One run.

    Attributes:
        env: Gymnasium id of the task.
        data: Prior data: an embedded dataset's name, Parquet files, folders of them, or the
            folders of earlier runs.
        workers: Rollout workers; None is one a core. They may share cores.
        shards: Replay shards; None lets the size of the cluster decide.
        seed: Everything random follows from it.
        run_dir: Folder of the run, which must not exist yet; None names one under runs/.
        mode: "async" lets workers and learner run freely within the rate limit; "sync" makes
            them take turns, and repeats exactly.
        runtime: "ray" runs each component as a process, "inline" runs all in this one.
        address: Address of a running Ray cluster; None starts Ray on this machine.
        clone: Behavioural clone of the demonstrations.
        offline: Training on prior data alone.
        online: Training while the workers collect.
        algorithm: AWAC's own options.
        networks: Sizes of the networks.
        optimizer: Step sizes.
        replay: The replay buffer.
        rollout: Rollout workers.
        learner: The learner.
        evaluation: Evaluation of the deterministic policy.
    """

    env: str = "HalfCheetah-v5"
    data: tuple[str, ...] = ("halfcheetah-demonstrations",)
    workers: int | None = None
    shards: int | None = None
    seed: int = 0
    run_dir: str | None = None
    mode: Literal["async", "sync"] = "async"
    runtime: Literal["ray", "inline"] = "ray"
    address: str | None = None
    clone: CloneConfig = field(default_factory=CloneConfig)
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    algorithm: AWACConfig = field(default_factory=AWACConfig)
    networks: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(actor_learning_rate=1e-3, critic_learning_rate=1e-3)
    )
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
