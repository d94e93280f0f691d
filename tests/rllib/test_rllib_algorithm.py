"""One Algorithm goes through both phases, with RLlib's names, settings and conventions."""

from pathlib import Path
from typing import Any

import environments
import numpy as np
import pytest
import torch
from ray import tune
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.test_utils import check_train_results_new_api_stack
from rllib_tasks import small_config, with_actor
from running import write_demonstrations

from awac_dist.errors import InputError, RunFailed
from awac_dist.policies.npz import read_policy
from awac_dist.rllib import AWAC, AWACConfig

pytestmark = pytest.mark.ray
COUNTING = "awac-tests-counting"
tune.register_env(COUNTING, lambda config: environments.Counting(**config))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "prior.parquet")


@pytest.fixture(scope="module")
def trained(ray_session: None, data: str) -> tuple[AWAC, list[dict[str, Any]]]:
    """Two offline iterations, then two online ones."""
    config = small_config(
        data,
        num_offline_updates=30,
        updates_per_training_step=20,
        updates_per_step=0.1,
        grad_clip=0.01,
        normalize_observations=True,
        actor_lr=[[0, 1e-3], [300, 1e-5]],
    )
    config.env_runners(rollout_fragment_length=200)
    config.evaluation(evaluation_interval=1, evaluation_duration=1)
    algorithm = config.build_algo()
    return algorithm, [algorithm.train() for _ in range(4)]


def test_both_phases_report_under_rllibs_names(
    trained: tuple[AWAC, list[dict[str, Any]]],
) -> None:
    _, results = trained
    for result in results:
        check_train_results_new_api_stack(result)
    returns = [result["env_runners"]["episode_return_mean"] for result in results]
    assert np.isnan(returns[:2]).all()
    assert np.isfinite(returns[2:]).all()
    assert [r["num_env_steps_sampled_lifetime"] for r in results] == [0, 0, 200, 400]
    assert [r["num_grad_steps_lifetime"] for r in results] == [20, 30, 50, 70]
    assert [r["replay"].get("online", 0) for r in results] == [0, 0, 200, 400]
    trained_steps = results[-1]["learners"]["__all_modules__"]["num_env_steps_trained_lifetime"]
    assert trained_steps == 70 * 32


def test_evaluation_runs_offline_too(trained: tuple[AWAC, list[dict[str, Any]]]) -> None:
    for result in trained[1]:
        assert -2000 < result["evaluation"]["env_runners"]["episode_return_mean"] < 0


def test_gradients_are_clipped_and_schedules_followed(
    trained: tuple[AWAC, list[dict[str, Any]]],
) -> None:
    algorithm, results = trained
    rates = [result["learners"]["default_policy"]["actor_learning_rate"] for result in results]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3 - 200 / 300 * (1e-3 - 1e-5), 1e-5])
    critic = algorithm.learner_group._learner.method.optimizers["critic"]
    moments = [state["exp_avg"] for state in critic.state.values()]
    assert torch.cat([moment.flatten() for moment in moments]).norm() <= 0.01  # a mean of norms
    assert results[0]["learners"]["default_policy"]["gradients_critic_global_norm"] > 0.01


def test_a_policy_goes_to_the_standalone_system_and_back(
    trained: tuple[AWAC, list[dict[str, Any]]], data: str, tmp_path: Path
) -> None:
    algorithm, _ = trained
    path = algorithm.save_policy(str(tmp_path))
    standalone = read_policy(path)
    assert standalone.version == 70
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    module, inputs = algorithm.get_module(), {"obs": torch.tensor(observations)}
    mean = module.forward_inference(inputs)["actions"].numpy()
    assert mean == pytest.approx(standalone.mean(observations), abs=1e-6)
    torch.manual_seed(5)
    sampled = module.forward_exploration(inputs)["actions"].numpy()
    torch.manual_seed(5)
    noise = torch.randn(5, 1).numpy()
    assert sampled == pytest.approx(standalone.sample(observations, noise), abs=1e-6)
    other = small_config(data, normalize_observations=True).debugging(seed=1).build_algo()
    other.load_policy(path)
    acting = other.get_module().state_dict()
    assert acting.keys() == module.state_dict().keys()
    assert all(torch.equal(acting[name], own) for name, own in module.state_dict().items())
    plain = small_config(data).build_algo()
    plain.load_policy(path)
    assert plain.get_module().forward_inference(inputs)["actions"].numpy() == pytest.approx(
        mean, abs=1e-5
    )
    plain.stop()
    other.stop()
    wider = small_config(data).rl_module(model_config={"actor": {"hidden": (8,)}}).build_algo()
    with pytest.raises(InputError, match="its policy is a"):
        wider.load_policy(path)
    wider.stop()


