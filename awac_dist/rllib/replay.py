"""Between RLlib's episodes and the replay: one shard and one sampler, without processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from awac_dist.config import RunConfig
from awac_dist.data.record import begin
from awac_dist.errors import InputError
from awac_dist.floats import flaw
from awac_dist.messages import Placement
from awac_dist.replay.layout import NO_WISHES, Layout
from awac_dist.replay.normalization import added, statistics
from awac_dist.replay.sampler import ONLINE, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.loading import PriorData
from awac_dist.types import Array, EnvSpec, Episode, Origin


class Replay:
    """Prior data, and what the env runners collect.

    Args:
        spec: The task.
        run: The run of our own command line that does the same.
        seed: Of the draws.
        folder: What relative paths of data are relative to.

    Attributes:
        sampler: Draws.
        statistics: Shift and scale of observations, where they are to be normalised.
        wishes: What batches hold besides their base columns. Each fragment counts as an episode.

    Raises:
        InputError: Prior data cannot be read, is another task's, or lacks a source of the mixture.
    """

    def __init__(self, spec: EnvSpec, run: RunConfig, seed: int, folder: str = "") -> None:
        self._env_id = spec.env_id
        self._layout, self.wishes = Layout.of(spec), NO_WISHES
        self._capacity, discount = run.replay.capacity, run.learner.discount
        anonymous = spec.env_id not in gymnasium.registry  # a name of Ray's says nothing of a task
        data = [f"{argument},task=any" if anonymous else argument for argument in run.data]
        sources = begin(data, spec, folder)
        self._shard = ReplayShard(
            0, 1, spec, discount=discount, log=None, sources=sources, config=run.replay
        )
        loaded = self._shard.load()
        prior, normalized = PriorData(sources, [loaded]), run.replay.normalize_observations
        prior.check_mixture(run)
        for line in prior.doubts(None, normalized=normalized):
            logging.getLogger(__name__).warning(line)
        self.statistics = statistics(added(loaded.sums)) if sources and normalized else None
        self._weights = {source.name: source.weight for source in sources}
        self._digests = [file.digest for source in sources for file in source.files]
        self._restored = self._fragments = 0  # how often, and online fragments since
        self._begin(seed)

    def add(self, episodes: Sequence[SingleAgentEpisode]) -> int:
        """Take what env runners collected, actions as chosen; returns the number of steps.

        Raises:
            InputError: It holds what cannot be learned from, or is longer than the capacity.
        """
        for episode in filter(len, episodes):
            self._check(episode)
            self._insert(
                np.asarray(episode.get_observations(), np.float32),
                np.asarray(episode.get_actions(), np.float32),
                np.asarray(episode.get_rewards(), np.float32),
                bool(episode.is_terminated),
            )
        return sum(map(len, episodes))

    def sample(self, first: int, count: int, batch_size: int) -> Array:
        """Batches number `first` and after as one block [count * batch_size, width]."""
        rows = self.sampler.draw(first, batch_size, count).rows
        return self._shard.take(rows, wishes=self.wishes)

    def state(self) -> dict[str, Any]:
        """The seed, the sizes of the prior data, and the online fragments that are in play."""
        places = self._in_play()
        lengths = np.array([place.length for place in places], np.int64)
        rows = [np.arange(place.row, place.row + place.length) for place in places]
        block = self._shard.take(np.concatenate([np.empty(0, np.int64), *rows]))
        last = block[np.cumsum(lengths) - 1]
        return {
            "seed": self._seed,
            "prior": self._prior_sizes(),
            "digests": self._digests,
            "lengths": lengths,
            "observations": block[:, self._layout.observations],
            "actions": block[:, self._layout.actions],
            "rewards": block[:, self._layout.rewards],
            "final_observations": last[:, self._layout.next_observations],
            "terminated": last[:, self._layout.discounts] == 0,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Draw as the replay does of which this is the state.

        Raises:
            InputError: The prior data is not what it was.
        """
        if self._prior_sizes() != state["prior"]:
            raise InputError(
                f"prior_data: its transitions are {self._prior_sizes()}, but the checkpoint was "
                f"written with {state['prior']}: put it back as it was"
            )
        if self._digests != state.get("digests", self._digests):
            raise InputError(
                "prior_data: is not what it was when the checkpoint was written: put it back"
            )
        self._restored, self._fragments = self._restored + 1, 0
        self._begin(state["seed"])
        for number, end in enumerate(np.cumsum(state["lengths"])):
            mine = slice(end - state["lengths"][number], end)
            final = state["final_observations"][number]
            self._insert(
                np.vstack((state["observations"][mine], final)),
                state["actions"][mine],
                state["rewards"][mine],
                bool(state["terminated"][number]),
            )

    def _begin(self, seed: int) -> None:
        self._seed, self.sampler = seed, Sampler(seed, self._capacity, self._weights)
        there = self._shard.since(None)
        self._cursor = there.cursor
        self.sampler.add(place for place in there.placements if place.source != ONLINE)

    def _check(self, episode: SingleAgentEpisode) -> None:
        """Refuse numbers of the task that are not finite, before they are in float32."""
        start, observations = episode.t_started, np.asarray(episode.get_observations())
        if found := flaw(observations):
            (row, column), words = found
            what, step = f"column {column} of the observation", start + row
        elif found := flaw(episode.get_rewards()):
            (row,), words = found
            what, step = "the reward", start + row + 1
        else:
            return
        place = f"{self._env_id}: after {step} steps of an episode"
        raise InputError(f"{place}, {what} is {words}: mend the environment, or wrap it")

    def _insert(
        self, observations: Array, actions: Array, rewards: Array, terminated: bool
    ) -> None:
        if self._capacity <= len(actions):
            raise InputError(
                f"replay_capacity: {self._capacity} is not above the {len(actions)} steps of a "
                "fragment, an episode if batch_mode is complete_episodes: raise it, or end them "
                "sooner"
            )
        origin = Origin("online", incarnation=self._restored, episode=self._fragments)
        self._fragments += 1
        fragment = Episode(observations, actions, rewards, terminated, not terminated, origin)
        self._shard.insert(fragment, ONLINE)
        [oldest] = self.sampler.oldest_rows(1)
        news = self._shard.since(self._cursor, oldest)
        self._cursor = news.cursor
        self.sampler.add(news.placements)

    def _in_play(self) -> list[Placement]:
        """Online fragments that can be drawn, oldest first."""
        held = {(place.source, place.key): place for place in self._shard.since(None).placements}
        keys = self.sampler.keys().get(ONLINE, np.empty((0, 4), np.int64))
        return [held[ONLINE, tuple(key)] for key in keys.tolist()]

    def _prior_sizes(self) -> dict[str, int]:
        return {name: size for name, size in self.sampler.sizes().items() if name != ONLINE}
