"""The RLlib path learns what the standalone learner learns, with one learner and with two."""

from typing import Any

import pytest
from methods import OFTEN, slow_unless
from rllib_tasks import (
    difference,
    of_algorithm,
    parameters,
    small_config,
    standalone_learner,
    with_actor,
)
from running import write_demonstrations

from awac_dist.algorithms import METHODS

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "prior.parquet")


OPTIONS: list[dict[str, Any]] = [
    {"weights": "exp", "max_weight": 3.0, "effective_batch": None, "temperature": 0.5},
    {"value": "mean", "advantage_clip": 0.1, "max_q": 0.0},
    {"normalize_observations": True},
    {"num_value_samples": 3, "gamma": 0.9, "target_update_rate": 0.1, "actor_weight_decay": 0.1},
]


METHOD = [slow_unless(name in OFTEN, {"method": name}) for name in METHODS]


@pytest.mark.parametrize("options", [*METHOD, *OPTIONS], ids=str)
def test_fifty_updates_equal_the_standalone_learners(
    ray_session: None, data: str, options: dict[str, Any]
) -> None:
    config = small_config(data, **options)
    learner = standalone_learner(config)
    start = parameters(learner.method)
    learner.update(50)
    algorithm = config.build_algo()
    assert difference(of_algorithm(algorithm), start) == 0.0
    algorithm.train()
    assert difference(of_algorithm(algorithm), parameters(learner.method)) == 0.0
    assert difference(start, parameters(learner.method)) > 1e-2
    algorithm.stop()


@pytest.mark.parametrize("options", [{}, pytest.param(OPTIONS[-3], marks=pytest.mark.slow)])
def test_two_learners_take_the_steps_of_one_on_the_whole_batch(
    ray_session: None, data: str, options: dict[str, Any]
) -> None:
    config = small_config(data, **options).training(train_batch_size_per_learner=16)
    config.learners(num_learners=2)
    config.rl_module(model_config=with_actor(log_std_min=-1.0))  # the noise matters
    learner = standalone_learner(config)
    learner.update(50)
    algorithm = config.build_algo()
    algorithm.train()
    assert difference(of_algorithm(algorithm), parameters(learner.method)) < 1e-6
    algorithm.stop()
