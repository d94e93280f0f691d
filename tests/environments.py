"""Counting tasks: every observation tells its seed, its step and the action that led to it."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

TERMINATES = "tests/CountingTerminates-v0"  # after 5 steps
TRUNCATES = "tests/CountingTruncates-v0"  # after 7 steps
VARIES = "tests/CountingVaries-v0"  # either, after 2 to 6 steps that the seed decides
GOALS = "tests/CountingGoals-v0"  # reach a drawn step, after which it ends; cut after 9 steps
FAILS = "tests/Fails{}-v0"  # in two of three episodes at most, a way of WAYS for each
BURNS = r"ValueError: the motor burns \(environments\.py, line \d+, in _fail\)"  # as told
TAG, STEP, RECEIVED = 0, 1, slice(2, 4)  # columns of an observation


class Counting(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observation: a number drawn at the reset, steps so far, the action received."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, terminates_at: int | None = None, truncates_at: int | None = None) -> None:
        self.observation_space = Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = Box(np.float32([-0.5, -1.0]), np.float32([0.5, 2.0]))
        self._ends = terminates_at, truncates_at

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._tag, self._count = self.np_random.random(), 0
        self._terminates_at, self._truncates_at = self._ends
        if self._ends == (None, None):
            length = int(self.np_random.integers(2, 7))
            task_ends = self.np_random.random() < 0.5
            self._terminates_at = length if task_ends else None
            self._truncates_at = None if task_ends else length
        return self._observe(np.zeros(2)), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._count += 1
        return (
            self._observe(action),
            float(self._count),
            self._count == self._terminates_at,
            self._count == self._truncates_at,
            {"success": self._count >= 4},
        )

    def _observe(self, action: np.ndarray) -> np.ndarray:
        return np.float32([self._tag, self._count, *action])


class CountingGoals(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """Achieves (number drawn at the reset, steps so far); the goal is of the same form."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self) -> None:
        vector = Box(-np.inf, np.inf, (2,), np.float64)
        keys = ("observation", "desired_goal", "achieved_goal")
        self.observation_space = Dict(dict.fromkeys(keys, vector))
        self.action_space = Box(np.float32([-0.5, -1.0]), np.float32([0.5, 2.0]))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._tag, self._count = self.np_random.random(), 0
        self._goal = np.array([self.np_random.random(), self.np_random.integers(1, 12)])
        return self._observe(), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self._count += 1
        seen = self._observe()
        goals = seen["achieved_goal"], seen["desired_goal"]
        reward = float(self.compute_reward(*goals, {}))
        done = bool(self.compute_terminated(*goals, {}))
        return seen, reward, done, False, {"is_success": done}

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, info: Any) -> np.ndarray:
        return np.asarray(-np.abs(achieved - desired).sum(axis=-1))

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> bool:
        return bool(achieved[1] == desired[1])  # of one step only

    def _observe(self) -> dict[str, np.ndarray]:
        state = np.array([self._tag, self._count])
        return {
            "observation": np.array([self._tag, 100 * self._count]),
            "desired_goal": self._goal.copy(),
            "achieved_goal": state,
        }


class Failing(Counting):
    """Fails in its third step, or at the reset, in a share of the episodes that the seed decides.

    Once it has failed it is of no use any more: it has to be made anew.
    """

    WAYS: ClassVar[tuple[str, ...]] = (
        "Raises", "NoReset", "NaN", "Infinite", "NaNReward", "OtherShape"
    )  # fmt: skip

    def __init__(self, way: str, share: float = 0.6) -> None:
        super().__init__(terminates_at=5)
        self._way, self._share, self._broken = way, share, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        assert not self._broken
        answer = super().reset(seed=seed, options=options)
        self._fails = self.np_random.random() < self._share
        if self._fails and self._way == "NoReset":
            self._fail()
        return answer

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert not self._broken
        observation, reward, *rest = super().step(action)
        if self._fails and self._count == 3:
            observation, reward = self._fail(observation, reward)
        return observation, reward, *rest

    def _fail(
        self, observation: np.ndarray | None = None, reward: float = 0.0
    ) -> tuple[np.ndarray, float]:
        self._broken = True
        if observation is None or self._way == "Raises":
            raise ValueError("the motor burns\nand smokes")
        if self._way == "NaNReward":
            return observation, np.nan
        if self._way == "OtherShape":
            return observation[:3], reward
        observation[1] = np.nan if self._way == "NaN" else np.inf
        return observation, reward


def register() -> None:
    """Make the tasks known to Gymnasium."""
    if GOALS not in gymnasium.registry:
        gymnasium.register(GOALS, CountingGoals, max_episode_steps=9)
    for env_id, options in (
        (TERMINATES, {"terminates_at": 5}),
        (TRUNCATES, {"truncates_at": 7}),
        (VARIES, {}),
    ):
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, Counting, max_episode_steps=100, kwargs=options)
    for way in Failing.WAYS:
        if FAILS.format(way) not in gymnasium.registry:
            kwargs = {"way": way}
            gymnasium.register(FAILS.format(way), Failing, max_episode_steps=100, kwargs=kwargs)
