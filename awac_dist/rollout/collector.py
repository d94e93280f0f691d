"""Steps a few environments side by side and cuts what happens into fragments of episodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from awac_dist.errors import RunFailed
from awac_dist.messages import Finished, StreamState
from awac_dist.policies.noise import NoiseProcess, WhiteNoise
from awac_dist.policies.policy import Policy, PolicyFault
from awac_dist.rollout.slot import EnvironmentFault, Slot, all_finite, stacked
from awac_dist.rollout.watchdog import Watchdog
from awac_dist.types import EnvSpec, Episode, Kind

MAX_FAULTS = 5  # episodes of an environment that may fail in a row


@dataclass
class Collected:
    """What a call recorded.

    Attributes:
        fragments: In the order in which they were cut.
        finished: Totals of the episodes that ended.
        faults: Why each dropped episode was dropped.
        env_s: Seconds in the environments.
        policy_s: Seconds in the policy.
    """

    fragments: list[Episode] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    env_s: float = 0.0
    policy_s: float = 0.0


class Collector:
    """E environments and the stream of episodes that they produce.

    Episode numbers are dealt to environments in the order in which they finish their last
    one, and everything random follows from (seed, worker, incarnation, episode number).

    An environment that raises, or gives what is no finite number, loses what was recorded of
    its episode since the last call; it is made anew and begins the next episode.

    Args:
        spec: The task.
        num_envs: E.
        seed: The run's seed.
        worker: Number of the rollout worker.
        incarnation: How often that worker was replaced.
        noise: What the policy's samples are made of.
        watchdog: Is told of every step.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        *,
        seed: int,
        worker: int,
        incarnation: int = 0,
        noise: type[NoiseProcess] = WhiteNoise,
        watchdog: Watchdog | None = None,
    ) -> None:
        stream = self._stream = (seed, worker, incarnation)
        self._env_id = spec.env_id
        self._low = np.array(spec.action_low, np.float32)
        self._high = np.array(spec.action_high, np.float32)
        self._watchdog = watchdog or Watchdog(None)
        with self._watchdog:
            self._slots = [Slot(spec, noise, stream, worker) for _ in range(num_envs)]
        self._next_episode = 0
        self._fresh = True

    def state(self) -> StreamState:
        """Where the stream of episodes is, after a call."""
        _, worker, incarnation = self._stream
        slots = [] if self._fresh else self._slots
        under_way = tuple((slot.episode, slot.steps) for slot in slots)
        return StreamState(worker, incarnation, self._next_episode, under_way)

    def resume(self, state: StreamState, fragments: Sequence[Sequence[Episode]]) -> None:
        """Go on where a stream was, with what was recorded of each episode under way.

        Raises:
            RunFailed: An environment does not repeat what it did.
        """
        with self._watchdog:
            for slot, (episode, _), recorded in zip(
                self._slots, state.under_way, fragments, strict=False
            ):
                self._watchdog.beat()
                try:
                    slot.go_on(episode, recorded)
                    slot.env_s = 0.0
                except EnvironmentFault as fault:
                    raise RunFailed(
                        f"environment {self._env_id} cannot be put back into episode {episode}: "
                        f"{fault}; resume with another number of workers to begin new ones"
                    ) from fault
        self._next_episode, self._fresh = state.next_episode, not state.under_way

    def collect_steps(
        self, policy: Policy, steps: int, kind: Kind, num_envs: int | None = None
    ) -> Collected:
        """Record exactly `steps` steps in each environment; episodes go on over the calls.

        Args:
            policy: Who acts.
            steps: How many; steps that a fault loses are taken again in a later episode.
            kind: What the fragments are.
            num_envs: Have only the first so many environments step.

        Raises:
            RunFailed: An environment failed in too many episodes in a row.
            PolicyFault: The policy gives what is no finite number.
        """
        collected, slots = Collected(), self._slots[:num_envs]
        with self._watchdog:
            if self._fresh:
                self._begin_all(collected)
            for slot in slots:
                slot.recorded = 0
            while behind := [slot for slot in slots if slot.recorded < steps]:
                self._step_all(behind, policy, kind, collected)
        for slot in slots:
            fragment = slot.cut(kind, policy.version, terminated=False, truncated=False)
            if fragment is not None:
                collected.fragments.append(fragment)
        self._count_env_s(collected)
        return collected

    def collect_episodes(self, policy: Policy, count: int, kind: Kind) -> Collected:
        """Record `count` whole episodes, each from its reset to its end.

        Raises:
            RunFailed: An environment failed in too many episodes in a row.
            PolicyFault: The policy gives what is no finite number.
        """
        collected = Collected()
        with self._watchdog:
            while len(collected.finished) < count:
                wave = self._slots[: count - len(collected.finished)]
                for slot in wave:
                    self._begin(slot, collected)
                while wave:
                    wave = self._step_all(wave, policy, kind, collected, restart=False)
        self._fresh = True
        self._count_env_s(collected)
        return collected

    def _count_env_s(self, collected: Collected) -> None:
        for slot in self._slots:
            collected.env_s, slot.env_s = collected.env_s + slot.env_s, 0.0

    def _begin_all(self, collected: Collected) -> None:
        for slot in self._slots:
            self._begin(slot, collected)
        self._fresh = False

    def _begin(self, slot: Slot, collected: Collected) -> None:
        """Begin the stream's next episode, or the next that can be begun."""
        while True:
            self._watchdog.beat()
            number, self._next_episode = self._next_episode, self._next_episode + 1
            try:
                slot.begin(number)
                return
            except EnvironmentFault as fault:
                self._drop(slot, fault, collected)

    def _drop(self, slot: Slot, fault: EnvironmentFault, collected: Collected) -> None:
        slot.drop()
        collected.faults.append(str(fault))
        if slot.faults_in_a_row == MAX_FAULTS:
            raise RunFailed(
                f"environment {self._env_id} failed in {MAX_FAULTS} episodes in a row; "
                f"the last: {fault}"
            ) from fault

    def _step_all(
        self,
        slots: Sequence[Slot],
        policy: Policy,
        kind: Kind,
        collected: Collected,
        *,
        restart: bool = True,
    ) -> list[Slot]:
        """One step of each; returns the slots that are in an episode afterwards."""
        observations = stacked([slot.observation for slot in slots])
        noise = stacked([slot.noise() for slot in slots])
        began = time.perf_counter()
        actions = policy.sample(observations, noise)
        collected.policy_s += time.perf_counter() - began
        if not all_finite(actions):
            raise PolicyFault(f"policy version {policy.version} gives NaN or infinite actions")
        running = []
        bounded = np.minimum(np.maximum(actions, self._low), self._high)
        for slot, action, inside in zip(slots, actions, bounded, strict=True):
            self._watchdog.beat()
            try:
                terminated, truncated = slot.step(action, inside)
            except EnvironmentFault as fault:
                self._drop(slot, fault, collected)
                self._begin(slot, collected)
                running.append(slot)
                continue
            if terminated or truncated:
                self._end(slot, kind, policy.version, (terminated, truncated), collected)
                if not restart:
                    continue
                self._begin(slot, collected)
            running.append(slot)
        return running

    def _end(
        self, slot: Slot, kind: Kind, version: int, ends: tuple[bool, bool], collected: Collected
    ) -> None:
        fragment = slot.cut(kind, version, *ends)
        assert fragment is not None  # there was at least this step
        collected.fragments.append(fragment)
        collected.finished.append(slot.end())
