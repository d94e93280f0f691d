"""Normalised observations in RLlib: the standalone learner's numbers, and its policy. No Ray."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rllib_tasks import difference, parameters, small_config, standalone_learner
from running import write_demonstrations

from awac_dist.envs.make import env_spec, make_env
from awac_dist.policies import make_policy
from awac_dist.rllib.learner import MethodLearner, as_batch
from awac_dist.rllib.replay import Replay
from awac_dist.types import Array

Build = Callable[..., tuple[MethodLearner, Replay]]
SEEN = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    data = write_demonstrations(tmp_path / "prior.parquet")

    def one(seed: int = 7, *, normalized: bool = True) -> tuple[MethodLearner, Replay]:
        config = small_config(data, normalize_observations=normalized).debugging(seed=seed)
        learner = config.build_learner(env=make_env("Pendulum-v1"))
        replay = Replay(env_spec("Pendulum-v1"), config.as_run(), config.fixed_seed())
        if replay.statistics:
            learner.normalize(*replay.statistics)
        return learner, replay

    return one


def acts(learner: MethodLearner) -> Array:
    module = learner.module["default_policy"]
    actions: Array = module.forward_inference({"obs": torch.tensor(SEEN)})["actions"].numpy()
    return actions


def test_it_learns_what_the_standalone_learner_does_and_acts_as_its_policy(build: Build) -> None:
    learner, replay = build()
    standalone = standalone_learner(learner.config)
    standalone.update(25)
    learner.update(batch=as_batch(replay.sample(0, 25, 32)), timesteps={})
    assert difference(parameters(learner.method), parameters(standalone.method)) == 0.0
    spec, arrays = learner.acting()
    policy = make_policy(spec, spec.flatten(arrays), 0)
    np.testing.assert_allclose(acts(learner), policy.mean(SEEN), atol=1e-6)
    np.testing.assert_array_equal(spec.flatten(arrays), standalone.policy_vector())


def test_a_policy_acts_alike_in_whatever_normalisation_takes_it_over(build: Build) -> None:
    learner, _ = build()
    _, fresh = learner.acting()
    learner.adopt({**fresh, "weight_2": 1000 * fresh["weight_2"]})  # so that its actions differ
    for normalized in (True, False):
        other, _ = build(1, normalized=normalized)
        assert np.abs(acts(other) - acts(learner)).max() > 0.1
        other.adopt(learner.acting()[1])
        np.testing.assert_allclose(acts(other), acts(learner), atol=1e-4)
    learner.adopt(fresh)
    learner.adopt(other.acting()[1])  # and back again
    np.testing.assert_allclose(acts(learner), acts(other), atol=1e-4)
