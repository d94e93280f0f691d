"""A method's options under RLlib's methods.

.environment(...)                 any task with flat observations and bounded actions
.prior_data([...])                every format that `--data` of the command line reads
.training(...)                    the options below, and RLlib's own (gamma, grad_clip, ...)
.rl_module(model_config={...})    by network (`actor`, `critic`, ...), fields of its config
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from awac_dist.algorithms import config_class
from awac_dist.config import CloneConfig, RunConfig
from awac_dist.errors import InputError
from awac_dist.learner.config import LearnerConfig
from awac_dist.nn.config import NetworkConfig
from awac_dist.rllib.learner import MethodLearner
from awac_dist.rllib.limits import problems
from awac_dist.rllib.module import MethodModule

OPTIONS = {  # of `training`, and where they stand in a `RunConfig`; those of the method join them
    "num_offline_updates": "offline.updates",
    "updates_per_training_step": "learner.updates_per_call",
    "updates_per_step": "online.updates_per_step",
    "replay_capacity": "replay.capacity",
    "normalize_observations": "replay.normalize_observations",
    "mixture": "replay.mixture",
}
RATE = "target_update_rate"
NOT_STATE = ("algo_class", "_is_frozen")  # attributes of a config that are no settings
Paths = Sequence[str | os.PathLike[str]]
HOSTS: dict[str, type] = {}  # the Algorithm of each method; no attribute of its config, since Ray
# walks through the attributes of a class, classes among them, until it has seen all


class OfflineToOnlineConfig(AlgorithmConfig):
    """How to build the Algorithm of one method: `AWACConfig`, `IQLConfig`, ...

    Attributes:
        method: Its name in the registry.
        actor_lr, critic_lr, ...: Step sizes of each network, or RLlib's schedules
            [[env steps, value], ...]: like every schedule of RLlib's they count environment
            steps, so that their first value holds offline.
        actor_weight_decay, ..., target_update_rate: As in `awac_dist.nn.config`.
        num_offline_updates: Gradient steps on the prior data alone, before any sampling.
        updates_per_training_step: Gradient steps of one offline `training_step`.
        updates_per_step: Gradient steps for each environment step, online.
        replay_capacity, normalize_observations, mixture: As in
            `awac_dist.replay.config.ReplayConfig`; nothing is normalised without prior data.
        prior_sources, clip_prior_actions: What `prior_data` was given.
        prior_folder: What their relative paths are relative to.

    All other fields of the method's config are attributes, too.
    """

    method: ClassVar[str]

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or HOSTS[self.method])
        run = self._run()
        self.lr = None
        self.train_batch_size = run.learner.batch_size
        self.gamma = run.learner.discount
        self.rollout_fragment_length = run.rollout.fragment_steps
        self.normalize_actions = False
        self.clip_actions = True
        self.evaluation_config = {"explore": False}  # the mean action, as it is saved and exported
        self.prior_sources: list[str] = []
        self.prior_folder = ""
        self.clip_prior_actions = run.replay.clip_prior_actions
        for name, path in self.paths().items():
            setattr(self, name, attrgetter(path)(run))

    def training(self, **options: Any) -> Self:
        """Set options of the training.

        Args:
            options: Those listed above, those of the method (temperature, expectile, ...), and
                RLlib's own: gamma, grad_clip, grad_clip_by, train_batch_size_per_learner,
                learner_class.

        Raises:
            TypeError: There is no such option.
        """
        own = {name: options.pop(name) for name in self.paths() if name in options}
        super().training(**options)
        for name, value in own.items():
            setattr(self, name, value)
        return self

    def prior_data(self, sources: Paths = NotProvided, *, clip_actions: bool = NotProvided) -> Self:
        """Say what to learn from offline.

        Args:
            sources: Files, folders, globs, embedded datasets, folders of earlier runs, with
                options after commas, as `--data` of the command line takes them.
            clip_actions: Clip their actions to the task's bounds.
        """
        if sources is not NotProvided:
            listed = [sources] if isinstance(sources, str | os.PathLike) else sources
            self.prior_sources = [os.fspath(source) for source in listed]
            self.prior_folder = os.getcwd()  # Tune runs trials in others
        if clip_actions is not NotProvided:
            self.clip_prior_actions = clip_actions
        return self

    def validate(self) -> None:
        """Refuse what cannot work, and what RLlib or we would ignore.

        Raises:
            InputError: Names the setting and the remedy.
        """
        for setting, problem in problems(self):
            raise InputError(f"{type(self).__name__}: {setting}: {problem}")
        super().validate()

    def get_state(self) -> dict[str, Any]:
        """All attributes, those that are -1, too: RLlib's own takes them for deprecated ones."""
        attributes = {name: its for name, its in vars(self).items() if name not in NOT_STATE}
        return attributes | super().get_state()

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=MethodModule)

    def get_default_learner_class(self) -> type:
        return MethodLearner

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        """What a module is built from, next to sizes of networks."""
        return {
            "seed": self.fixed_seed(),
            "discount": self.gamma,
            "algorithm": self.as_run().algorithm,
            "spread": self.num_learners > 1,
            "normalized": bool(self.normalize_observations and self.prior_sources),
        }

    def fixed_seed(self) -> int:
        """The seed of the config, or a fresh one."""
        return secrets.randbits(32) if self.seed is None else self.seed

    def as_run(self) -> RunConfig:
        """The run of our own command line that does the same, with the step sizes of the start.

        Raises:
            TypeError: `rl_module(model_config=...)` holds what no network has.
        """
        values = {path: getattr(self, name) for name, path in self.paths().items()} | {
            "env": str(self.env),
            "seed": self.seed or 0,
            "data": tuple(self.prior_sources),
            "replay.clip_prior_actions": self.clip_prior_actions,
            "learner.batch_size": self.total_train_batch_size,
            "learner.discount": self.gamma,
            "rollout.envs_per_worker": self.num_envs_per_env_runner,
            "rollout.fragment_steps": self.get_rollout_fragment_length(),
        }
        for network, sizes in self._model_config.items():
            if network not in self.networks():
                raise TypeError(f"{network} is not one of {', '.join(self.networks())}")
            values |= {f"algorithm.{network}.{name}": size for name, size in sizes.items()}
        run = self._run()
        for path, value in values.items():
            if isinstance(value, list | tuple):
                scheduled = path.endswith(".learning_rate")
                value = value[0][1] if scheduled else tuple(value)  # the first of a schedule
            run = _with(run, path, value)
        return run

    @classmethod
    def networks(cls) -> dict[str, NetworkConfig]:
        """The networks of the method, by name, as they are by default."""
        parts = vars(cls._run().algorithm).items()
        return {name: part for name, part in parts if isinstance(part, NetworkConfig)}

    @classmethod
    def _run(cls) -> RunConfig:
        """The run of our own command line where nothing is set."""
        learner = LearnerConfig(updates_per_call=1_000)
        method = config_class(cls.method)()
        return RunConfig(clone=CloneConfig(updates=0), algorithm=method, learner=learner)

    @classmethod
    def paths(cls) -> dict[str, str]:
        """Our own options of `training` -> where they stand in a `RunConfig`."""
        found = dict(OPTIONS)
        for name, part in vars(cls._run().algorithm).items():
            path = f"algorithm.{name}"
            if isinstance(part, NetworkConfig):
                found[f"{name}_lr"] = f"{path}.learning_rate"
                found[f"{name}_weight_decay"] = f"{path}.weight_decay"
            else:
                found[name] = path
            if hasattr(part, RATE):
                found[RATE] = f"{path}.{RATE}"
        return found


def _with(part: Any, path: str, value: Any) -> Any:
    """A config with another value at a dotted path."""
    name, _, rest = path.partition(".")
    return replace(part, **{name: _with(getattr(part, name), rest, value) if rest else value})
