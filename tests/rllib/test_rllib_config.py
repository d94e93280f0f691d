"""What `AWACConfig` takes, and what it refuses."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from awac_dist.algorithms import METHODS, awac
from awac_dist.config import RunConfig
from awac_dist.errors import InputError
from awac_dist.rllib import AWACConfig, host
from awac_dist.rllib.config import OPTIONS
from awac_dist.rllib.learner import MethodLearner
from awac_dist.rllib.limits import problems


def config() -> AWACConfig:
    return AWACConfig().environment("Pendulum-v1").prior_data(["somewhere"])


class OwnLoss(MethodLearner):
    def compute_loss_for_module(self, **kwargs: Any) -> Any:
        return 0.0


def test_the_defaults_are_those_of_the_command_line() -> None:
    run, ours = RunConfig(), AWACConfig().as_run()
    for part in ("algorithm", "replay"):
        assert getattr(ours, part) == getattr(run, part)
    assert (ours.learner.batch_size, ours.learner.discount) == (256, 0.99)
    config().validate()


def test_every_option_of_the_method_is_reachable() -> None:
    start, given = awac.AWACConfig(), (0.3, None, "exp", 20.0, "mean", 1, 0.5, 0.0)
    options = awac.AWACConfig(start.actor, start.critic, *given)
    fixed = {"actor", "critic", "num_value_samples"}
    own = {name: value for name, value in vars(options).items() if name not in ("actor", "critic")}
    assert all(vars(start)[name] != value for name, value in own.items() if name not in fixed)
    assert config().training(**own).as_run().algorithm == options
    assert config().training(num_value_samples=4).as_run().algorithm.num_value_samples == 4


def test_options_survive_tunes_dict() -> None:
    given = config().training(temperature=0.7, mixture={"offline": 0.5, "online": 0.5})
    again = AWACConfig().update_from_dict(given.to_dict())
    assert again.as_run() == given.as_run()


COPIES = {
    "state": lambda config: type(config).from_state(config.get_state()),  # as of `build_algo`
    "dict": lambda config: type(config)().update_from_dict(config.to_dict()),  # as of Tune
    "copy": lambda config: config.copy(),
    "pickle": lambda config: pickle.loads(pickle.dumps(config)),
}


@pytest.mark.parametrize("way", COPIES)
def test_each_option_of_each_method_is_kept_where_it_is_minus_one(way: str) -> None:
    """Which RLlib takes for a sign that an option is deprecated."""
    for method in METHODS:
        given = host(method).get_default_config()
        names = [*given.paths(), "gamma", "grad_clip", "train_batch_size_per_learner"]
        for name in names:
            setattr(given, name, -1)
        found = COPIES[way](given)
        assert {name: getattr(found, name) for name in names} == dict.fromkeys(names, -1), method


def test_train_batch_size_is_the_total() -> None:
    assert (
        config().learners(num_learners=2).training(train_batch_size=64).total_train_batch_size == 64
    )
    each = config().learners(num_learners=2).training(train_batch_size_per_learner=64)
    assert each.as_run().learner.batch_size == 128


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="temprature"):
        config().training(temprature=1.0)


REFUSED = {
    "temperature: 0.0 is not above 0": lambda c: c.training(temperature=0.0),
    "effective_batch: 2 is not between": lambda c: c.training(effective_batch=2),
    "weights: 'linear' is not one of softmax, exp": lambda c: c.training(weights="linear"),
    "value: 'median' is not one of": lambda c: c.training(value="median"),
    "num_value_samples: 2 has no effect": lambda c: c.training(value="mean", num_value_samples=2),
    "actor_lr: 0.0 is not above 0": lambda c: c.training(actor_lr=0.0),
    "critic_lr: -1.0 is not above 0": lambda c: c.training(critic_lr=[[0, -1.0], [9, 1e-3]]),
    "gamma: 1.5 is not above 0 and at most 1": lambda c: c.training(gamma=1.5),
    "target_update_rate: 0 is not above 0": lambda c: c.training(target_update_rate=0),
    "num_offline_updates: -1 is not 0 or more": lambda c: c.training(num_offline_updates=-1),
    "updates_per_training_step: 0 is": lambda c: c.training(updates_per_training_step=0),
    "updates_per_step: 0 is not above 0": lambda c: c.training(updates_per_step=0),
    "replay_capacity: 0 is not 1 or more": lambda c: c.training(replay_capacity=0),
    "mixture: the shares add up to 0.5": lambda c: c.training(mixture={"online": 0.5}),
    "prior_data: somewhere is given twice": lambda c: c.prior_data(["somewhere", "somewhere"]),
    "prior_data is empty": lambda c: c.prior_data([]),
    "members: 0 is not": lambda c: c.rl_module(model_config={"critic": {"members": 0}}),
    "model_config: .*fcnet_hiddens": lambda c: c.rl_module(model_config={"fcnet_hiddens": [4]}),
    "model_config: actor's learning_rate: set actor_lr": lambda c: c.rl_module(
        model_config={"actor": {"learning_rate": 1.0}}
    ),
    "lr: 0.1 is not supported: set actor_lr": lambda c: c.training(lr=0.1),
    "minibatch_size: 32 .* train_batch_size_per_learner": lambda c: c.training(minibatch_size=32),
    "num_epochs: 2": lambda c: c.training(num_epochs=2),
    "model: custom settings .* rl_module": lambda c: c.training(model={"fcnet_hiddens": [4]}),
    "learner_class: TorchLearner is no": lambda c: c.training(learner_class=TorchLearner),
    "compute_loss_for_module would not": lambda c: c.training(learner_class=OwnLoss),
    "learner_connector": lambda c: c.training(learner_connector=lambda *_: None),
    "rl_module_spec": lambda c: c.rl_module(rl_module_spec=RLModuleSpec(module_class=object)),
    "framework_str: 'tf2'": lambda c: c.framework("tf2"),
    "torch_compile_learner: True": lambda c: c.framework(torch_compile_learner=True),
    "torch_skip_nan_gradients: True": lambda c: c.framework(torch_skip_nan_gradients=True),
    "enable_rl_module_and_learner: False": lambda c: c.api_stack(
        enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False
    ),
    "is_multi_agent: True": lambda c: c.multi_agent(policies={"a", "b"}),
    "input_: .* prior_data": lambda c: c.offline_data(input_=["somewhere"]),
    "normalize_actions: True .* units": lambda c: c.environment(normalize_actions=True),
    "env_to_module_connector: .* saved policies .*: wrap": lambda c: c.env_runners(
        env_to_module_connector=lambda env, spaces, device: []
    ),
    "module_to_env_connector: .* saved policies .*: wrap": lambda c: c.env_runners(
        module_to_env_connector=lambda env, spaces, device: []
    ),
    "batch_mode: complete_episodes": lambda c: c.env_runners(
        batch_mode="complete_episodes"
    ).debugging(seed=1),
    "actor_lr: '1e-3' is neither a number nor a schedule": lambda c: c.training(actor_lr="1e-3"),
    "actor_lr: .* is neither": lambda c: c.training(actor_lr=[]),
    "critic_lr: .* is neither": lambda c: c.training(critic_lr=[[5, 1e-3], [9, 1e-3]]),
    "model_config: .*actor.* is no mapping": lambda c: c.rl_module(model_config={"actor": [16]}),
    "hidden: 16 is not a list": lambda c: c.rl_module(model_config={"actor": {"hidden": 16}}),
    "kind: 'wild' is not one of": lambda c: c.rl_module(model_config={"actor": {"kind": "wild"}}),
    "updates_per_step: '1' is not a number": lambda c: c.training(updates_per_step="1"),
    "num_offline_updates: 2.5 is not a whole": lambda c: c.training(num_offline_updates=2.5),
    "num_offline_updates: 'x' is not a whole": lambda c: c.training(num_offline_updates="x"),
    "replay_capacity: True is not a whole": lambda c: c.training(replay_capacity=True),
    "normalize_observations: 'no' is not true": lambda c: c.training(normalize_observations="no"),
    "mixture: .* is not a mapping": lambda c: c.training(mixture=[0.5]),
    "gamma: '0.9' is not a number": lambda c: c.training(gamma="0.9"),
    "train_batch_size_per_learner: 9.5 is": lambda c: c.training(train_batch_size_per_learner=9.5),
    "seed: -1 is not from 0": lambda c: c.debugging(seed=-1),
    "num_aggregator_actors_per_learner": lambda c: c.learners(num_aggregator_actors_per_learner=1),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_work_is_refused(message: str) -> None:
    with pytest.raises(InputError, match=message):
        REFUSED[message](config()).validate()


@pytest.mark.parametrize("method", METHODS)
def test_no_value_of_another_type_is_a_traceback(method: str) -> None:
    """Each is legal, or refused in a line."""
    given = host(method).get_default_config()
    given.environment("Pendulum-v1").prior_data(["somewhere"])
    for name in given.paths().keys() - (OPTIONS.keys() if method != "awac" else ()):
        before = getattr(given, name)
        for value in ("1", [], [16], [[0]], {}, {"online": "1"}, None, True, 2.5, object()):
            setattr(given, name, value)
            assert all("\n" not in problem for _, problem in problems(given))
        setattr(given, name, before)
    assert not list(problems(given))


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(1)])
def test_numbers_of_numpy_are_numbers(number: Any) -> None:
    config().training(temperature=number, actor_lr=number, updates_per_step=number).validate()


@pytest.mark.parametrize("sources", ["a.parquet", Path("a.parquet"), [Path("a.parquet")]])
def test_prior_data_is_named_by_any_kind_of_path(sources: Any) -> None:
    assert AWACConfig().prior_data(sources).prior_sources == ["a.parquet"]


def test_rllibs_own_checks_still_run() -> None:
    with pytest.raises(ValueError, match="evaluation_parallel_to_training"):
        config().evaluation(evaluation_parallel_to_training=True).validate()


@pytest.mark.parametrize("explore", [None, True])
def test_the_mean_action_is_evaluated_unless_somebody_wants_another(explore: bool | None) -> None:
    asked = {"num_envs_per_env_runner": 1} | ({} if explore is None else {"explore": explore})
    its = config().evaluation(evaluation_interval=1, evaluation_config=asked)
    assert its.get_evaluation_config_object().explore is bool(explore)
    assert its.explore


def test_a_generic_config_has_none_of_our_options() -> None:
    assert not hasattr(AlgorithmConfig(), "temperature")
