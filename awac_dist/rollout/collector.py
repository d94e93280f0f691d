"""Steps a few environments side by side and cuts what happens into fragments of episodes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from traceback import format_exception

import numpy as np

from awac_dist.envs.guard import MAX_FAULTS, EnvironmentFault
from awac_dist.envs.make import make_task
from awac_dist.errors import RunFailed
from awac_dist.floats import all_usable
from awac_dist.messages import Finished, StreamState
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.policy import NO_MEMORY, Policy
from awac_dist.rollout.slot import MakeEnv, Slot, stacked
from awac_dist.rollout.watchdog import Watchdog
from awac_dist.types import Array, EnvSpec, Episode, Kind


@dataclass
class Collected:
    """What a call recorded."""

    fragments: list[Episode] = field(default_factory=list)  # in the order in which they were cut
    finished: list[Finished] = field(default_factory=list)  # totals of the episodes that ended
    faults: list[str] = field(default_factory=list)  # why each dropped episode was dropped
    trace: str = ""  # how the first of them came to be, in full
    env_s: float = 0.0  # in the environments
    policy_s: float = 0.0  # in the policy


class Collector:
    """E environments and the stream of episodes that they produce.

    Episode numbers are dealt to environments in the order in which they finish their last
    one, and everything random follows from (*stream, episode number).

    An environment that raises, or gives what is no finite number, loses what was recorded of
    its episode since the last call; it is made anew and begins the next episode.

    Args:
        stream: (the run's seed, number of the worker, how often it was replaced).
        noise: What the policy's samples are made of; None: it acts by its mean.
        watchdog: Is told of every call into an environment.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        stream: Sequence[int],
        *,
        noise: MakeNoise | None = WhiteNoise,
        make_env: MakeEnv = make_task,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._spec, self._stream = spec, tuple(stream)
        self._watchdog, self._by_mean = watchdog or Watchdog(None), noise is None
        with self._watchdog:
            parts = spec, noise or WhiteNoise, make_env, self._watchdog.beat
            self._slots = [Slot(*parts) for _ in range(num_envs)]
        self.next_episode, self._fresh = 0, True

    def close(self) -> None:
        """Close the environments."""
        for slot in self._slots:
            slot.close()

    def state(self) -> StreamState:
        """Where the stream of episodes is, after a call."""
        slots = [] if self._fresh else self._slots
        under_way = tuple((slot.episode, slot.steps) for slot in slots)
        memories = tuple(tuple(slot.memory.tolist()) for slot in slots)
        _, worker, incarnation = self._stream
        return StreamState(worker, incarnation, self.next_episode, under_way, memories)

    def resume(self, state: StreamState, fragments: Sequence[Sequence[Episode]]) -> None:
        """Go on with a stream of this worker, with what was recorded of each episode under way.

        Raises:
            RunFailed: An environment does not repeat what it did.
        """
        self._stream = (self._stream[0], self._stream[1], state.incarnation)
        self.next_episode, self._fresh = state.next_episode, not state.under_way
        memories = state.memories or [()] * len(state.under_way)
        places = zip(self._slots, state.under_way, memories, fragments, strict=False)
        with self._watchdog:
            for slot, (episode, _), memory, recorded in places:
                try:
                    slot.go_on(self._stream, episode, recorded)
                except EnvironmentFault as fault:
                    raise RunFailed(
                        f"environment {self._spec.env_id} cannot be put back into episode "
                        f"{episode}: {fault}; resume with another number of workers to begin new "
                        "ones"
                    ) from fault
                slot.env_s, slot.memory = 0.0, np.array(memory, np.float32)

    def collect_steps(
        self, policy: Policy, steps: int, kind: Kind, num_envs: int | None = None
    ) -> Collected:
        """Record exactly `steps` steps in each environment, or the first `num_envs`.

        Episodes go on over the calls. What a fault loses is made up for in a later episode.

        Raises:
            RunFailed: An environment failed in too many episodes in a row, or the policy gives
                what is no finite number.
        """
        slots = self._slots[:num_envs]
        with self._recording() as collected:
            if self._fresh:
                for slot in self._slots:
                    self._begin(slot, collected)
                self._fresh = False
            for slot in slots:
                slot.recorded = 0
            while behind := [slot for slot in slots if slot.recorded < steps]:
                self._step(behind, policy, kind, collected, restart=True)
        for slot in slots:
            collected.fragments += slot.cut(kind, policy.version)
        return collected

    def collect_episodes(self, policy: Policy, count: int, kind: Kind) -> Collected:
        """Record `count` whole episodes; raises as `collect_steps` does."""
        self._fresh = True
        with self._recording() as collected:
            while len(collected.finished) < count:
                wave = self._slots[: count - len(collected.finished)]
                for slot in wave:
                    self._begin(slot, collected)
                while wave:
                    wave = self._step(wave, policy, kind, collected, restart=False)
        return collected

    @contextmanager
    def _recording(self) -> Iterator[Collected]:
        collected = Collected()
        with self._watchdog:
            yield collected
        for slot in self._slots:
            collected.env_s, slot.env_s = collected.env_s + slot.env_s, 0.0

    def _begin(self, slot: Slot, collected: Collected) -> None:
        """Begin the stream's next episode, or the next that can be begun."""
        while True:
            number, self.next_episode = self.next_episode, self.next_episode + 1
            try:
                slot.begin(self._stream, number)
                return
            except EnvironmentFault as fault:
                self._drop(slot, fault, collected)

    def _drop(self, slot: Slot, fault: EnvironmentFault, collected: Collected) -> None:
        slot.drop()
        collected.faults.append(str(fault))
        collected.trace = collected.trace or "".join(format_exception(fault.__cause__ or fault))
        if slot.faults_in_a_row == MAX_FAULTS:
            raise RunFailed(
                f"environment {self._spec.env_id} failed in {MAX_FAULTS} episodes in a row; "
                f"the last: {fault}"
            ) from fault

    def _step(
        self, slots: list[Slot], policy: Policy, kind: Kind, collected: Collected, *, restart: bool
    ) -> list[Slot]:
        """One step of each; returns the slots that are in an episode afterwards."""
        actions = self._actions(slots, policy, collected)
        running, bounded = [], self._spec.bounded(actions)
        for slot, action, inside in zip(slots, actions, bounded, strict=True):
            try:
                terminated, truncated = slot.step(action, inside)
            except EnvironmentFault as fault:
                self._drop(slot, fault, collected)
                self._begin(slot, collected)
            else:
                if terminated or truncated:
                    collected.fragments += slot.cut(kind, policy.version, terminated, truncated)
                    collected.finished.append(slot.end())
                    if not restart:
                        continue
                    self._begin(slot, collected)
            running.append(slot)
        return running

    def _actions(self, slots: Sequence[Slot], policy: Policy, collected: Collected) -> Array:
        """What the policy does in each [n, A]; it changes what the slots keep for it."""
        seen = stacked([slot.observation for slot in slots])
        noise = None if self._by_mean else stacked([s.noise(policy.noise_size) for s in slots])
        memory = _memory(slots, policy.memory_size) if policy.memory_size else NO_MEMORY
        self._watchdog.beat()  # the policy's time is not that of the step before
        began = time.perf_counter()
        actions = policy.mean(seen, memory) if noise is None else policy.sample(seen, noise, memory)
        collected.policy_s += time.perf_counter() - began
        if not all_usable(actions):
            raise RunFailed(f"policy version {policy.version} gives NaN or infinite actions")
        return actions


def _memory(slots: Sequence[Slot], size: int) -> Array:
    """What the policy keeps in each [n, M]: rows that stay the slots', to be changed in place."""
    nothing = np.zeros(size, np.float32)
    memory = stacked([slot.memory if len(slot.memory) else nothing for slot in slots])
    for slot, row in zip(slots, memory, strict=True):
        slot.memory = row
    return memory
