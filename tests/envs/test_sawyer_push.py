"""Pushing: what the reward, the hand, the puck and the walls may and may not do."""

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from push_controller import PushController

import awac_dist  # noqa: F401  (registers the task)
from awac_dist.envs.sawyer_push import HAND, HIGH, LOW, PUCK, WALL_INSET, SawyerPushEnv

Array = NDArray[np.float64]

TASK = "awac_dist/SawyerPush-v0"
NOWHERE = np.array([0.1, 0.65, 0.1, 0.55])


@pytest.fixture(scope="module")
def env() -> Iterator[SawyerPushEnv]:
    made = SawyerPushEnv()
    yield made
    made.close()


def ornstein_uhlenbeck(seed: int, steps: int, sigma: float = 0.8) -> Array:
    rng = np.random.default_rng(seed)
    actions = np.zeros((steps, 2))
    for t in range(1, steps):
        actions[t] = 0.85 * actions[t - 1] + sigma * rng.standard_normal(2)
    return np.clip(actions, -1, 1)


def places(env: SawyerPushEnv, actions: Array) -> Array:
    """Hand and puck [T, 4] after each action."""
    return np.array([env.step(action)[0]["observation"] for action in actions])


def depth(env: SawyerPushEnv) -> float:
    """How deep the hand is in the puck, metres; negative while they are apart."""
    contact = env.data.contact
    of_the_hand = (contact.geom == env.model.geom("rods").id).any(axis=1)  # meets the puck only
    return float(-contact.dist[of_the_hand].min(initial=1.0))


@pytest.mark.filterwarnings("error::UserWarning")
def test_gymnasium_finds_no_fault() -> None:
    check_env(gymnasium.make(TASK).unwrapped, skip_render_check=True)


def test_the_reward_is_minus_the_distance_of_the_puck_alone(env: SawyerPushEnv) -> None:
    env.place(hand=[-0.1, 0.6], puck=[0.0, 0.6], goal=[0.2, 0.7, 0.03, 0.64])
    _, reward, _, _, info = env.step(np.zeros(2))
    assert reward == pytest.approx(-0.05, abs=1e-6)
    assert info == {"success": True, "puck_distance": pytest.approx(0.05, abs=1e-6)}


@pytest.mark.parametrize(("distance", "solved"), [(0.0595, True), (0.0605, False)])
def test_six_centimetres_are_success(env: SawyerPushEnv, distance: float, solved: bool) -> None:
    env.place(hand=[-0.1, 0.6], puck=[0.0, 0.6], goal=[-0.1, 0.6, distance, 0.6])
    assert env.step(np.zeros(2))[4]["success"] is solved


def test_rewards_of_batches_are_those_of_the_steps(env: SawyerPushEnv) -> None:
    env.reset(seed=4)
    steps = [env.step(action)[:2] for action in ornstein_uhlenbeck(4, 24)]
    achieved = np.array([seen["achieved_goal"] for seen, _ in steps]).reshape(4, 6, 4)
    desired = np.array([seen["desired_goal"] for seen, _ in steps]).reshape(4, 6, 4)
    rewards = np.array([reward for _, reward in steps]).reshape(4, 6)
    np.testing.assert_array_equal(env.compute_reward(achieved, desired, {}), rewards)
    np.testing.assert_array_equal(env.compute_reward(achieved[0, 0], desired, {}).shape, (4, 6))
    assert not env.compute_terminated(achieved, desired, {}).any()
    assert env.compute_truncated(achieved, desired, {}).shape == (4, 6)


def test_a_seed_decides_everything_and_nothing_is_carried_over(env: SawyerPushEnv) -> None:
    actions = ornstein_uhlenbeck(7, 60)
    env.place(hand=[-0.06, 0.6], puck=[0.0, 0.6], goal=NOWHERE)
    places(env, np.tile([1.0, 0.2], (8, 1)))  # leaves hand and puck in motion, pressed together
    first, _ = env.reset(seed=11)
    seen = places(env, actions)
    fresh = SawyerPushEnv()
    other, _ = fresh.reset(seed=11)
    for name, column in first.items():
        np.testing.assert_array_equal(other[name], column)
    np.testing.assert_array_equal(places(fresh, actions), seen)
    assert (fresh.reset(seed=12)[0]["observation"] != first["observation"]).all()


