"""Whole episodes of any policy: an episode's number decides where it starts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from awac_dist.evaluation.result import Evaluation, evaluation_of
from awac_dist.messages import Finished, WeightsReader
from awac_dist.policies import make_policy
from awac_dist.policies.policy import Policy
from awac_dist.rollout.collector import Collector
from awac_dist.rollout.watchdog import Watchdog
from awac_dist.types import EnvSpec

SEED_STREAM = 0x5EED  # keeps evaluation seeds apart from those of the rollout workers
SIDE_BY_SIDE = 10


def stream_of(seed: int) -> tuple[int, int]:
    """What an evaluation's collector draws from: episode n always starts from the same state."""
    return seed, SEED_STREAM


def play(
    collector: Collector, policy: Policy, first: int, count: int, faults: list[str]
) -> Iterator[Finished]:
    """Play whole episodes as `numbered` does, and yield them in order."""
    return (episode for _, episode in numbered(collector, policy, first, count, faults))


def numbered(
    collector: Collector, policy: Policy, first: int, count: int, faults: list[str]
) -> Iterator[tuple[int, Finished]]:
    """Play `count` whole episodes from number `first` on, and yield each with its number.

    One whose environment fails is dropped, which `faults` is told, and the next number played.
    """
    collector.next_episode = first
    while count > 0:
        wave = collector.collect_episodes(policy, min(count, SIDE_BY_SIDE), "prior")
        numbers = [fragment.origin.episode for fragment in wave.fragments]
        yield from sorted(zip(numbers, wave.finished, strict=True))
        faults += wave.faults
        count -= len(wave.finished)


class Evaluator:
    """Evaluates what the learner published: the mean action, on the same seeds every time.

    A plain object; `distributed.actors` gives it a process of its own.

    Args:
        seed: The run's.
        step_timeout_s: As a rollout worker's.
    """

    owns_process = False

    def __init__(
        self,
        spec: EnvSpec,
        weights: WeightsReader,
        *,
        seed: int,
        num_envs: int = SIDE_BY_SIDE,
        step_timeout_s: float | None = None,
    ) -> None:
        self._env_id, self._weights = spec.env_id, weights
        watchdog = Watchdog(step_timeout_s if self.owns_process else None)
        self._collector = Collector(spec, num_envs, stream_of(seed), noise=None, watchdog=watchdog)
        self._policy: Policy | None = None
        self._playing: Iterator[Finished] | None = None
        self._played, self._faults = list[Finished](), list[str]()

    def ready(self) -> None:
        """Answers once its environments are made."""

    def load(self) -> int | None:
        """Take the newest policy and return its version: what `run` will evaluate.

        None where nobody keeps one, because nothing was published or the weight store died.
        """
        self._playing = None
        newest = self._weights.pull(-1)
        if newest is None:
            return None
        self._policy = make_policy(newest.spec, newest.vector, newest.version)
        return newest.version

    def run(self, label: str, episodes: int) -> Evaluation | None:
        """Evaluate the loaded policy over `episodes` whole episodes.

        Plays some of them, so that nobody waits long; to be called again where it returns None.

        Raises:
            RunFailed: The environment failed in too many episodes in a row.
        """
        assert self._policy is not None, "load comes first"
        if self._playing is None:
            self._played, self._faults = [], []
            self._playing = play(self._collector, self._policy, 0, episodes, self._faults)
        self._played += islice(self._playing, SIDE_BY_SIDE)
        if len(self._played) < episodes:
            return None
        self._playing = None
        version = self._policy.version
        return evaluation_of(label, version, self._env_id, self._played, self._faults)
