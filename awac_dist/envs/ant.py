"""Ant as the paper's experiments saw it: Ant-v2 on MuJoCo 2.0, in today's simulator.

Ant-v2 observes 111 numbers: 13 positions, 14 velocities and the external forces on its 14 bodies,
6 each. From MuJoCo 2.0 on those forces stay zero unless somebody asks for them, which Ant-v2 never
did, so the last 84 numbers are zero and the contact cost is none. (Ant-v5 does ask for them, and
observes 105 numbers: without the world's own 6.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.spaces import Box
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

STATE = 27  # positions without x and y, velocities
FORCES = 84  # 14 bodies, 6 numbers each


class AntPaperEnv(AntEnv):
    """Walk forward on four legs; observation 111, action 8.

    Reward and end of Ant-v2: velocity + 1 - 0.5 |action|^2; terminated where the torso's height
    leaves [0.2, 1.0] m or the state is not finite. The 1 for being alive is paid for the last step
    too, which Ant-v5 does not.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(contact_cost_weight=0.0, include_cfrc_ext_in_observation=False, **kwargs)
        self.observation_space = Box(-np.inf, np.inf, (STATE + FORCES,), np.float64)
        self.observation_structure["cfrc_ext"] = FORCES
        EzPickle.__init__(self, **kwargs)

    @property
    def healthy_reward(self) -> float:
        return self._healthy_reward

    def _get_obs(self) -> NDArray[np.float64]:
        return np.concatenate([super()._get_obs(), np.zeros(FORCES)])
