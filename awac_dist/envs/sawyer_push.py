"""Goal-conditioned pushing: a hand moves a puck on a table (the AWAC paper's Sawyer task).

    r = -|puck - its goal|,    solved where that distance is below 6 cm

Sizes, action, reward and threshold are those of the released environment (multiworld's
`SawyerPushAndReachXYEnv` with the invisible wall). The model is our own. Departures from theirs:
of the arm only the hand is left, a free body welded to a mocap body that actions move; it does
not sink into the puck (theirs does, by up to a centimetre); the puck starts where the walls
leave room, for one that starts inside a wall is thrown out of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from gymnasium.spaces import Box, Dict
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MODEL = Path(__file__).parent / "assets" / "sawyer_push.xml"
FRAME_SKIP = 50  # of 2 ms: ten steps a second
LOW, HIGH = np.array([-0.2, 0.5]), np.array([0.2, 0.7])  # of hand and goals, metres
WALL_INSET = 0.012  # how far inside them the walls stop the puck
OVERSHOOT = 0.03  # how far outside them hand and puck are ever seen
STEP_SIZE = 0.02  # metres that an action of 1 moves the hand
PUCK_HEIGHT = 0.016  # of its centre at rest
CLEARANCE = 0.055  # metres between hand and puck at the start, at least
SUCCESS_DISTANCE = 0.06
HAND, PUCK = slice(0, 2), slice(2, 4)  # columns of observations and goals
TARGET, PUCK_GOAL = 0, 1  # rows of the mocap bodies
CAMERA = {
    "lookat": np.array([0.0, 0.6, 0.0]),
    "distance": 0.65,
    "azimuth": 90.0,
    "elevation": -50.0,
}


class SawyerPushEnv(gymnasium.Env[dict[str, Array], Array]):
    """Push the puck to where the last two numbers of the goal say.

    Observations are dicts in Gymnasium-Robotics' convention: `observation` [4] and
    `achieved_goal` [4] are xy of hand and puck in metres, `desired_goal` [4] is where they
    should be; the reward reads the puck's part alone. An action [2] in [-1, 1] moves the hand by
    up to 2 cm in x and y. `info` tells `success` and `puck_distance` at every step. Nothing
    terminates an episode.

    Args:
        render_mode: None or one of Gymnasium's MuJoCo modes.
        width, height: Of a picture, pixels.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it so)
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 10,
    }

    def __init__(self, render_mode: str | None = None, width: int = 480, height: int = 480) -> None:
        self.render_mode = render_mode
        low, high = np.tile(LOW, 2), np.tile(HIGH, 2)
        places = Box(low - OVERSHOOT, high + OVERSHOOT, dtype=np.float64)
        goals = Box(low, high, dtype=np.float64)
        self.observation_space = Dict(
            {"observation": places, "achieved_goal": places, "desired_goal": goals}
        )
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.model = mujoco.MjModel.from_xml_path(str(MODEL))
        self.model.vis.global_.offwidth, self.model.vis.global_.offheight = width, height
        self.data = mujoco.MjData(self.model)
        self._renderer = MujocoRenderer(
            self.model, self.data, default_cam_config=CAMERA, width=width, height=height
        )
        self._goal = np.zeros(4)
        self._hand_row = self.model.body("hand").id
        self._puck_row = self.model.body("puck").id
        self._hand_columns = self.model.joint("hand").qposadr[0] + np.arange(2)
        self._puck_columns = self.model.joint("puck_x").qposadr[0] + np.arange(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Draw hand, puck and goal uniformly, hand and puck apart."""
        super().reset(seed=seed, options=options)
        hand = self.np_random.uniform(LOW, HIGH)
        puck = hand
        while np.linalg.norm(hand - puck) <= CLEARANCE:
            puck = self.np_random.uniform(LOW + WALL_INSET, HIGH - WALL_INSET)
        goal = self.np_random.uniform(np.tile(LOW, 2), np.tile(HIGH, 2))
        return self.place(hand, puck, goal), self._info()

    def step(self, action: ArrayLike) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        target = self.data.mocap_pos[TARGET]
        moved = target[:2] + STEP_SIZE * np.clip(action, -1.0, 1.0)
        target[:2] = np.clip(moved, LOW, HIGH)
        mujoco.mj_step(self.model, self.data, nstep=FRAME_SKIP)
        if self.render_mode == "human":
            self.render()
        observation = self._observe()
        reward = self.compute_reward(observation["achieved_goal"], self._goal, {})
        return observation, float(reward), False, False, self._info()

    def place(self, hand: ArrayLike, puck: ArrayLike, goal: ArrayLike) -> dict[str, Array]:
        """Put hand [2] and puck [2] somewhere, at rest, with the goal [4]; return what is seen."""
        mujoco.mj_resetData(self.model, self.data)
        self._goal = np.array(goal, dtype=np.float64)
        self.data.mocap_pos[TARGET, :2] = hand
        self.data.mocap_pos[PUCK_GOAL, :2] = self._goal[PUCK]
        self.data.qpos[self._hand_columns] = hand
        self.data.qpos[self._puck_columns] = [*np.asarray(puck), PUCK_HEIGHT]
        mujoco.mj_forward(self.model, self.data)
        if self.render_mode == "human":
            self.render()
        return self._observe()

    def render(self) -> Any:
        """Draw the scene as `render_mode` says: a picture [height, width, 3] for `rgb_array`."""
        return self._renderer.render(self.render_mode)

    def close(self) -> None:
        self._renderer.close()

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """Minus the puck's distance from its goal: rewards [...] of goals [..., 4]."""
        return -np.linalg.norm(achieved_goal[..., PUCK] - desired_goal[..., PUCK], axis=-1)

    def compute_terminated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """Never: false [...] for goals [..., 4]."""
        return np.zeros(np.shape(achieved_goal)[:-1], dtype=bool)

    compute_truncated = compute_terminated  # a time limit is a wrapper's business

    def _observe(self) -> dict[str, Array]:
        places = self.data.xpos[[self._hand_row, self._puck_row], :2].ravel()
        goals = {"achieved_goal": places.copy(), "desired_goal": self._goal.copy()}
        return {"observation": places, **goals}

    def _info(self) -> dict[str, Any]:
        puck = self.data.xpos[self._puck_row, :2]
        distance = float(np.linalg.norm(puck - self._goal[PUCK]))
        return {"success": distance < SUCCESS_DISTANCE, "puck_distance": distance}
