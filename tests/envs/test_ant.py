"""Ant with the paper's observation, against Ant-v5 and what Ant-v2 computed."""

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import awac_dist  # noqa: F401  # names the task

PAPER = "awac_dist/AntPaper-v0"


def test_it_is_ant_with_84_silent_forces() -> None:
    paper, newest = gymnasium.make(PAPER), gymnasium.make("Ant-v5")
    observation, _ = paper.reset(seed=3)
    wanted, _ = newest.reset(seed=3)
    assert (observation.shape, wanted.shape) == ((111,), (105,))
    forces = 0.0
    for action in np.random.default_rng(3).uniform(-1, 1, (200, 8)).astype(np.float32):
        np.testing.assert_array_equal(observation[:27], wanted[:27])
        assert not observation[27:].any()
        forces = max(forces, np.abs(wanted[27:]).max())
        observation, reward, terminated, _, info = paper.step(action)
        wanted, wanted_reward, wanted_end, _, wanted_info = newest.step(action)
        assert terminated == wanted_end
        assert info["reward_contact"] == 0
        assert info["reward_survive"] == 1
        expected = info["x_velocity"] + 1 - 0.5 * np.square(action).sum()
        assert reward == pytest.approx(expected)
        if terminated:
            break
        assert reward == pytest.approx(wanted_reward - wanted_info["reward_contact"])
    assert forces == 1  # Ant-v5 did feel the ground, clipped to 1


@pytest.mark.parametrize(("height", "ends"), [(0.7, False), (1.5, True)])
def test_the_last_step_still_pays_for_being_alive(height: float, ends: bool) -> None:
    env: Any = gymnasium.make(PAPER).unwrapped
    env.reset(seed=0)
    env.set_state(np.array([0, 0, height, 1, *np.zeros(11)]), np.zeros(14))
    _, _, terminated, truncated, info = env.step(np.zeros(8))
    assert (terminated, truncated) == (ends, False)
    assert info["reward_survive"] == 1


def test_an_episode_is_cut_after_1000_steps() -> None:
    spec = gymnasium.spec(PAPER)
    assert spec.max_episode_steps == 1000


@pytest.mark.filterwarnings("ignore:.*A Box observation space m:UserWarning")
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_no_fault() -> None:
    env = gymnasium.make(PAPER).unwrapped
    check_env(env, skip_render_check=True)
    assert pickle.loads(pickle.dumps(env)).observation_space == env.observation_space
