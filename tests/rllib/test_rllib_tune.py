"""AWAC under Ray Tune, RLlib's own helpers, and env runners that die. Minutes: `pytest -m slow`."""

import dis
import io
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.rllib.examples.utils import (
    add_rllib_example_script_args,
    run_rllib_example_script_experiment,
)
from ray.rllib.utils.test_utils import check_learning_achieved
from ray.tune.registry import TRAINABLE_CLASS, _global_registry
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from rllib_tasks import one_step_config, small_config, write_one_step_data
from running import write_demonstrations

from awac_dist.algorithms import METHODS
from awac_dist.rllib import AWAC, host

RETURN = "env_runners/episode_return_mean"
GOOD = -0.3  # a random policy has -0.67, the mean of the range -0.5


def test_importing_registers_it() -> None:
    assert _global_registry.contains(TRAINABLE_CLASS, "AWAC")
    assert _global_registry.get(TRAINABLE_CLASS, "AWAC") is AWAC


@pytest.mark.parametrize("method", METHODS)
def test_ray_can_walk_through_a_hosted_class(method: str) -> None:
    """As it does before it makes an actor of one; a circle of attributes would have no end."""
    dis.dis(host(method), file=io.StringIO(), depth=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_one_step_data(str(tmp_path_factory.mktemp("data") / "one-step.parquet"))


@pytest.mark.ray
@pytest.mark.slow
def test_asha_runs_four_samples_through_both_phases(
    ray_session: None, data: str, tmp_path: Path
) -> None:
    space = one_step_config(data).training(temperature=tune.loguniform(0.02, 2.0))
    scheduler = ASHAScheduler("training_iteration", grace_period=1, max_t=5, reduction_factor=2)
    results = tune.Tuner(
        "AWAC",
        param_space=space,
        tune_config=tune.TuneConfig(metric=RETURN, mode="max", num_samples=4, scheduler=scheduler),
        run_config=tune.RunConfig(storage_path=str(tmp_path)),
    ).fit()
    assert not results.errors
    assert len(results) == 4
    best = results.get_best_result()
    assert best.metrics["env_runners"]["episode_return_mean"] > GOOD
    check_learning_achieved(results, GOOD)


@pytest.mark.ray
@pytest.mark.slow
def test_pbt_perturbs_and_restores(ray_session: None, data: str, tmp_path: Path) -> None:
    mutations = {
        "temperature": tune.loguniform(0.02, 2.0),
        "actor_lr": tune.loguniform(1e-5, 1e-2),
    }
    space = one_step_config(data).training(num_offline_updates=200, **mutations)
    scheduler = PopulationBasedTraining(
        "training_iteration", perturbation_interval=2, hyperparam_mutations=mutations, synch=True
    )
    results = tune.Tuner(
        "AWAC",
        param_space=space.to_dict(),
        tune_config=tune.TuneConfig(metric=RETURN, mode="max", num_samples=4, scheduler=scheduler),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path), name="pbt", stop={"training_iteration": 6}
        ),
    ).fit()
    assert not results.errors
    perturbations = (tmp_path / "pbt" / "pbt_global.txt").read_text().splitlines()
    assert len(perturbations) >= 1
    for result in results:
        metrics, options = result.metrics, result.config
        assert metrics["training_iteration"] == 6
        assert metrics["num_grad_steps_lifetime"] == 200 + 5 * 20
        learned = metrics["learners"]["default_policy"]
        assert learned["actor_learning_rate"] == pytest.approx(options["actor_lr"], rel=1e-5)
        assert learned["actor"]["temperature"] == pytest.approx(options["temperature"], rel=1e-5)


@pytest.mark.ray
@pytest.mark.slow
def test_rllibs_example_runner_passes_as_a_test(
    ray_session: None, data: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    parser = add_rllib_example_script_args(default_reward=GOOD, default_iters=8)
    args = parser.parse_args(["--as-test", "--num-env-runners=0"])
    results: Any = run_rllib_example_script_experiment(
        one_step_config(data), args, keep_ray_up=True
    )
    check_learning_achieved(results, GOOD)


@pytest.mark.ray
@pytest.mark.faults
def test_training_outlives_an_env_runner(ray_session: None, tmp_path: Path) -> None:
    data = write_demonstrations(tmp_path / "prior.parquet")
    config = small_config(data, num_offline_updates=10)
    config.env_runners(num_env_runners=2, num_cpus_per_env_runner=0.5)
    config.fault_tolerance(delay_between_env_runner_restarts_s=0)
    algorithm = config.build_algo()
    algorithm.train()
    pids = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: os.getpid(), local_env_runner=False
    )
    os.kill(pids[0], signal.SIGKILL)
    steps = []
    for _ in range(12):
        result = algorithm.train()
        steps.append(result["num_env_steps_sampled_lifetime"])
        if result["fault_tolerance"]["num_remote_worker_restarts"] and steps[-1:] != steps[-2:-1]:
            break
    assert result["fault_tolerance"]["num_healthy_workers"] == 2
    assert result["num_grad_steps_lifetime"] == 10 + result["replay"]["online"]
    vectors = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: runner.module.networks["actor"].flat_vector().numpy(), local_env_runner=False
    )
    assert np.array_equal(vectors[0], vectors[1])
    algorithm.stop()
