"""One run, described: what the command line, the YAML files and the run folder all speak."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.bc import BCConfig
from awac_dist.data.arguments import split
from awac_dist.envs.config import EnvConfig
from awac_dist.evaluation.config import EvaluationConfig
from awac_dist.learner.config import LearnerConfig
from awac_dist.ranges import Checked, Count, Finite, Moderate, Natural, Positive, Processes, Seed
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.sampler import GOALS, OFFLINE, ONLINE
from awac_dist.reporting.config import ReportingConfig
from awac_dist.rollout.config import RolloutConfig

CLONE = "clone"  # the source of what the clone's trajectories add
OURS = OFFLINE, ONLINE, CLONE
ROWS_A_STEP = 2  # of the replay, at most: one for the step, one for where a fragment ends
NOTHING_TO_CLONE = (
    "nothing to clone: no source holds demonstrations alone; if one does, say so: "
    "--data FILE,kind=demonstration"
)


@dataclass(frozen=True)
class CloneConfig(Checked):
    """A behavioural clone of the demonstrations, and the trajectories that it adds.

    This is the paper's recipe for prior data (appendix A.1).

    Attributes:
        updates: Maximum-likelihood steps on the demonstrations; 0 skips the clone.
        batch_size: Transitions of such a step.
        learning_rate: Step size of Adam.
        episodes: Whole episodes that the workers collect with it, actions sampled.
        initialize_actor: Start the algorithm's policy as the clone.
    """

    updates: Natural = 3_000
    batch_size: Count = 256
    learning_rate: Positive = 1e-3
    episodes: Natural = 100
    initialize_actor: bool = True


@dataclass(frozen=True)
class OfflineConfig(Checked):
    """Training on prior data alone.

    Attributes:
        updates: Gradient steps.
        batch_size: Transitions of a step; None takes the learner's.
    """

    updates: Natural = 15_000
    batch_size: Count | None = None


@dataclass(frozen=True)
class OnlineConfig(Checked):
    """Training while the workers collect.

    Attributes:
        env_steps: Environment steps of the whole phase, over all workers.
        warmup_steps: The first of them, which are collected with the policy as it is before any
            update follows; no updates are owed for them.
        updates_per_step: Gradient steps for each environment step after that.
        round_steps: On-policy learning: collect rounds of so many steps, all with one policy, and
            learn from the newest round alone before the next (with the demonstrations, too, where
            replay.mixture says so), each step once in a batch of so many; None learns from
            everything, while it is collected.
        pause_steps: Every so many of them the workers wait while updates are made of the critics
            alone; None never does so. For methods that can, such as sope.
        pause_updates: Updates of such a pause, at most.
        pause_patience: End it sooner, once the loss of held-out data has not fallen for so many
            updates; None never does so.
        error_buffer: Updates by which the learner may be behind before workers wait; None is
            what a fragment of every worker is worth. Async mode only: in sync mode they take turns.
        stop_at_return: End the run once an evaluation reaches this mean return; None never.
        max_minutes: End the run after so many minutes of wall time; None never.
    """

    env_steps: Natural = 35_000
    warmup_steps: Natural = 0
    updates_per_step: Moderate = 1.0
    round_steps: Count | None = None
    pause_steps: Count | None = None
    pause_updates: Count = 75_000
    pause_patience: Count | None = 10_000
    error_buffer: Natural | None = None
    stop_at_return: Finite | None = None
    max_minutes: Moderate | None = None

    @property
    def updates(self) -> int:
        """Gradient steps of the whole phase, at most: a pause may end sooner."""
        steps, stretch = self.env_steps - self.warmup_steps, self.round_steps or self.pause_steps
        if stretch is None:
            return self._owed(steps)
        each, rest = self._owed(stretch), self._owed(steps % stretch)
        if self.round_steps is None:
            return steps // stretch * (each + self.pause_updates) + rest
        return steps // stretch * each

    def _owed(self, steps: int) -> int:
        return int(steps * self.updates_per_step + 1e-9)


@dataclass(frozen=True)
class RunConfig(Checked):
    """One run, from prior data to a policy.

    Attributes:
        env: The task.
        data: Prior data: an embedded dataset's name, files, folders, globs, or the folders of
            earlier runs. Options follow after commas, such as door.pickle,kind=demonstration
            (or prior), weight=2 (each of its transitions is drawn twice as often), task=any and
            episode_steps=100 (the clock cut there). Given again it adds to them; no word after it:
            there is none.
        workers: Rollout workers; None is one a core. They may share cores.
        shards: Replay shards; None lets the size of the cluster decide.
        seed: Everything random follows from it.
        run_dir: Folder of the run, which must not exist yet; None names one under runs/,
            or under what AWAC_DIST_RUNS says.
        init: Start from this policy, instead of a clone: the folder of a run, a checkpoint, or a
            policy file (.npz) of ours, whatever its method; None starts with a new one.
        mode: "async" lets workers and learner run freely within the rate limit; "sync" makes
            them take turns, and repeats exactly.
        runtime: "ray" runs each component as a process, "inline" runs all in this one.
        address: Address of a running Ray cluster; None joins the one that RAY_ADDRESS names, as
            in a Ray job, and else starts Ray on this machine.
        clone: Behavioural clone of the demonstrations.
        offline: Training on prior data alone.
        online: Training while the workers collect.
        algorithm: What learns, and its options.
        replay: The replay buffer.
        rollout: Rollout workers.
        learner: The learner.
        evaluation: Evaluation of the deterministic policy.
        reporting: Where the metrics go besides the run's folder.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    data: tuple[str, ...] = field(default=("halfcheetah-demonstrations",), metadata={"bare": True})
    workers: Processes | None = None
    shards: Processes | None = None
    seed: Seed = 0
    run_dir: str | None = None
    init: str | None = None
    mode: Literal["async", "sync"] = "async"
    runtime: Literal["ray", "inline"] = "ray"
    address: str | None = None
    clone: CloneConfig = field(default_factory=CloneConfig)
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    algorithm: MethodConfig = field(default_factory=AWACConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    reporting: ReportingConfig = field(default_factory=ReportingConfig)

    def __post_init__(self) -> None:
        if isinstance(self.env, str):  # the short form
            object.__setattr__(self, "env", EnvConfig(self.env))

    @property
    def clones(self) -> bool:
        """Whether demonstrations are cloned, where there are some."""
        return self.clone.updates > 0 and self.init is None and bool(self.data)

    @property
    def clone_method(self) -> BCConfig:
        """The clone: of the algorithm's policy, with a step size of its own."""
        actor = replace(
            self.algorithm.actor, learning_rate=self.clone.learning_rate, weight_decay=0.0
        )
        return BCConfig(actor)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong: (dotted path, value and what is legal)."""
        yield from super().problems()
        names = [split(argument)[0] for argument in self.data]
        if self.init is not None and not self.algorithm.method.adopts:
            yield "init", f"{self.init} has no effect: this algorithm starts from no policy"
        if not names and self.offline.updates:
            yield "data", "is empty: give some, or --offline.updates 0"
        for name in sorted(name for name in set(names) if names.count(name) > 1):
            yield "data", f"{name} is given twice"
        for name in sorted({*names} & {*OURS}):
            yield "data", f"{name} is what a run calls data of its own: write ./{name}"
        sources = (*OURS, *names)
        yield from _share_problems("replay.mixture", self.replay.mixture or {}, sources)
        yield from _share_problems("replay.goals", self.replay.goals or {}, GOALS)
        yield from _contradictions(self)
        if self.online.round_steps is not None:
            yield from _round_contradictions(self, self.online.round_steps)
        if self.online.pause_steps is not None:
            yield from _pause_contradictions(self, self.online.pause_steps)


def _share_problems(
    path: str, shares: Mapping[str, float], legal: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for name, share in shares.items():
        if name not in legal:
            yield path, f"{name!r} is not one of {', '.join(legal)}"
        if not 0 <= share <= 1:
            yield path, f"{share}, the share of {name}, is not between 0 and 1"
    if shares and not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        yield path, f"the shares add up to {sum(shares.values()):g}, not 1"


def _contradictions(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Options that cannot hold together, or of which one would silently do nothing."""
    online, fragment_steps = config.online, config.rollout.fragment_steps
    if config.mode == "sync" and online.error_buffer is not None:
        yield "online.error_buffer", f"{online.error_buffer} has no effect in sync mode"
    if config.replay.n_steps > 1 and not config.algorithm.method.bootstraps:
        told = "has no effect: no loss of this algorithm reads next observations"
        yield "replay.n_steps", f"{config.replay.n_steps} {told}"
    if online.warmup_steps and online.warmup_steps >= online.env_steps:
        legal = f"below online.env_steps ({online.env_steps})"
        yield "online.warmup_steps", f"{online.warmup_steps} is not {legal}"
    if online.stop_at_return is not None and not config.evaluation.episodes:
        yield "online.stop_at_return", "has no effect where evaluation.episodes is 0"
    if config.runtime == "inline" and config.address is not None:
        yield "address", f"{config.address} has no effect where runtime is inline"
    if config.replay.capacity <= fragment_steps:
        legal = f"above rollout.fragment_steps ({fragment_steps})"
        yield "replay.capacity", f"{config.replay.capacity} is not {legal}"


def _round_contradictions(config: RunConfig, steps: int) -> Iterator[tuple[str, str]]:
    online, rows = config.online, ROWS_A_STEP * steps
    if steps > online.env_steps - online.warmup_steps:
        legal = f"at most online.env_steps ({online.env_steps}) less online.warmup_steps"
        yield "online.round_steps", f"{steps} is not {legal}"
    if config.replay.capacity < rows:
        legal = f"at least {rows}, in which a round of {steps} steps is sure to fit"
        yield "replay.capacity", f"{config.replay.capacity} is not {legal}"
    if steps * online.updates_per_step < 1:
        told = f"{online.updates_per_step} owes no update for {steps} steps"
        yield "online.updates_per_step", told
    if online.error_buffer is not None:
        yield "online.error_buffer", f"{online.error_buffer} has no effect in rounds"


def _pause_contradictions(config: RunConfig, steps: int) -> Iterator[tuple[str, str]]:
    online = config.online
    if not config.algorithm.method.pauses:
        yield "online.pause_steps", "this method has no updates of the critics alone"
    if online.round_steps is not None:
        yield "online.pause_steps", f"{steps} has no effect in rounds"
    if steps * online.updates_per_step < 1:
        told = f"{online.updates_per_step} owes no update for {steps} steps"
        yield "online.updates_per_step", told
