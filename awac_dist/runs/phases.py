"""The phases of a run as data: what trains, what collects, and when updates follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from awac_dist.algorithms.base import MethodConfig
from awac_dist.config import CLONE, RunConfig
from awac_dist.learner.config import Coming
from awac_dist.replay.sampler import ONLINE
from awac_dist.runs.collecting import Order
from awac_dist.runs.schedule import (
    FROZEN,
    OnPolicy,
    Pauses,
    RateLimiter,
    Schedule,
    UpdatesAlone,
)

NAMES = ("load", "clone", "collect", "offline", "warm-up", "online")


@dataclass(frozen=True)
class Training:
    """What the learner is told to train: the arguments of its `begin`, and a name for them."""

    name: str
    method: MethodConfig
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Phase:
    """One phase."""

    name: str  # one of `NAMES`
    training: Training  # whose policy acts, and is updated
    order: Order  # what it is to bring
    schedule: Schedule = FROZEN  # when it collects, and how many updates follow
    # options of the learner's `set_batches`; none leaves them as the training began
    batches: Mapping[str, Any] = field(default_factory=dict)
    curve: bool = False  # whether the policy is evaluated now and then
    result: bool = True  # whether it is evaluated at the end


def phases_of(config: RunConfig, demonstrations: Sequence[str], workers: int) -> list[Phase]:
    """The phases that a run of so many workers goes through once its data is loaded.

    Sources of `demonstrations` alone can be cloned.
    """
    clone, offline, online = config.clone, config.offline, config.online
    options: dict[str, Any] = {
        "batch_size": offline.batch_size or config.learner.batch_size,
        "adopt": clone.initialize_actor and config.algorithm.method.adopts,
        "goals": config.replay.goals,
    }
    algorithm = Training("algorithm", config.algorithm, options)
    planned = offline.updates + online.updates
    of_clone = {
        "batch_size": clone.batch_size,
        "sources": demonstrations,
        "then": Coming(config.algorithm, options["batch_size"], planned),
    }
    cloning = Training("clone", config.clone_method, of_clone)
    phases = []
    if config.clones and demonstrations:
        phases.append(Phase("clone", cloning, *_updates(clone.updates)))
        if clone.episodes:
            order = Order("episodes", clone.episodes, "prior", CLONE)
            phases.append(Phase("collect", cloning, order, result=False))
    if offline.updates:
        phases.append(Phase("offline", algorithm, *_updates(offline.updates), curve=True))
    if online.env_steps and online.warmup_steps:
        order = _steps(config, online.warmup_steps)
        phases.append(Phase("warm-up", algorithm, order, result=False))
    if online.env_steps:
        order, schedule = _steps(config, online.env_steps), _schedule(config, workers)
        batches = {
            "batch_size": config.learner.batch_size,
            "mixture": config.replay.mixture or ({ONLINE: 1.0} if online.round_steps else {}),
            "newest": online.round_steps,
            "online": True,
            "patience": online.pause_patience,
        }
        phases.append(Phase("online", algorithm, order, schedule, batches, curve=True))
    return phases


def updates_of(config: RunConfig, demonstrations: Sequence[str]) -> int:
    """Updates of the whole run, at most; sources of `demonstrations` alone can be cloned."""
    planned = [phase.order for phase in phases_of(config, demonstrations, workers=1)]
    alone = sum(order.total for order in planned if order.unit == "updates")
    return alone + config.online.updates


def reached(phases: Sequence[Phase], name: str) -> int:
    """Number of the phase of a name, or of the first one after it that there is."""
    return sum(NAMES.index(phase.name) < NAMES.index(name) for phase in phases)


def _schedule(config: RunConfig, workers: int) -> Schedule:
    """Of the online phase: rounds, or a bound on the updates that the learner may be behind."""
    online = config.online
    if online.round_steps is not None:
        each = int(online.round_steps * online.updates_per_step + 1e-9)
        return OnPolicy(online.round_steps, each)
    limiter = _limiter(config, workers)
    if online.pause_steps is not None:
        return Pauses(limiter, online.pause_steps, online.pause_updates)
    return limiter


def _limiter(config: RunConfig, workers: int) -> RateLimiter:
    online, rollout = config.online, config.rollout
    ratio = online.updates_per_step
    if config.mode == "sync":
        return RateLimiter(ratio)
    if online.error_buffer is not None:
        return RateLimiter(ratio, online.error_buffer)
    each = ratio * rollout.fragment_steps * rollout.envs_per_worker  # of a worker's call
    return RateLimiter(ratio, each * workers)


def _updates(total: int) -> tuple[Order, Schedule]:
    return Order("updates", total), UpdatesAlone(total)


def _steps(config: RunConfig, total: int) -> Order:
    rollout = config.rollout
    fragment, envs = rollout.fragment_steps, rollout.envs_per_worker
    return Order("env_steps", total, "online", ONLINE, fragment, envs)
