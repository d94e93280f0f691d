"""The phases of a run as data: what trains, what collects, and when updates follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from awac_dist.algorithms.base import MethodConfig
from awac_dist.config import CLONE, RunConfig
from awac_dist.replay.sampler import ONLINE
from awac_dist.runs.collecting import Order
from awac_dist.runs.schedule import FROZEN, OnPolicy, RateLimiter, Schedule, UpdatesAlone

NAMES = ("load", "clone", "collect", "offline", "warm-up", "online")


@dataclass(frozen=True)
class Training:
    """What the learner is told to train.

    Attributes:
        name: By which two trainings are told apart.
        method: Its options.
        batch_size: Transitions of a batch.
        sources: It learns from these alone; none is from all.
        adopt: Start from the policy that was trained before.
        goals: Shares of the batches by whose goal a transition is after.
    """

    name: str
    method: MethodConfig
    batch_size: int
    sources: Sequence[str] = ()
    adopt: bool = False
    goals: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        name: One of `NAMES`.
        training: Whose policy acts, and is updated.
        order: What it is to bring.
        schedule: When it collects, and how many updates follow.
        batch_size: Transitions of its batches; None leaves them as they are.
        mixture: Shares of its batches by source.
        newest: Online transitions, the newest, that its batches are of; None is all.
        curve: Whether the policy is evaluated now and then.
        result: Whether it is evaluated at the end.
    """

    name: str
    training: Training
    order: Order
    schedule: Schedule = FROZEN
    batch_size: int | None = None
    mixture: Mapping[str, float] = field(default_factory=dict)
    newest: int | None = None
    curve: bool = False
    result: bool = True


def phases_of(config: RunConfig, demonstrations: Sequence[str], workers: int) -> list[Phase]:
    """The phases that a run goes through once its data is loaded.

    Args:
        config: The run.
        demonstrations: Sources that can be cloned.
        workers: How many collect.
    """
    clone, offline, online, learner = config.clone, config.offline, config.online, config.learner
    cloning = Training("clone", config.clone_method, clone.batch_size, demonstrations)
    size = offline.batch_size or learner.batch_size
    adopt, goals = clone.initialize_actor, config.replay.goals
    algorithm = Training("algorithm", config.algorithm, size, adopt=adopt, goals=goals)
    phases = []
    if clone.updates and demonstrations:
        phases.append(Phase("clone", cloning, *_updates(clone.updates)))
        if clone.episodes:
            order = Order("episodes", clone.episodes, "prior", CLONE)
            phases.append(Phase("collect", cloning, order, result=False))
    if offline.updates:
        updates = _updates(offline.updates)
        phases.append(Phase("offline", algorithm, *updates, batch_size=size, curve=True))
    if online.env_steps and online.warmup_steps:
        order = _steps(config, online.warmup_steps)
        phases.append(Phase("warm-up", algorithm, order, result=False))
    if online.env_steps:
        phases.append(_online(config, algorithm, workers))
    return phases


def _online(config: RunConfig, algorithm: Training, workers: int) -> Phase:
    online, newest = config.online, config.online.round_steps
    mixture = config.replay.mixture or {}
    schedule: Schedule = RateLimiter(online.updates_per_step, error_buffer(config, workers))
    if newest is not None:
        schedule = OnPolicy(newest, int(newest * online.updates_per_step + 1e-9))
    return Phase(
        "online",
        algorithm,
        _steps(config, online.env_steps),
        schedule,
        batch_size=config.learner.batch_size,
        mixture=mixture if newest is None else mixture or {ONLINE: 1.0},
        newest=newest,
        curve=True,
    )


def reached(phases: Sequence[Phase], name: str) -> int:
    """Number of the phase of a name, or of the first one after it that there is."""
    return sum(NAMES.index(phase.name) < NAMES.index(name) for phase in phases)


def error_buffer(config: RunConfig, workers: int) -> float:
    """Updates by which the learner may be behind when a worker starts to collect."""
    online, rollout = config.online, config.rollout
    if config.mode == "sync":
        return 0.0
    if online.error_buffer is not None:
        return online.error_buffer
    return online.updates_per_step * rollout.fragment_steps * rollout.envs_per_worker * workers


def _updates(total: int) -> tuple[Order, Schedule]:
    return Order("updates", total), UpdatesAlone(total)


def _steps(config: RunConfig, total: int) -> Order:
    rollout = config.rollout
    fragment, envs = rollout.fragment_steps, rollout.envs_per_worker
    return Order("env_steps", total, "online", ONLINE, fragment, envs)
