"""What the RLlib tests share: small configs, a standalone learner with the same batches, a task."""

import sys
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from ray import cloudpickle, tune

from awac_dist.algorithms.base import Method
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import open_source
from awac_dist.envs.make import env_spec, space_spec
from awac_dist.learner.learner import Learner
from awac_dist.replay.shard import ReplayShard
from awac_dist.rllib import AWACConfig, host
from awac_dist.rllib.config import OfflineToOnlineConfig
from awac_dist.runs.runtime import InlineHandle
from awac_dist.runs.weights import WeightStore
from awac_dist.types import Episode, Origin

ENV = "Pendulum-v1"
ONE_STEP = "awac-tests-one-step"
SMALL = {"actor": {"hidden": (16, 16)}, "critic": {"hidden": (16, 16)}}


class OneStep(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step: the reward is highest, 0, where the action equals the observation."""

    observation_space = Box(-1.0, 1.0, (1,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, config: dict[str, Any]) -> None:
        pass

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._wanted = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self._wanted, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self._wanted, -float(np.abs(action - self._wanted).sum()), True, False, {}


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no worker can import the tests
tune.register_env(ONE_STEP, OneStep)


def write_one_step_data(path: str) -> str:
    """Write 2,000 random steps of `OneStep`; returns the path."""
    rng = np.random.default_rng(0)
    spec = space_spec(ONE_STEP, OneStep.observation_space, OneStep.action_space)
    episodes = []
    for number in range(2_000):
        wanted, action = rng.uniform(-1, 1, (2, 1)).astype(np.float32)
        reward = -np.abs(action - wanted)
        origin = Origin("prior", episode=number)
        episodes.append(
            Episode(np.array([wanted, wanted]), action[None], reward, True, False, origin)
        )
    write_episodes(path, episodes, spec)
    return path


def with_actor(**options: float) -> dict[str, Any]:
    """A module's config with options of the actor."""
    return {**SMALL, "actor": {**SMALL["actor"], **options}}


def one_step_config(data: str) -> AWACConfig:
    """Learns `OneStep` offline, within 400 updates, and goes on online."""
    return (
        AWACConfig()
        .environment(ONE_STEP)
        .prior_data([data])
        .training(
            temperature=0.05,
            effective_batch=None,
            num_offline_updates=400,
            updates_per_training_step=200,
            train_batch_size_per_learner=64,
        )
        .rl_module(model_config=SMALL)
        .env_runners(rollout_fragment_length=20)
    )


def small_config(data: str, method: str = "awac", **training: Any) -> OfflineToOnlineConfig:
    """Pendulum with tiny networks."""
    config = host(method).get_default_config()
    options = {
        "num_offline_updates": 50,
        "updates_per_training_step": 50,
        "train_batch_size_per_learner": 32,
    }
    sizes = {name: {"hidden": (16, 16)} for name in config.networks()}
    return (
        config.environment(ENV)
        .prior_data([data])
        .training(**(options | training))
        .rl_module(model_config=sizes)
        .env_runners(rollout_fragment_length=20)
        .debugging(seed=7)
    )


def standalone_learner(config: OfflineToOnlineConfig) -> Learner:
    """The learner of `awac_dist.launch`, inline, on the same data, before its first update."""
    run, spec = config.as_run(), env_spec(config.env)
    sources = [open_source(source, spec) for source in config.prior_sources]
    shard = ReplayShard(
        0,
        1,
        spec,
        discount=run.learner.discount,
        log=None,
        sources=sources,
        config=run.replay,
    )
    learner = Learner(
        spec,
        run.learner,
        [InlineHandle(shard)],
        InlineHandle(WeightStore()),
        online_capacity=run.replay.capacity,
        seed=config.seed,
        device="cpu",
        replay=run.replay,
        sources={source.name: source.weight for source in sources},
    )
    torch.set_num_threads(1)
    learner.register()
    learner.begin(run.algorithm, run.learner.batch_size)
    return learner


def parameters(method: Method) -> dict[str, np.ndarray]:
    """All parameters of a method, by the names that they have in an RLModule."""
    groups = {"networks": method.networks, "targets": method.targets}
    state = {
        f"{group}.{name}.{key}": value.numpy().copy()
        for group, modules in groups.items()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    return state | {name: value.detach().numpy().copy() for name, value in method.duals.items()}


def of_algorithm(algorithm: Any) -> dict[str, np.ndarray]:
    """The same of the method that an algorithm trains."""
    return of_module(algorithm.learner_group.get_weights()["default_policy"])


def of_module(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same of a module's weights, which hold how observations are normalised, too."""
    return {
        name.removeprefix("method."): value
        for name, value in state.items()
        if not name.startswith("observation_")
    }


def difference(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> float:
    """Largest difference between any two numbers of the same name."""
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)
