"""A task is tried before anything is learned: what it cannot do, it says at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np

from awac_dist.envs.answers import Guarded
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.guard import GUARD, MAX_FAULTS, EnvironmentFault
from awac_dist.envs.make import make_env, spec_of
from awac_dist.errors import InputError
from awac_dist.messages import FIRST_STEPS
from awac_dist.types import Array, EnvSpec

API = (
    "Gymnasium has reset(seed=...) return (observation, info), and step(action) "
    "(observation, reward, terminated, truncated, info)"
)


class Trial(NamedTuple):
    """A task, and what was seen of it."""

    spec: EnvSpec
    observations: Array  # [n, O] without goals
    rewards: Array  # [n]; none of hardware, which is only reset


def trial(task: EnvConfig, limit_s: float | None) -> Trial:
    """Reset a task and take a few random steps; hardware (not `repeatable`) is only reset.

    After `limit_s` seconds it is taken for hung; None never.

    Raises:
        InputError: It fails again and again, or answers what nothing can be learned from.
    """
    for seed in range(MAX_FAULTS):
        try:
            with _within(limit_s):
                return _first_steps(task, seed)
        except EnvironmentFault as fault:
            last = fault
            if isinstance(fault.__cause__, TimeoutError):
                break
    of_another_api = any(words in str(last) for words in ("unpack", "keyword argument 'seed'"))
    hint = f"; {API}" if of_another_api else ""
    raise InputError(f"environment {task.id} fails when it is tried: {last}{hint}") from last


def _first_steps(task: EnvConfig, seed: int) -> Trial:
    with GUARD:
        env = make_env(task.id, **task.kwargs)
    try:
        spec, rng = spec_of(env, task.id, **task.kwargs), np.random.default_rng(seed)
        guarded = Guarded(env, spec)
        seen, rewards = [guarded.reset(seed)[0]], list[float]()
        for _ in range(FIRST_STEPS if spec.repeatable else 0):
            action = rng.uniform(spec.action_low, spec.action_high)
            (inputs, _), reward, terminated, truncated, _ = guarded.step(spec.bounded(action))
            seen.append(inputs)
            rewards.append(reward)
            if terminated or truncated:
                break
    finally:
        with suppress(EnvironmentFault), GUARD:
            env.close()
    observations = np.array(seen)[:, : spec.observation_size]
    return Trial(spec, observations, np.array(rewards, np.float32))


@contextmanager
def _within(limit_s: float | None) -> Iterator[None]:
    """Raises TimeoutError in what takes longer; only in a main thread, which alone hears alarms."""
    if limit_s is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"no answer within {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s, limit_s)  # again where one was swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
