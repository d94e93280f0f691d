"""What is restored where: each method's learner, other options, other methods, other phases."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rllib_tasks import difference, parameters, small_config
from running import write_demonstrations

from awac_dist.algorithms import METHODS
from awac_dist.envs.make import env_spec, make_env
from awac_dist.errors import InputError
from awac_dist.rllib.learner import as_batch
from awac_dist.rllib.replay import Replay

ENV = "Pendulum-v1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "prior.parquet")


@pytest.mark.parametrize("method", METHODS)
def test_the_learner_of_each_method_goes_on_exactly(method: str, data: str) -> None:
    config = small_config(data, method)
    learner, other = (
        config.copy(copy_frozen=False).debugging(seed=seed).build_learner(env=make_env(ENV))
        for seed in (7, 8)
    )
    replay = Replay(env_spec(ENV), config.as_run(), 7)
    each, replay.wishes = learner.method.batches_per_update, learner.wishes
    blocks = [replay.sample(first, each * 3, 32) for first in (0, each * 3)]
    learner.update(batch=as_batch(blocks[0]), timesteps={})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*requires_grad")
        other.set_state(learner.get_state())
    for its in (learner, other):
        its.update(batch=as_batch(blocks[1]), timesteps={})
    assert difference(parameters(learner.method), parameters(other.method)) == 0.0


def test_a_state_of_another_kind_of_device_goes_on_too(data: str) -> None:
    learner, *others = (
        small_config(data).debugging(seed=seed).build_learner(env=make_env(ENV))
        for seed in range(3)
    )
    state = learner.get_state()
    state["method"] |= {
        "device": "cuda",
        "generator": np.arange(16, dtype=np.uint8),
    }  # one on a GPU
    for other in others:
        other.set_state(state)
        assert difference(parameters(learner.method), parameters(other.method)) == 0.0
    assert torch.equal(*(other.method.generator.get_state() for other in others))


@pytest.mark.ray
def test_counters_never_run_backwards_where_fewer_updates_are_owed(
    ray_session: None, data: str, tmp_path: Path
) -> None:
    def build(ratio: float) -> Any:
        return small_config(data, num_offline_updates=3, updates_per_step=ratio).build_algo()

    before, after = build(0.5), build(0.2)
    for _ in range(3):
        before.train()
    after.restore_from_path(before.save_to_path(str(tmp_path)))
    counts = [after.train()["num_grad_steps_lifetime"] for _ in range(4)]
    assert before.grad_steps == 3 + 0.5 * 40
    assert counts == [23, 23, 23, 3 + 0.2 * 120]
    for each in (before, after):
        each.stop()


@pytest.mark.ray
def test_a_restore_goes_back_to_the_phase_of_the_checkpoint(
    ray_session: None, data: str, tmp_path: Path
) -> None:
    """A method whose losses and number of batches are others online than offline."""
    options = {"num_offline_updates": 4, "updates_per_training_step": 2, "updates_per_step": 0.1}
    algorithm = small_config(data, "wsrl", **options).build_algo()

    def phase() -> tuple[bool, int]:
        method = algorithm.learner_group._learner.method
        return method.online, algorithm._batches_per_update

    algorithm.train()
    offline = algorithm.save_to_path(str(tmp_path / "offline"))
    for _ in range(2):
        algorithm.train()
    assert phase() == (True, 4)
    online, kept = algorithm.save_to_path(str(tmp_path / "online")), algorithm.get_state()
    algorithm.restore_from_path(offline)
    assert phase() == (False, 1)
    assert algorithm.train()["num_grad_steps_lifetime"] == 4
    assert phase() == (False, 1)
    algorithm.restore_from_path(online)
    assert phase() == (True, 4)
    algorithm.restore_from_path(offline)
    algorithm.set_state(kept)
    assert phase() == (True, 4)
    algorithm.stop()


OTHERS = {
    "its method is awac, and this algorithm's is iql": lambda data: small_config(data, "iql"),
    "its method is awac, and this algorithm's is bc": lambda data: small_config(data, "bc"),
    "its method is awac, and this algorithm's is sac": lambda data: small_config(data, "sac"),
    "shape of networks.actor.* is .16, 3., and this algorithm's is .8, 3.: restore it with": (
        lambda data: small_config(data).rl_module(model_config={"actor": {"hidden": (8, 16)}})
    ),
    "its kind of policy is gaussian, and this algorithm's is deterministic": (
        lambda data: small_config(data).rl_module(model_config={"actor": {"kind": "deterministic"}})
    ),
    "its use of normalize_observations and prior_data is True, and this algorithm's is False": (
        lambda data: small_config(data, normalize_observations=False)
    ),
}


@pytest.fixture(scope="module")
def checkpoint(
    ray_session: None, data: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any]:
    """Of AWAC, and its state."""
    algorithm = small_config(data, num_offline_updates=5).build_algo()
    algorithm.train()
    path = algorithm.save_to_path(str(tmp_path_factory.mktemp("checkpoint")))
    state = algorithm.get_state()
    algorithm.stop()
    return path, state


@pytest.mark.ray
@pytest.mark.parametrize("message", OTHERS)
def test_the_checkpoint_of_another_algorithm_is_refused(
    checkpoint: tuple[str, Any], data: str, message: str
) -> None:
    algorithm = OTHERS[message](data).build_algo()
    before = algorithm.learner_group.get_weights()["default_policy"]
    with pytest.raises(InputError, match=message):
        algorithm.restore_from_path(checkpoint[0])
    with pytest.raises(InputError, match=message):
        algorithm.set_state(checkpoint[1])
    after = algorithm.learner_group.get_weights()["default_policy"]
    assert all(np.array_equal(array, after[name]) for name, array in before.items())
    assert algorithm.grad_steps == 0
    algorithm.stop()
