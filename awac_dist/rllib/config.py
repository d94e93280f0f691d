"""A method's options under RLlib's methods.

.environment(...)                 any task with flat observations and bounded actions
.prior_data([...])                every format that `--data` of the command line reads
.training(...)                    the options below, and RLlib's own (gamma, grad_clip, ...)
.rl_module(model_config={...})    by network (`actor`, `critic`, ...), fields of its config
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from awac_dist.algorithms import config_class
from awac_dist.algorithms.base import MethodConfig
from awac_dist.config import OnlineConfig, RunConfig
from awac_dist.errors import InputError
from awac_dist.learner.config import LearnerConfig
from awac_dist.nn.config import NetworkConfig
from awac_dist.replay.config import ReplayConfig
from awac_dist.rllib.learner import MethodLearner
from awac_dist.rllib.limits import problems
from awac_dist.rllib.module import MethodModule
from awac_dist.rollout.config import RolloutConfig

DEFAULTS = RunConfig()
RATE = "target_update_rate"
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
        replay_capacity, mixture: As in `awac_dist.replay.config.ReplayConfig`.
        prior_sources, clip_prior_actions: What `prior_data` was given.

    All other fields of the method's config are attributes, too.
    """

    method: ClassVar[str]

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or HOSTS[self.method])
        self.lr = None
        self.train_batch_size = DEFAULTS.learner.batch_size
        self.gamma = DEFAULTS.learner.discount
        self.rollout_fragment_length = DEFAULTS.rollout.fragment_steps
        self.normalize_actions = False
        self.clip_actions = True
        self.prior_sources: list[str] = []
        self.clip_prior_actions = DEFAULTS.replay.clip_prior_actions
        for name, value in self._defaults().items():
            setattr(self, name, value)

    def training(self, **options: Any) -> Self:
        """Set options of the training.

        Args:
            options: Those listed above, those of the method (temperature, expectile, ...), and
                RLlib's own: gamma, grad_clip, grad_clip_by, train_batch_size_per_learner,
                learner_class.

        Raises:
            TypeError: There is no such option.
        """
        own = {name: options.pop(name) for name in self._defaults() if name in options}
        super().training(**options)
        for name, value in own.items():
            setattr(self, name, value)
        return self

    def prior_data(
        self, sources: Sequence[str] = NotProvided, *, clip_actions: bool = NotProvided
    ) -> Self:
        """Say what to learn from offline.

        Args:
            sources: Files, folders, globs, embedded datasets, folders of earlier runs, with
                options after commas, as `--data` of the command line takes them.
            clip_actions: Clip their actions to the task's bounds.
        """
        if sources is not NotProvided:
            self.prior_sources = [sources] if isinstance(sources, str) else list(sources)
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
            "algorithm": self.method_options(),
            "spread": self.num_learners > 1,
        }

    def fixed_seed(self) -> int:
        """The seed of the config, or a fresh one."""
        return secrets.randbits(32) if self.seed is None else self.seed

    def method_options(self) -> MethodConfig:
        """The options of the method, with the step sizes of the start.

        Raises:
            TypeError: `rl_module(model_config=...)` holds something else.
        """
        default, networks = self.method_defaults(), self.networks()
        for name in self._model_config:
            if name not in networks:
                raise TypeError(f"{name} is not one of {', '.join(networks)}")
        values: dict[str, Any] = {name: self._network(name) for name in networks}
        others = vars(default).keys() - networks
        return replace(default, **values, **{name: getattr(self, name) for name in others})

    def _network(self, name: str) -> NetworkConfig:
        sizes, default = dict(self._model_config.get(name, {})), self.networks()[name]
        if "hidden" in sizes:
            sizes["hidden"] = tuple(sizes["hidden"])
        if hasattr(default, RATE):
            sizes[RATE] = self.target_update_rate
        rate, decay = getattr(self, f"{name}_lr"), getattr(self, f"{name}_weight_decay")
        if not isinstance(rate, int | float):
            rate = rate[0][1]  # the first value of a schedule
        return replace(default, learning_rate=rate, weight_decay=decay, **sizes)

    def as_run(self) -> RunConfig:
        """The run of our own command line that does the same."""
        return RunConfig(
            env=str(self.env),
            data=tuple(self.prior_sources),
            clone=replace(DEFAULTS.clone, updates=0),
            offline=replace(DEFAULTS.offline, updates=self.num_offline_updates),
            online=OnlineConfig(updates_per_step=self.updates_per_step),
            algorithm=self.method_options(),
            replay=ReplayConfig(self.replay_capacity, self.mixture, self.clip_prior_actions),
            learner=LearnerConfig(
                batch_size=self.total_train_batch_size,
                discount=self.gamma,
                updates_per_call=self.updates_per_training_step,
            ),
            rollout=RolloutConfig(self.num_envs_per_env_runner, self.get_rollout_fragment_length()),
        )

    @classmethod
    def method_defaults(cls) -> MethodConfig:
        """The method's options as they are by default."""
        return config_class(cls.method)()

    @classmethod
    def networks(cls) -> dict[str, NetworkConfig]:
        """The networks of the method, by name, as they are by default."""
        parts = vars(cls.method_defaults()).items()
        return {name: part for name, part in parts if isinstance(part, NetworkConfig)}

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Our own options of `training`, and their defaults."""
        found = dict(vars(cls.method_defaults()))
        for name, part in cls.networks().items():
            del found[name]
            found |= {f"{name}_lr": part.learning_rate, f"{name}_weight_decay": part.weight_decay}
            if hasattr(part, RATE):
                found[RATE] = getattr(part, RATE)
        return found | {
            "num_offline_updates": DEFAULTS.offline.updates,
            "updates_per_training_step": 1_000,
            "updates_per_step": DEFAULTS.online.updates_per_step,
            "replay_capacity": DEFAULTS.replay.capacity,
            "mixture": DEFAULTS.replay.mixture,
        }
