"""The Algorithm: updates on prior data, then env runners sample and the Learner goes on.

    offline   `num_offline_updates` updates, `updates_per_training_step` in each training step
    online    a training step samples once from every env runner, then takes the updates owed

Both phases report under RLlib's metric names; what is not known offline is NaN, so that stop
criteria and schedulers find their metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils import metrics as names

from awac_dist.envs.make import space_spec
from awac_dist.errors import InputError
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import POLICY, find_policy, read_policy, save_policy
from awac_dist.rllib.config import OfflineToOnlineConfig
from awac_dist.rllib.identity import Identity
from awac_dist.rllib.learner import MethodLearner, Names, as_batch
from awac_dist.rllib.replay import Replay
from awac_dist.runs.schedule import RateLimiter
from awac_dist.types import Array

UPDATES_PER_CALL = 25  # of the Learner: they share what RLlib does around a call
IDENTITY, PROGRESS, REPLAY = "identity", "progress", "replay"  # components of the state
OFFLINE_UPDATES, ENV_STEPS, ONLINE_UPDATES = "offline_updates", "env_steps", "online_updates"
NAN = float("nan")
UNKNOWN: dict[str, float] = {  # what env runners report once an episode has ended
    **{f"episode_return_{which}": NAN for which in ("mean", "min", "max")},
    **{f"episode_len_{which}": NAN for which in ("mean", "min", "max")},
    "num_env_steps_sampled_lifetime": 0,
    "num_episodes_lifetime": 0,
}


class OfflineToOnline(Algorithm):
    """Trains one method of the registry: `AWAC`, `IQL`, ...

    Attributes:
        method: Its name in the registry.
        grad_steps: Updates so far, offline and online.
        replay: Where batches come from.
    """

    method: ClassVar[str]
    config_class: ClassVar[type[OfflineToOnlineConfig]]
    config: OfflineToOnlineConfig
    _online: bool | None = None  # unknown

    @classmethod
    def get_default_config(cls) -> OfflineToOnlineConfig:
        return cls.config_class()

    def setup(self, config: OfflineToOnlineConfig) -> None:
        super().setup(config)
        own = self.config
        spec = space_spec(str(own.env), *self.spaces[INPUT_ENV_SINGLE_SPACES])
        self.replay = Replay(spec, own.as_run(), own.fixed_seed(), own.prior_folder)
        self._progress = dict.fromkeys((OFFLINE_UPDATES, ENV_STEPS, ONLINE_UPDATES), 0)
        self.replay.wishes = self._ask(lambda learner: learner.wishes)
        if statistics := self.replay.statistics:
            self.learner_group.foreach_learner(lambda learner: learner.normalize(*statistics))
            self._send_weights()
        self._identity = Identity({"method": self.method, **self._ask(MethodLearner.identity)})
        self._tell_phase(online=False)

    @property
    def grad_steps(self) -> int:
        return self._progress[OFFLINE_UPDATES] + self._progress[ONLINE_UPDATES]

    def step(self) -> dict[str, Any]:
        results = super().step()
        results[names.ENV_RUNNER_RESULTS] = UNKNOWN | results.get(names.ENV_RUNNER_RESULTS, {})
        return results

    def training_step(self) -> None:
        """Take one step of the phase that the training is in."""
        done = self._progress
        left = self.config.num_offline_updates - done[OFFLINE_UPDATES]
        self._tell_phase(online=left <= 0)
        if left > 0:
            self._update(min(left, self.config.updates_per_training_step), OFFLINE_UPDATES)
        else:
            self.replay.sampler.set_mixture(self.config.mixture or {})
            self._collect()
            law = RateLimiter(self.config.updates_per_step)
            owed = law.updates_due(done[ENV_STEPS], done[ONLINE_UPDATES])
            self._update(max(0, owed), ONLINE_UPDATES)  # below 0 where a restore lowered the ratio
        with self.metrics.log_time((names.TIMERS, names.SYNCH_WORKER_WEIGHTS_TIMER)):
            self._send_weights()
        self.metrics.log_value("num_grad_steps_lifetime", self.grad_steps, reduce="max", window=1)
        for source, size in self.replay.sampler.sizes().items():
            self.metrics.log_value((REPLAY, source), size, reduce="max", window=1)

    def _tell_phase(self, *, online: bool) -> None:
        """Have the learners know whether what they learn from is collected meanwhile."""
        if self._online != online:
            self.learner_group.foreach_learner(lambda learner: learner.set_online(online))
            self._online = online
            batches = self._ask(lambda learner: learner.method.batches_per_update)
            self._batches_per_update: int = batches  # others online, with some methods

    def _collect(self) -> None:
        """Sample once from every env runner into the replay."""
        with self.metrics.log_time((names.TIMERS, names.ENV_RUNNER_SAMPLING_TIMER)):
            episodes, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        self.metrics.aggregate(results, key=names.ENV_RUNNER_RESULTS)
        with self.metrics.log_time((names.TIMERS, names.REPLAY_BUFFER_ADD_DATA_TIMER)):
            self._progress[ENV_STEPS] += self.replay.add(episodes)

    def _update(self, count: int, counter: str) -> None:
        """Take `count` gradient steps."""
        sampled = (names.ENV_RUNNER_RESULTS, names.NUM_ENV_STEPS_SAMPLED_LIFETIME)
        timesteps = {names.NUM_ENV_STEPS_SAMPLED_LIFETIME: self.metrics.peek(sampled, default=0)}
        batch_size = self.config.total_train_batch_size
        for start in range(0, count, UPDATES_PER_CALL):
            batches = min(UPDATES_PER_CALL, count - start) * self._batches_per_update
            first = (self.grad_steps + start) * self._batches_per_update
            with self.metrics.log_time((names.TIMERS, names.REPLAY_BUFFER_SAMPLE_TIMER)):
                block = self.replay.sample(first, batches, batch_size)
            with self.metrics.log_time((names.TIMERS, names.LEARNER_UPDATE_TIMER)):
                shares = self._for_learners(block, batches)
                results = self.learner_group.update(**shares, timesteps=timesteps)
            self.metrics.aggregate(results, key=names.LEARNER_RESULTS)
        self._progress[counter] += count

    def _for_learners(self, block: Array, batches: int) -> dict[str, Any]:
        """Each learner's rows [batches * B, width] of the batches in a block."""
        if self.learner_group.is_local:
            return {"batch": as_batch(block)}
        parts = np.split(block.reshape(batches, -1, block.shape[1]), len(self.learner_group), 1)
        return {"batches": [as_batch(part.reshape(-1, block.shape[1])) for part in parts]}

    def _send_weights(self) -> None:
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, inference_only=True
        )

    def get_state(
        self, components: Names = None, *, not_components: Names = None, **kwargs: Any
    ) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(IDENTITY, components, not_components):
            state[IDENTITY] = self._identity.get_state()
        if self._check_component(PROGRESS, components, not_components):
            state[PROGRESS] = dict(self._progress)
        if self._check_component(REPLAY, components, not_components):
            state[REPLAY] = self.replay.state()
        return state

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Those of RLlib's; before them what refuses the checkpoint of another algorithm."""
        return [(IDENTITY, self._identity), *super().get_checkpointable_components()]

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            InputError: It is of another method, of other networks or of other prior data.
        """
        self._identity.set_state(state.get(IDENTITY, self._identity.get_state()))
        super().set_state(state)
        self._progress |= state.get(PROGRESS, {})
        self._tell_phase(online=self._progress[ENV_STEPS] > 0)
        if REPLAY in state:
            self.replay.restore(state[REPLAY])

    def save_policy(self, folder: str) -> str:
        """Write the policy to a folder; returns its path.

        `python -m awac_dist.evaluation FOLDER/policy.npz --env ENV` and `load_policy` read it.
        """
        spec, arrays = self._ask(MethodLearner.acting)
        path = f"{folder}/{POLICY}"
        save_policy(path, spec, arrays, self.grad_steps)
        return path

    def load_policy(self, path: str) -> None:
        """Go on with the policy of a file or checkpoint of ours, or of the newest one of a run.

        Raises:
            InputError: There is none, its shape is another one, or the method starts from none.
        """
        if not self.config.as_run().algorithm.method.adopts:
            raise InputError(f"{path}: this algorithm starts from no policy")
        policy, (own, _) = read_policy(find_policy(path)), self._ask(MethodLearner.acting)
        read = own.normalize_observations
        if (
            not isinstance(policy, NetworkPolicy)
            or replace(policy.spec, normalize_observations=read) != own
        ):
            its = getattr(policy, "spec", type(policy).__name__)
            raise InputError(f"{path}: its policy is a {its}, but this one's is a {own}")
        arrays = policy.arrays
        self.learner_group.foreach_learner(lambda learner: learner.adopt(arrays))
        self._send_weights()

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """What a learner answers; all would answer alike."""
        return next(iter(self.learner_group.foreach_learner(question))).get()
