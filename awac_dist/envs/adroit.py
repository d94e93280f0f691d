"""The paper's dexterous-hand tasks: Gymnasium-Robotics' Adroit models with binary rewards.

Observations, resets, dynamics (0.01 s a step), rendering and `get_env_state`/`set_env_state`
are those of `AdroitHand*-v1`. The reward is 1[goal] - 1, so -1 or 0; no episode ever terminates,
and `info["success"]` tells at every step, and after a reset, whether the goal is met.

Source: Nair et al. (2020), https://arxiv.org/abs/2006.09359, the hand tasks.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from awac_dist.envs import adroit_rewards as goals
from awac_dist.envs import robotics  # noqa: F401 - first, for it silences the package's notice

from gymnasium_robotics.envs import adroit_hand  # isort: skip

Observation = NDArray[np.float64]


class BinaryReward(gymnasium.Env[Observation, NDArray[Any]], EzPickle):
    """Puts the binary reward in place of an Adroit environment's own.

    `conditions` says when the goal counts as met: as the paper states it, or as the authors'
    released environment has it. They differ for the door only.
    """

    SUCCESS: ClassVar[dict[goals.Conditions, goals.Success]]

    def __init__(self, conditions: goals.Conditions = "paper", **kwargs: Any):
        super().__init__(reward_type="sparse", **kwargs)
        self._success = self.SUCCESS[conditions]
        EzPickle.__init__(self, conditions=conditions, **kwargs)

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        observation, _, _, _, _ = super().step(action)
        success = bool(self._success(observation))
        return observation, float(success) - 1.0, False, False, {"success": success}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "success": bool(self._success(observation))}


class PenBinaryEnv(BinaryReward, adroit_hand.AdroitHandPenEnv):
    """Turn a pen in the hand to a wanted direction; observation 45, action 24."""

    SUCCESS: ClassVar = {"paper": goals.pen_turned, "released": goals.pen_turned}


class DoorBinaryEnv(BinaryReward, adroit_hand.AdroitHandDoorEnv):
    """Undo the latch and swing a door open; observation 39, action 28."""

    SUCCESS: ClassVar = {"paper": goals.door_open, "released": goals.door_open_released}


class RelocateBinaryEnv(BinaryReward, adroit_hand.AdroitHandRelocateEnv):
    """Carry a ball to a target in the air; observation 39, action 30."""

    SUCCESS: ClassVar = {"paper": goals.ball_at_target, "released": goals.ball_at_target}


class HammerBinaryEnv(BinaryReward, adroit_hand.AdroitHandHammerEnv):
    """Pick a hammer up and drive a nail in; observation 46, action 26.

    Beyond the paper, which has no hammer: the goal is the released environment's own.
    """

    SUCCESS: ClassVar = {"paper": goals.nail_driven, "released": goals.nail_driven}


def initial_state(observation: NDArray[Any]) -> dict[str, Observation]:
    """The door task's state that shows an observation [39] of DoorBinary, at rest.

    It is `qpos` [30], `qvel` [30] (zero: velocities are not observed) and `door_body_pos` [3], for
    `reset(options={"initial_state_dict": ...})`, to replay recorded actions. An observation
    holds every joint but the arm's slide. The slide moves the palm along a line and the door's
    frame moves its handle as it moves itself, so both follow from where palm and handle are seen.
    """
    env = DoorBinaryEnv()
    latch, hinge = observation[27:29]
    state = {
        "qpos": np.array([0, *observation[:27], hinge, latch], np.float64),
        "qvel": np.zeros(30),
        "door_body_pos": np.zeros(3),
    }
    unmoved, _ = env.reset(options={"initial_state_dict": state})
    palm_shift, handle_shift = (observation - unmoved)[29:35].reshape(2, 3)
    state["qpos"][0] = env.data.joint("ARTz").xaxis @ palm_shift
    env.close()
    return {**state, "door_body_pos": np.asarray(handle_shift, np.float64)}
