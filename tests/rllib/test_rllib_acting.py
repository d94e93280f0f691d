"""Who learns and acts in RLlib, does so as the method does anywhere: every method."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rllib_tasks import difference, parameters, small_config, standalone_learner
from running import write_demonstrations

from awac_dist.algorithms import METHODS
from awac_dist.envs.make import env_spec, make_env
from awac_dist.errors import InputError
from awac_dist.policies import make_policy
from awac_dist.policies.gaussian import GaussianPolicy
from awac_dist.policies.npz import read_policy
from awac_dist.rllib.learner import as_batch
from awac_dist.rllib.replay import Replay

ENV = "Pendulum-v1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "prior.parquet")


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_as_anywhere_and_an_env_runner_acts_as_the_policy_that_is_saved(
    method: str, data: str
) -> None:
    config = small_config(data, method, normalize_observations=True)
    learner = config.build_learner(env=make_env(ENV))
    replay = Replay(env_spec(ENV), config.as_run(), config.fixed_seed())
    learner.normalize(*replay.statistics)
    each, replay.wishes = learner.method.batches_per_update, learner.wishes
    learner.update(batch=as_batch(replay.sample(0, each * 3, 32)), timesteps={})
    standalone = standalone_learner(config)
    standalone.update(3)
    assert difference(parameters(learner.method), parameters(standalone.method)) == 0.0
    trained = learner.module["default_policy"]
    spaces = {name: getattr(trained, name) for name in ("observation_space", "action_space")}
    acting = type(trained)(**spaces, model_config=trained.model_config, inference_only=True)
    acting.set_state(trained.get_state(inference_only=True))
    assert sorted([*acting.networks, *acting.targets]) == sorted(learner.method.acts_with)
    spec, arrays = learner.acting()
    policy = make_policy(spec, spec.flatten(arrays), 0)
    seen = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)
    batch = {"obs": torch.from_numpy(seen)}
    for module in (trained, acting):
        actions = module.forward_inference(batch)["actions"].numpy()
        np.testing.assert_allclose(actions, policy.mean(seen), atol=1e-5)
    torch.manual_seed(0)
    drawn = acting.forward_exploration(batch)["actions"].numpy()
    torch.manual_seed(0)
    noise = torch.randn(50, policy.noise_size).numpy()
    np.testing.assert_allclose(drawn, policy.sample(seen, noise), atol=1e-5)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float64])
def test_each_method_acts_on_observations_of_any_kind(kind: type, data: str) -> None:
    whole = np.random.default_rng(0).integers(0, 5, (20, 3))
    batches = [{"obs": torch.from_numpy(whole.astype(its))} for its in (kind, np.float32)]
    for method in METHODS:
        config = small_config(data, method, normalize_observations=False)
        module = config.build_learner(env=make_env(ENV)).module["default_policy"]
        for act in (module.forward_inference, module.forward_exploration):
            actions = []
            for batch in batches:
                torch.manual_seed(0)
                actions.append(act(batch)["actions"])
            assert torch.equal(*actions), method


def test_a_policy_with_memory_is_refused(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GaussianPolicy, "memory_size", 2)
    with pytest.raises(InputError, match="kind gaussian: it keeps 2 numbers from step to step"):
        small_config(data).build_learner(env=make_env(ENV))


@pytest.mark.ray
@pytest.mark.parametrize("method", ["bcq", "bear"])
def test_a_policy_that_chooses_collects_and_is_kept(
    ray_session: None, method: str, data: str, tmp_path: Path
) -> None:
    counts = {"num_offline_updates": 5, "updates_per_training_step": 5, "updates_per_step": 0.1}
    algorithm = small_config(data, method, normalize_observations=True, **counts).build_algo()
    results = [algorithm.train() for _ in range(2)]
    assert [result["num_env_steps_sampled_lifetime"] for result in results] == [0, 20]
    policy = read_policy(algorithm.save_policy(str(tmp_path)))
    seen = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)
    checkpoint = algorithm.save_to_path(str(tmp_path / "checkpoint"))
    restored = type(algorithm).from_checkpoint(checkpoint)
    for its in (algorithm, restored):
        actions = its.get_module().forward_inference({"obs": torch.from_numpy(seen)})["actions"]
        np.testing.assert_allclose(actions.numpy(), policy.mean(seen), atol=1e-5)
    if method == "bcq":
        with pytest.raises(InputError, match="this algorithm starts from no policy"):
            restored.load_policy(str(tmp_path / "policy.npz"))
    else:
        other = small_config(data, method).debugging(seed=1).build_algo()
        other.load_policy(str(tmp_path / "policy.npz"))
        begun = read_policy(other.save_policy(str(tmp_path / "other")))
        actors = [its.actor().mean(seen) for its in (begun, policy)]  # type: ignore[union-attr]
        np.testing.assert_allclose(*actors, atol=1e-4)
        other.stop()
    restored.stop()
    algorithm.stop()
