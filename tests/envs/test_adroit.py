"""The dexterous-hand tasks: their goals, against the simulator and the tasks they come from."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from awac_dist.cli.convert import relabelled
from awac_dist.data.formats.restricted_pickle import load_pickle
from awac_dist.envs.adroit import DoorBinaryEnv, initial_state
from awac_dist.envs.adroit_rewards import HAND_TASKS, door_open, door_open_released
from awac_dist.envs.registration import TASKS, register_tasks
from awac_dist.types import Array, Episode, Origin

DOOR = Path(__file__).parents[3] / "shared" / "data" / "door-v0_demos.pickle"
SIZES = {
    "PenBinary": (45, 24),
    "DoorBinary": (39, 28),
    "DoorBinaryReleased": (39, 28),
    "RelocateBinary": (39, 30),
    "HammerBinary": (46, 26),
}
TURNS = [0.0, 0.2, 0.3, 0.33, 0.5]  # rad; the pen may be 0.3176 off, whose cosine is 0.95
HINGES = [0.0, 1.2, 1.37, 1.395, 1.41]  # rad; 1.4 opens the door, 1.35 did in the released code
GAPS = [0.02, 0.08, 0.099, 0.101, 0.2]  # m; the ball may be 0.1 off
SLIDES = [0.0, 0.05, 0.0805, 0.082, 0.09]  # m; the nail's head is in from 0.081 on


def make(task: str) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(f"awac_dist/{task}-v0")


def near_the_goal(task: str, env: gymnasium.Env[Any, Any], case: int) -> dict[str, Any]:
    """A state of that task at rest, from far to near its goal or the other way round."""
    env.reset(seed=case)
    bare: Any = env.unwrapped
    state = {name: bare.get_env_state()[name] for name in bare._state_space}
    if task == "PenBinary":
        half = (np.pi / 2 - TURNS[case]) / 2  # the pen lies along x, the target along z
        state["desired_orien"] = np.array([np.cos(half), 0, np.sin(half), 0])
    elif task == "RelocateBinary":
        state["obj_pos"] = state["target_pos"] + [0, 0, GAPS[case]]
    elif task == "HammerBinary":
        state["qpos"][26] = SLIDES[case]
    else:
        state["qpos"][28] = HINGES[case]
    return state


def seen_by_the_simulator(task: str, env: Any) -> bool:
    """Whether the goal is met, by the model's own bodies, sites and joints."""
    site, body = env.data.site, env.data.body
    if task == "PenBinary":
        pen = site("object_top").xpos - site("object_bottom").xpos
        wanted = site("target_top").xpos - site("target_bottom").xpos
        cosine = pen @ wanted / np.sqrt((pen @ pen) * (wanted @ wanted))
        distance = np.linalg.norm(body("Object").xpos - site("eps_ball").xpos)
        return bool(distance < 0.075 and cosine > 0.95)
    if task == "RelocateBinary":
        return bool(np.linalg.norm(body("Object").xpos - site("target").xpos) < 0.1)
    if task == "HammerBinary":
        return bool(np.linalg.norm(site("S_target").xpos - site("nail_goal").xpos) < 0.01)
    hinge = float(env.data.joint("door_hinge").qpos[0])
    return hinge > 1.4 if task == "DoorBinary" else hinge >= 1.35


def recorded(observations: Array) -> Episode:
    """An episode of which only the observations matter."""
    steps = len(observations) - 1
    nothing = np.zeros((steps, 1), np.float32)
    return Episode(observations, nothing, nothing[:, 0], False, True, Origin("prior"))


@pytest.mark.parametrize("task", SIZES)
def test_an_episode_is_200_steps_of_minus_one_or_zero(task: str) -> None:
    env = make(task)
    assert (env.observation_space.shape, env.action_space.shape) == tuple((n,) for n in SIZES[task])
    _, info = env.reset(seed=1)
    assert info == {"success": False}
    env.action_space.seed(1)
    for step in range(1, 201):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert reward == float(info["success"]) - 1
        assert (terminated, truncated) == (False, step == 200)
        assert observation.shape == (SIZES[task][0],)


@pytest.mark.parametrize("task", SIZES)
def test_success_is_what_the_simulator_sees(task: str) -> None:
    env, source = make(task), gymnasium.make(f"AdroitHand{task.partition('Binary')[0]}Sparse-v1")
    rng, met = np.random.default_rng(2), []
    for case in range(5):
        options = {"initial_state_dict": near_the_goal(task, env, case)}
        observations = [env.reset(seed=case, options=options)[0]]
        source.reset(seed=case, options=options)
        rewards, successes = [], []
        for action in rng.uniform(-1, 1, (20, SIZES[task][1])):
            observation, reward, terminated, _, info = env.step(action)
            assert terminated is False  # solved or not
            wanted, _, _, _, wanted_info = source.step(action)
            np.testing.assert_array_equal(observation, wanted)
            assert info["success"] is seen_by_the_simulator(task, env.unwrapped)
            if task != "DoorBinary":  # whose source opens at 1.35
                assert info["success"] == bool(wanted_info["success"])
            observations.append(observation)
            rewards.append(reward)
            successes.append(info["success"])
        found = relabelled(task, "here", recorded(np.float32(observations)))
        np.testing.assert_array_equal(found.rewards, rewards)
        np.testing.assert_array_equal(found.successes, successes)
        met += successes
    assert 0 < sum(met) < len(met)  # both outcomes were seen