def test_a_module_alone_comes_from_a_checkpoint(
    trained: tuple[AWAC, list[dict[str, Any]]], tmp_path: Path
) -> None:
    algorithm, _ = trained
    path = Path(algorithm.save_to_path(str(tmp_path / "checkpoint")))
    module = RLModule.from_checkpoint(path / "learner_group/learner/rl_module/default_policy")
    acting = algorithm.get_module().state_dict()
    assert all(torch.equal(module.state_dict()[name], own) for name, own in acting.items())


def test_env_runners_hold_no_critic(trained: tuple[AWAC, list[dict[str, Any]]]) -> None:
    algorithm, _ = trained
    names = set(algorithm.get_module().state_dict())
    own = {name for name in names if name.startswith("networks.actor.")}
    assert names - own == {"observation_shift", "observation_scale"}
    sent = algorithm.learner_group.get_state("learner/rl_module", inference_only=True)
    assert set(sent["learner"]["rl_module"]["default_policy"]) == names


@pytest.mark.parametrize(("end", "discount"), [("terminates_at", 0.0), ("truncates_at", 0.99)])
def test_what_env_runners_collect_is_stored_as_it_happened(
    ray_session: None, end: str, discount: float
) -> None:
    config = (
        AWACConfig()
        .environment(COUNTING, env_config={end: 5})
        .training(num_offline_updates=0, train_batch_size_per_learner=256)
        .rl_module(model_config=with_actor(log_std_min=-0.5, log_std_max=0.5))  # out of bounds
        .env_runners(rollout_fragment_length=12, num_envs_per_env_runner=2)
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    algorithm.train()
    result = algorithm.train()
    assert result["replay"] == {"online": 48}
    block = algorithm.replay.sample(0, 1, 256)
    observations, actions, following = block[:, :4], block[:, 4:6], block[:, 8:]
    assert np.array_equal(following[:, environments.TAG], observations[:, environments.TAG])
    steps = observations[:, environments.STEP]
    assert np.array_equal(following[:, environments.STEP], steps + 1)
    assert np.array_equal(block[:, 6], steps + 1)  # the reward
    received = following[:, environments.RECEIVED]
    assert received == pytest.approx(np.clip(actions, [-0.5, -1.0], [0.5, 2.0]), abs=1e-6)
    assert (np.abs(actions - received) > 1e-3).any()  # kept as chosen
    assert set(steps) == set(range(5))
    assert block[:, 7] == pytest.approx(np.where(steps == 4, discount, 0.99))
    algorithm.stop()


def test_numbers_that_are_not_finite_end_the_training(ray_session: None, data: str) -> None:
    algorithm = small_config(data, critic_lr=1e30).build_algo()
    with pytest.raises(RunFailed, match="is not finite after update"):
        algorithm.train()
    algorithm.stop()


def test_a_task_with_other_spaces_is_refused(ray_session: None, data: str) -> None:
    discrete = small_config(data).environment("CartPole-v1")
    with pytest.raises(InputError, match="actions must be flat vectors"):
        discrete.build_algo()
    other = small_config(data).environment("MountainCarContinuous-v0")
    with pytest.raises(InputError, match="do not fit MountainCarContinuous-v0"):
        other.build_algo()


def test_a_mixture_names_sources_that_there_are(ray_session: None, data: str) -> None:
    with pytest.raises(InputError, match="mixture"):
        small_config(data, mixture={"clone": 0.5, "online": 0.5}).build_algo()
