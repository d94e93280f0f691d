"""A task is tried before anything is learned: what it cannot do, it says at once."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np

from awac_dist.envs.answers import MAX_FAULTS, EnvironmentFault, Guarded
from awac_dist.errors import InputError
from awac_dist.types import Array, EnvSpec

STEPS = 3
API = (
    "Gymnasium has reset(seed=...) return (observation, info), and step(action) "
    "(observation, reward, terminated, truncated, info)"
)


class Trial(NamedTuple):
    """What was seen of a task."""

    observations: Array  # [n, O] without goals
    rewards: Array  # [n]; none of hardware, which is only reset


def trial(spec: EnvSpec) -> Trial:
    """Reset a task and take a few random steps; hardware (not `repeatable`) is only reset.

    Raises:
        InputError: It fails again and again, or answers what nothing can be learned from.
    """
    for attempt in range(MAX_FAULTS):
        try:
            return _tried(spec, attempt)
        except EnvironmentFault as fault:
            last = str(fault)
    hint = f"; {API}" if any(words in last for words in ("unpack", "keyword argument")) else ""
    raise InputError(f"environment {spec.env_id} fails whenever it is tried: {last}{hint}")


def _tried(spec: EnvSpec, seed: int) -> Trial:
    rng = np.random.default_rng(seed)
    env = Guarded(spec)
    seen, rewards = [env.reset(seed).inputs], list[float]()
    for _ in range(STEPS if spec.repeatable else 0):
        step = env.step(rng.uniform(spec.action_low, spec.action_high).astype(np.float32))
        seen.append(step.seen.inputs)
        rewards.append(step.reward)
        if step.terminated or step.truncated:
            break
    with suppress(EnvironmentFault):
        env.close()
    observations = np.array(seen)[:, : spec.observation_size]
    return Trial(observations, np.array(rewards, np.float32))
