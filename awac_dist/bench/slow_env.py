"""An environment that takes 20 ms a step, as a robot does, and no time of the CPU."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from awac_dist.types import Array

STEP_S = 0.02


class SlowEnv(gymnasium.Env[Array, Array]):
    """Observes nothing but zeros, as many as HalfCheetah has numbers."""

    observation_space = Box(-np.inf, np.inf, (17,), np.float32)
    action_space = Box(-1.0, 1.0, (6,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(17, np.float32), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        time.sleep(STEP_S)
        return np.zeros(17, np.float32), 0.0, False, False, {}


gymnasium.register("Slow-v0", f"{__name__}:SlowEnv", max_episode_steps=100)
