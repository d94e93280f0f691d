"""`AWACConfig`: the method's options under RLlib's methods, and what is refused.

.environment(...)                 any task with flat observations and bounded actions
.prior_data([...])                every format that `--data` of the command line reads
.training(...)                    the options below, and RLlib's own (gamma, grad_clip, ...)
.rl_module(model_config={...})    `actor` and `critic`, with fields of `awac_dist.nn.config`
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from awac_dist.algorithms import awac
from awac_dist.config import OnlineConfig, RunConfig
from awac_dist.learner.config import LearnerConfig
from awac_dist.nn.config import ActorConfig, CriticConfig, NetworkConfig
from awac_dist.replay.config import ReplayConfig
from awac_dist.rllib.limits import check
from awac_dist.rollout.config import RolloutConfig

DEFAULTS = RunConfig()
METHOD = awac.AWACConfig()
NETWORKS = ("actor", "critic")  # parts of a module's config that say how large they are
OWN = [field.name for field in dataclasses.fields(METHOD) if field.name not in NETWORKS]


class AWACConfig(AlgorithmConfig):
    """How to build an `AWAC`.

    Attributes:
        actor_lr, critic_lr: Step sizes, or RLlib's schedules [[env steps, value], ...]: like
            every schedule of RLlib's they count environment steps, so that their first value
            holds offline.
        actor_weight_decay, target_update_rate: As in `awac_dist.nn.config`.
        num_offline_updates: Gradient steps on the prior data alone, before any sampling.
        updates_per_training_step: Gradient steps of one offline `training_step`.
        updates_per_step: Gradient steps for each environment step, online.
        replay_capacity, mixture: As in `awac_dist.replay.config.ReplayConfig`.
        prior_sources, clip_prior_actions: What `prior_data` was given.

    All fields of `awac_dist.algorithms.awac.AWACConfig` are attributes, too.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        from awac_dist.rllib.algorithm import AWAC

        super().__init__(algo_class=algo_class or AWAC)
        self.lr = None
        self.train_batch_size = DEFAULTS.learner.batch_size
        self.gamma = DEFAULTS.learner.discount
        self.rollout_fragment_length = DEFAULTS.rollout.fragment_steps
        self.normalize_actions = False
        self.clip_actions = True
        self.prior_sources: list[str] = []
        self.clip_prior_actions = DEFAULTS.replay.clip_prior_actions
        for name, value in _defaults().items():
            setattr(self, name, value)

    def training(self, **options: Any) -> AWACConfig:
        """Set options of the training.

        Args:
            options: Those listed above, those of `awac_dist.algorithms.awac.AWACConfig`
                (temperature, effective_batch, weights, ...), and RLlib's own: gamma, grad_clip,
                grad_clip_by, train_batch_size_per_learner, learner_class.

        Raises:
            TypeError: There is no such option.
        """
        own = {name: options.pop(name) for name in _defaults() if name in options}
        super().training(**options)
        for name, value in own.items():
            setattr(self, name, value)
        return self

    def prior_data(
        self, sources: Sequence[str] = NotProvided, *, clip_actions: bool = NotProvided
    ) -> AWACConfig:
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
        check(self)
        super().validate()

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        from awac_dist.rllib.module import AWACTorchRLModule

        return RLModuleSpec(module_class=AWACTorchRLModule)

    def get_default_learner_class(self) -> type:
        from awac_dist.rllib.learner import AWACTorchLearner

        return AWACTorchLearner

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

    def method_options(self) -> awac.AWACConfig:
        """The options of the method, with the step sizes of the start.

        Raises:
            TypeError: `rl_module(model_config=...)` holds something else.
        """
        for name in self._model_config:
            if name not in NETWORKS:
                raise TypeError(f"{name} is not one of {', '.join(NETWORKS)}")
        networks = {name: dict(self._model_config.get(name, {})) for name in NETWORKS}
        for options in networks.values():
            options["hidden"] = tuple(options.get("hidden", NetworkConfig.hidden))
        actor = ActorConfig(
            learning_rate=_first(self.actor_lr),
            weight_decay=self.actor_weight_decay,
            **networks["actor"],
        )
        critic = CriticConfig(
            learning_rate=_first(self.critic_lr),
            target_update_rate=self.target_update_rate,
            **networks["critic"],
        )
        return awac.AWACConfig(actor, critic, **{name: getattr(self, name) for name in OWN})

    def as_run(self) -> RunConfig:
        """The run of our own command line that does the same."""
        return RunConfig(
            env=str(self.env),
            data=tuple(self.prior_sources),
            clone=dataclasses.replace(DEFAULTS.clone, updates=0),
            offline=dataclasses.replace(DEFAULTS.offline, updates=self.num_offline_updates),
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


def _defaults() -> dict[str, Any]:
    """Our own options of `training`, and their defaults."""
    ours: dict[str, Any] = {
        "actor_lr": METHOD.actor.learning_rate,
        "critic_lr": METHOD.critic.learning_rate,
        "actor_weight_decay": METHOD.actor.weight_decay,
        "target_update_rate": METHOD.critic.target_update_rate,
        "num_offline_updates": DEFAULTS.offline.updates,
        "updates_per_training_step": 1_000,
        "updates_per_step": DEFAULTS.online.updates_per_step,
        "replay_capacity": DEFAULTS.replay.capacity,
        "mixture": DEFAULTS.replay.mixture,
    }
    return {name: getattr(METHOD, name) for name in OWN} | ours


def _first(learning_rate: Any) -> float:
    """A fixed learning rate, or the first value of a schedule."""
    return learning_rate if isinstance(learning_rate, int | float) else learning_rate[0][1]
