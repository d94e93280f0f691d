"""A training that is stopped and restored goes on as one that was not stopped."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.rllib.algorithms.algorithm import Algorithm
from rllib_tasks import difference, of_algorithm, of_module, small_config
from running import write_demonstrations

from awac_dist.errors import InputError
from awac_dist.rllib import AWAC, AWACConfig
from awac_dist.rllib.learner import METHOD

pytestmark = pytest.mark.ray

STATES = ("algorithm_state.pkl", "learner_group/learner/state.pkl")
CONTINUE = """
import pickle, sys
import ray, torch
torch.set_num_threads(1)
ray.init(sys.argv[3], log_to_driver=False)
from ray.rllib.algorithms.algorithm import Algorithm
algorithm = Algorithm.from_checkpoint(sys.argv[1])
result = algorithm.train()
weights = algorithm.learner_group.get_weights()["default_policy"]
pickle.dump((weights, result["num_grad_steps_lifetime"]), open(sys.argv[2], "wb"))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "prior.parquet")


@pytest.fixture(scope="module")
def config(data: str) -> AWACConfig:
    return small_config(data, num_offline_updates=60, updates_per_training_step=30)


@pytest.fixture(scope="module")
def stopped(
    ray_session: None, config: AWACConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, np.ndarray]]:
    """A checkpoint after 30 offline updates, and the weights after 30 more."""
    path = str(tmp_path_factory.mktemp("checkpoint"))
    algorithm = config.build_algo()
    algorithm.train()
    algorithm.save_to_path(path)
    algorithm.train()
    weights = of_algorithm(algorithm)
    algorithm.stop()
    return path, weights


@pytest.fixture(scope="module")
def other(ray_session: None, config: AWACConfig) -> Algorithm:
    """Somebody else's training, which every restore replaces."""
    algorithm = config.copy(copy_frozen=False).debugging(seed=8).build_algo()
    algorithm.train()
    algorithm.train()
    return algorithm


def test_a_new_process_continues_exactly(
    stopped: tuple[str, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    path, weights = stopped
    answer = tmp_path / "answer.pkl"
    session = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, path, str(answer), session],
        env={**os.environ, "RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    continued, grad_steps = pickle.loads(answer.read_bytes())
    assert difference(of_module(continued), weights) == 0.0
    assert grad_steps == 60


def test_a_living_algorithm_continues_exactly(
    stopped: tuple[str, dict[str, np.ndarray]], other: Algorithm
) -> None:
    path, weights = stopped
    other.restore_from_path(path)
    acting = other.get_module().networks["actor"].flat_vector().numpy()
    assert np.array_equal(acting, other.learner_group._learner.method.actor.flat_vector().numpy())
    other.train()
    assert difference(of_algorithm(other), weights) == 0.0


def drop(state: dict[str, Any], *path: str) -> None:
    for name in path[:-1]:
        state = state[name]
    del state[path[-1]]


def scramble_networks(prefix: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "learner_group/learner/rl_module/default_policy/module_state.pkl"
        state = pickle.loads(file.read_bytes())
        names = [name for name in state if name.startswith(prefix)]
        assert names
        for name in names:
            state[name] = state[name] + 0.01
        file.write_bytes(pickle.dumps(state))

    return change


def without(file: str, *path: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        state = pickle.loads((folder / file).read_bytes())
        drop(state, *path)
        (folder / file).write_bytes(pickle.dumps(state))

    return change


PARTS = {
    "actor": scramble_networks("networks.actor"),
    "critic": scramble_networks("networks.critic"),
    "target": scramble_networks("targets.critic"),
    "temperature": scramble_networks("log_temperature"),
    "actor's optimiser": without(STATES[1], "optimizer", "default_policy_actor"),
    "critic's optimiser": without(STATES[1], "optimizer", "default_policy_critic"),
    "random state": without(STATES[1], METHOD),
    "counters": without(STATES[0], "progress"),
    "replay": without(STATES[0], "replay"),
}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_left_out_shows(
    stopped: tuple[str, dict[str, np.ndarray]], other: Algorithm, tmp_path: Path, part: str
) -> None:
    path, weights = stopped
    copy = tmp_path / "checkpoint"
    shutil.copytree(path, copy)
    PARTS[part](copy)
    other.restore_from_path(str(copy))
    other.train()
    assert difference(of_algorithm(other), weights) > 1e-7


def test_the_online_replay_and_its_counts_come_back(
    ray_session: None, data: str, tmp_path: Path
) -> None:
    config = small_config(data, num_offline_updates=5, replay_capacity=100, updates_per_step=0.5)
    algorithm = config.build_algo()
    for _ in range(8):
        algorithm.train()
    path = algorithm.save_to_path(str(tmp_path / "checkpoint"))
    restored = AWAC.from_checkpoint(path)
    assert restored.grad_steps == algorithm.grad_steps == 5 + 7 * 10
    draw = algorithm.replay.sample(100, 3, 32)
    assert algorithm.replay.sampler.sizes()["online"] < 100
    assert np.array_equal(restored.replay.sample(100, 3, 32), draw)
    algorithm.train()
    assert not np.array_equal(algorithm.replay.sample(100, 3, 32), draw)
    algorithm.restore_from_path(path)
    assert np.array_equal(algorithm.replay.sample(100, 3, 32), draw)
    restored.stop()
    algorithm.stop()


def test_prior_data_that_has_changed_is_refused(
    stopped: tuple[str, dict[str, np.ndarray]], config: AWACConfig, tmp_path: Path
) -> None:
    longer = write_demonstrations(tmp_path / "other.parquet", episodes=1)
    algorithm = config.copy(copy_frozen=False).prior_data([longer]).build_algo()
    with pytest.raises(InputError, match="put it back as it was"):
        algorithm.restore_from_path(stopped[0])
    algorithm.stop()


def test_new_options_hold_after_a_restore(
    stopped: tuple[str, dict[str, np.ndarray]], config: AWACConfig
) -> None:
    changed = config.copy(copy_frozen=False).training(
        temperature=3.0, actor_lr=1e-5, actor_weight_decay=0.2, effective_batch=None
    )
    algorithm = changed.build_algo()
    algorithm.restore_from_path(stopped[0])
    learner = algorithm.learner_group._learner
    result = algorithm.train()["learners"]["default_policy"]
    assert result["actor"]["temperature"] == pytest.approx(3.0)
    assert result["actor_learning_rate"] == pytest.approx(1e-5)
    (group,) = learner.method.optimizers["actor"].param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-5, 0.2)
    algorithm.stop()