@pytest.mark.parametrize("task", SIZES)
def test_a_reset_tells_success_too(task: str) -> None:
    env, found = make(task), []
    for case in range(5):
        options = {"initial_state_dict": near_the_goal(task, env, case)}
        observation, info = env.reset(options=options)
        assert info["success"] is seen_by_the_simulator(task, env.unwrapped)
        assert info["success"] == HAND_TASKS[task][1](observation)
        found.append(info["success"])
    wanted = {
        "PenBinary": [True, True, True, False, False],
        "DoorBinary": [False, False, False, False, True],
        "DoorBinaryReleased": [False, False, True, True, True],
        "RelocateBinary": [True, True, True, False, False],
        "HammerBinary": [False, False, False, True, True],
    }
    assert found == wanted[task]


def test_a_goal_worked_by_hand() -> None:
    doors = np.zeros((3, 39))
    doors[:, 28] = [1.35, 1.4, np.nextafter(1.4, 2)]
    assert door_open(doors).tolist() == [False, False, True]  # past 1.4
    assert door_open_released(doors).tolist() == [True, True, True]  # 1.35 or more
    pens = np.zeros((4, 45))
    pens[:, 33:36] = pens[:, 36:39] = [0, 0, 1]
    pens[1, 39:42] = [0.06, 0.045, 0]  # 7.5 cm off
    pens[2, 36:39] = [0, 0.6, 0.8]  # cosine 0.8
    pens[3, 36:39] = [0, 0, -1]
    assert HAND_TASKS["PenBinary"][1](pens).tolist() == [True, False, False, False]
    balls = np.zeros((2, 39))
    balls[:, 36:39] = [[0.06, 0.07, 0], [0.06, 0.081, 0]]  # 9.2 cm, 10.1 cm
    assert HAND_TASKS["RelocateBinary"][1](balls).tolist() == [True, False]
    nails = np.zeros((3, 46))
    nails[:, 26] = [0.08, 0.0811, 0.0999]
    assert HAND_TASKS["HammerBinary"][1](nails).tolist() == [False, True, True]


@pytest.mark.parametrize("task", SIZES)
@pytest.mark.filterwarnings("ignore:.*A Box observation space m:UserWarning")
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_no_fault(task: str) -> None:
    """The two warnings let pass are about velocities without bounds, as in Gymnasium's own."""
    check_env(make(task).unwrapped, skip_render_check=True)


def test_a_pickled_task_keeps_its_conditions() -> None:
    env = make("DoorBinaryReleased").unwrapped
    copy = pickle.loads(pickle.dumps(env))
    options = {"initial_state_dict": near_the_goal("DoorBinaryReleased", copy, 2)}
    assert copy.reset(options=options)[1] == {"success": True}
    assert make("DoorBinary").reset(options=options)[1] == {"success": False}


def test_importing_awac_dist_names_the_tasks_and_loads_no_simulator() -> None:
    code = (
        "import sys, gymnasium, awac_dist\n"
        f"assert set({list(TASKS)}) <= set(gymnasium.registry)\n"
        "assert not {'mujoco', 'gymnasium_robotics'} & set(sys.modules)\n"
        "gymnasium.make('awac_dist/DoorBinary-v0')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")  # and no notice of dense-v1


@pytest.mark.filterwarnings("error")
def test_registering_twice_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_tasks()
    assert gymnasium.registry == before


def test_a_door_state_is_rebuilt_from_its_observation() -> None:
    env, rng = DoorBinaryEnv(), np.random.default_rng(4)
    env.reset(seed=4)
    state = {**env.get_env_state(), "qpos": rng.uniform(-0.3, 0.3, 30), "qvel": np.zeros(30)}
    observation, _ = env.reset(options={"initial_state_dict": state})
    rebuilt = initial_state(np.float32(observation))
    assert set(rebuilt) == set(state)
    for name, wanted in state.items():
        np.testing.assert_allclose(rebuilt[name], wanted, atol=1e-6)


def replay(env: DoorBinaryEnv, demonstration: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Observations [T+1, 39] and rewards [T] of a demonstration's actions."""
    state = initial_state(demonstration["observations"][0])
    rows, rewards = [env.reset(options={"initial_state_dict": state})[0]], []
    for action in np.clip(demonstration["actions"], -1, 1):
        observation, reward, *_ = env.step(action)
        rows.append(observation)
        rewards.append(reward)
    return np.array(rows), np.array(rewards)


def test_human_demonstrations_replay() -> None:
    if not DOOR.exists():
        pytest.skip(f"{DOOR} is not here")
    env = DoorBinaryEnv()
    agree, late_errors, opened, opened_before = [], [], [], []
    for number, demonstration in enumerate(load_pickle(str(DOOR))):
        stored = np.float32(demonstration["observations"])
        rows, rewards = replay(env, demonstration)
        found = relabelled("DoorBinary", "here", recorded(stored))
        agree.append(found.rewards == rewards[:-1])  # no observation is stored after the last step
        late_errors.append(np.abs(rows[50, :27] - stored[50, :27]).max())
        np.testing.assert_allclose(rows[0, 29:38], stored[0, 29:38], atol=1e-6)
        opened += [number] * bool(rewards[:-1].max() == 0)
        opened_before += [number] * bool(np.any(found.successes))
    assert opened == opened_before == [11, 16, 18, 22, 23, 24]
    assert np.concatenate(agree).mean() >= 0.999
    assert np.median(late_errors) < 0.005