def test_resets_fill_the_box_and_everything_is_at_rest(env: SawyerPushEnv) -> None:
    env.reset(seed=0)
    starts = []
    for _ in range(400):
        start, _ = env.reset()
        starts.append(np.concatenate([start["observation"], start["desired_goal"]]))
    hand, puck, goals = np.split(np.array(starts), [2, 4], axis=1)
    assert (np.linalg.norm(hand - puck, axis=1) > 0.055).all()
    for drawn, inset in (
        (hand, 0.0),
        (puck, WALL_INSET),
        (goals[:, PUCK], 0.0),
        (goals[:, HAND], 0.0),
    ):
        low, high = LOW + inset, HIGH - inset
        assert (drawn >= low).all()
        assert (drawn <= high).all()
        quarters = np.floor((drawn - low) / (high - low) * 4).astype(int)
        assert np.bincount(quarters[:, 0]).min() > 65  # 100 expected
        assert np.bincount(quarters[:, 1]).min() > 65
    for seed in range(40):
        start = env.reset(seed=seed)[0]["observation"]
        assert np.abs(places(env, np.zeros((3, 2))) - start).max() < 5e-4


def test_an_action_moves_the_hand_two_centimetres_and_not_out_of_the_box(
    env: SawyerPushEnv,
) -> None:
    env.place(hand=[0.0, 0.55], puck=[-0.15, 0.65], goal=NOWHERE)
    seen = places(
        env, np.array([[1.0, 0.5], [0, 0], [9.0, 0], [0, 0], *[[1.0, -1.0]] * 12, [0, 0]])
    )
    np.testing.assert_allclose(seen[1, HAND], [0.02, 0.56], atol=1e-4)
    np.testing.assert_allclose(seen[3, HAND], [0.04, 0.56], atol=1e-4)
    np.testing.assert_allclose(seen[-1, HAND], [0.2, 0.5], atol=1e-4)
    np.testing.assert_allclose(seen[:, PUCK], np.tile([-0.15, 0.65], (17, 1)), atol=1e-4)
    assert env.data.body("hand").xpos[2] == pytest.approx(0.06, abs=1e-4)


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_a_pushed_puck_goes_where_it_is_pushed(env: SawyerPushEnv, degrees: int) -> None:
    direction = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    puck = np.array([0.0, 0.6])
    env.place(hand=puck - 0.06 * direction, puck=puck, goal=NOWHERE)
    moved = places(env, np.tile(direction, (3, 1)))[-1, PUCK] - puck
    along = moved @ direction
    assert 0.03 < along < 0.06
    assert np.linalg.norm(moved - along * direction) < 0.2 * along


@pytest.mark.parametrize("seed", range(3))
def test_random_pushing_keeps_the_puck_in_reach_and_the_hand_out_of_it(
    env: SawyerPushEnv, seed: int
) -> None:
    env.reset(seed=seed)
    seen, depths = [], []
    for action in ornstein_uhlenbeck(seed, 2000):
        seen.append(env.step(action)[0]["observation"])
        depths.append(depth(env))
    hand, puck = np.array(seen)[:, HAND], np.array(seen)[:, PUCK]
    space = env.observation_space["observation"]
    assert (seen >= space.low).all()
    assert (seen <= space.high).all()
    assert (puck > LOW).all()
    assert (puck < HIGH).all()
    assert max(depths) < 0.0015
    assert np.linalg.norm(hand - puck, axis=1).min() > 0.035
    assert np.linalg.norm(np.diff(puck, axis=0), axis=1).sum() > 0.3  # there was pushing


@pytest.mark.parametrize("corner", [(-1, -1), (-1, 1), (1, -1), (1, 1)])
def test_a_puck_pressed_into_a_corner_stays_there(
    env: SawyerPushEnv, corner: tuple[int, int]
) -> None:
    middle, way = np.array([0.0, 0.6]), np.array(corner)
    puck = middle + way * [0.17, 0.07]
    env.place(hand=puck - 0.05 * way, puck=puck, goal=NOWHERE)
    depths = []
    for _ in range(15):
        seen = env.step(way)[0]["observation"]
        depths.append(depth(env))
    assert 0 < max(depths) < 0.002
    assert (np.abs(seen[PUCK] - middle) < [0.2, 0.1]).all()
    assert env.data.body("puck").xpos[2] < 0.025
    places(env, np.tile(-way, (10, 1)))
    assert env.data.body("puck").xpos[2] == pytest.approx(0.016, abs=5e-4)  # it slid down again


def test_the_scripted_controller_solves_it_and_standing_still_does_not() -> None:
    env = gymnasium.make(TASK)
    solved = at_start = 0
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        at_start += info["success"]
        controller, steps, truncated = PushController(), 0, False
        while not truncated:
            observation, _, terminated, truncated, info = env.step(controller.act(observation))
            steps += 1
            assert not terminated
        assert steps == 200
        solved += info["success"]
    assert solved >= 19
    assert at_start <= 6
