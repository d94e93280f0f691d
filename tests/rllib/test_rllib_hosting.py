"""Classes that are made for each method, of one's own, too, wherever they are loaded."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from running import write_demonstrations

from awac_dist import algorithms
from awac_dist.algorithms import METHODS
from awac_dist.errors import InputError
from awac_dist.rllib import AWAC, BC, BCConfig, host

Register = Callable[[str, str], None]
MINE = """
from dataclasses import dataclass
from awac_dist.algorithms import bc

@dataclass(frozen=True)
class MineConfig(bc.BCConfig):
    '''Of a method of one's own.'''
    mark: float = 1.0

class Mine(bc.BC):
    '''It knows its options.'''
    Config = MineConfig
"""
WRITE = """
import pickle, sys
from ray import cloudpickle
from awac_dist.algorithms import register_method
register_method("mine", "mine:Mine")
from awac_dist.rllib import Mine, MineConfig
config = MineConfig().training(mark=2.0)
parts = [module.dumps((Mine, MineConfig, config)) for module in (pickle, cloudpickle)]
pickle.dump(parts, open(sys.argv[1], "wb"))
"""
READ = """
import pickle, sys
for part in pickle.load(open(sys.argv[1], "rb")):
    algorithm, kind, config = pickle.loads(part)
    assert type(config) is kind is algorithm.config_class and config.algo_class is algorithm
    print(algorithm.__name__, algorithm.method, config.as_run().algorithm.mark)
from awac_dist.rllib import Mine, MineConfig
assert (Mine, MineConfig) == (algorithm, kind)
"""
TRAIN = """
import sys
import ray, torch
torch.set_num_threads(1)
ray.init(sys.argv[1], log_to_driver=False)
from awac_dist.algorithms import register_method
register_method("mine", "mine:Mine")
from awac_dist.rllib import Mine, MineConfig
config = MineConfig().environment("Pendulum-v1").prior_data([sys.argv[2]])
config.training(num_offline_updates=3, train_batch_size_per_learner=16, updates_per_step=0.1)
config.rl_module(model_config={"actor": {"hidden": [8]}})
config.env_runners(num_env_runners=1, num_cpus_per_env_runner=0.5, rollout_fragment_length=20)
algorithm = config.build_algo()
print([int(algorithm.train()["num_grad_steps_lifetime"]) for _ in range(2)])
algorithm.stop()
from ray import tune
stop = tune.RunConfig(storage_path=sys.argv[3], stop={"training_iteration": 1})
config.env_runners(num_env_runners=0)
results = tune.Tuner("Mine", param_space=config, run_config=stop).fit()
print([int(result.metrics["num_grad_steps_lifetime"]) for result in results])
"""


@pytest.fixture
def registered() -> Iterator[Register]:
    """Registers methods for this test."""
    known = dict(METHODS)
    yield algorithms.register_method
    for name in METHODS.keys() - known.keys():
        del METHODS[name]


def run(folder: Path, source: str, *words: str) -> str:
    """What a program prints that lies beside a module with a method."""
    (folder / "mine.py").write_text(MINE)
    (folder / "program.py").write_text(source)
    command = [sys.executable, str(folder / "program.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("module", [pickle, cloudpickle])
def test_each_hosted_class_is_itself_again(module: Any) -> None:
    for method in METHODS:
        for each in (host(method), host(method).config_class):
            assert pickle.loads(module.dumps(each)) is each


class Derived(BC):
    """Of somebody who goes on from a hosted class."""


class DerivedConfig(BCConfig):
    """Its options."""


@pytest.mark.parametrize("module", [pickle, cloudpickle])
def test_a_class_that_somebody_derives_stays_what_it_is(module: Any) -> None:
    for each in (Derived, DerivedConfig):
        assert pickle.loads(module.dumps(each)) is each


def test_a_process_that_loads_a_class_knows_its_method(tmp_path: Path) -> None:
    run(tmp_path, WRITE, str(tmp_path / "parts.pkl"))
    assert run(tmp_path, READ, str(tmp_path / "parts.pkl")) == "Mine mine 2.0\n" * 2


@pytest.mark.ray
@pytest.mark.slow
def test_env_runners_and_tune_know_it(ray_session: None, tmp_path: Path) -> None:
    data = write_demonstrations(tmp_path / "prior.parquet")
    session = ray.get_runtime_context().gcs_address
    printed = run(tmp_path, TRAIN, session, data, str(tmp_path / "tune")).splitlines()
    assert "[3, 5]" in printed
    assert "[3]" in printed


def test_what_a_process_registered_itself_stays(registered: Register) -> None:
    registered("mine", "mine:Mine")
    algorithms.adopt_method("mine", "elsewhere:Other")
    algorithms.adopt_method("other", "elsewhere:Other")
    assert METHODS["mine"] == "mine:Mine"
    assert METHODS["other"] == "elsewhere:Other"


def test_a_name_that_is_taken_is_refused(registered: Register) -> None:
    registered("second", "mine:AWAC")
    with pytest.raises(InputError, match="AWAC is that of awac: give the class of mine:AWAC anoth"):
        host("second")
    assert host("awac") is AWAC
    registered("third", "mine:InputError")
    with pytest.raises(InputError, match="InputError is no method's"):
        host("third")
    with pytest.raises(InputError, match="no algorithm awak; did you mean awac"):
        host("awak")
