"""Between RLlib's episodes and the replay: one shard and one sampler, without processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from awac_dist.config import RunConfig
from awac_dist.data.sources import open_source
from awac_dist.errors import InputError
from awac_dist.messages import Placement
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.layout import NO_WISHES, Layout
from awac_dist.replay.sampler import ONLINE, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.loading import PriorData
from awac_dist.types import Array, EnvSpec, Episode, Origin


class Replay:
    """Prior data, and what the env runners collect.

    Args:
        spec: The task.
        sources: Prior data, as `--data` takes it.
        config: Capacity and mixture.
        discount: gamma.
        seed: Of the draws.

    Attributes:
        wishes: What batches hold besides their base columns. Each fragment counts as an episode.

    Raises:
        InputError: Prior data cannot be read, or is another task's.
    """

    def __init__(
        self,
        spec: EnvSpec,
        sources: Sequence[str],
        config: ReplayConfig,
        *,
        discount: float,
        seed: int,
    ) -> None:
        self._layout = Layout.of(spec)
        self.wishes = NO_WISHES
        self._capacity = config.capacity
        opened = [open_source(source, spec) for source in sources]
        self._shard = ReplayShard(
            0,
            1,
            spec,
            discount=discount,
            log=None,
            sources=opened,
            config=config,
        )
        self._weights = {source.name: source.weight for source in opened}
        self._prior = PriorData(opened, [self._shard.load()])
        self._restored = self._fragments = 0  # how often, and online fragments since
        self._begin(seed)

    def add(self, episodes: Iterable[SingleAgentEpisode]) -> int:
        """Take what env runners collected; returns the number of steps."""
        fragments = [columns_of(episode) for episode in episodes if len(episode)]
        for fragment in fragments:
            self._insert(**fragment)
        return sum(len(fragment["actions"]) for fragment in fragments)

    def sample(self, first: int, count: int, batch_size: int) -> Array:
        """Batches number `first` and after as one block [count * batch_size, width]."""
        rows = self._sampler.draw(first, batch_size, count).rows
        return self._shard.take(rows, wishes=self.wishes)

    def set_mixture(self, mixture: Mapping[str, float]) -> None:
        """Change the mixture of the batches from now on."""
        self._sampler.set_mixture(mixture)

    def sizes(self) -> dict[str, int]:
        """Transitions in play, by source."""
        return self._sampler.sizes()

    def check_mixture(self, config: RunConfig) -> None:
        """Refuse a mixture of which a source will not be there."""
        self._prior.check_mixture(config)

    def state(self) -> dict[str, Any]:
        """The seed, the sizes of the prior data, and the online fragments that are in play."""
        lengths = np.array([fragment.length for fragment in self._in_play()], np.int64)
        firsts = np.array([fragment.row for fragment in self._in_play()], np.int64)
        rows = [np.arange(first, first + n) for first, n in zip(firsts, lengths, strict=True)]
        block = self._shard.take(np.concatenate([np.empty(0, np.int64), *rows]))
        last = block[np.cumsum(lengths) - 1]
        return {
            "seed": self._seed,
            "prior": self._prior_sizes(),
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
        self._restored, self._fragments = self._restored + 1, 0
        self._begin(state["seed"])
        ends = np.cumsum(state["lengths"])
        for number, (end, length) in enumerate(zip(ends, state["lengths"], strict=True)):
            mine = slice(end - length, end)
            final = state["final_observations"][number]
            self._insert(
                np.vstack((state["observations"][mine], final)),
                state["actions"][mine],
                state["rewards"][mine],
                bool(state["terminated"][number]),
            )

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._sampler = Sampler(seed, self._capacity, self._weights)
        there = self._shard.since(None)
        self._cursor = there.cursor
        self._sampler.add(place for place in there.placements if place.source != ONLINE)

    def _insert(
        self, observations: Array, actions: Array, rewards: Array, terminated: bool
    ) -> None:
        origin = Origin("online", incarnation=self._restored, episode=self._fragments)
        self._fragments += 1
        fragment = Episode(observations, actions, rewards, terminated, not terminated, origin)
        self._shard.insert(fragment, ONLINE)
        [oldest] = self._sampler.oldest_rows(1)
        news = self._shard.since(self._cursor, oldest)
        self._cursor = news.cursor
        self._sampler.add(news.placements)

    def _in_play(self) -> list[Placement]:
        """Online fragments that can be drawn, oldest first."""
        held = {
            fragment.key: fragment
            for fragment in self._shard.since(None).placements
            if fragment.source == ONLINE
        }
        keys = self._sampler.keys().get(ONLINE, np.empty((0, 4), np.int64))
        return [held[key] for key in map(tuple, keys.tolist())]

    def _prior_sizes(self) -> dict[str, int]:
        return {name: size for name, size in self.sizes().items() if name != ONLINE}


def columns_of(episode: SingleAgentEpisode) -> dict[str, Any]:
    """A fragment of an episode as an env runner returns it; actions as the policy chose them."""
    return {
        "observations": np.asarray(episode.get_observations(), np.float32),
        "actions": np.asarray(episode.get_actions(), np.float32),
        "rewards": np.asarray(episode.get_rewards(), np.float32),
        "terminated": bool(episode.is_terminated),
    }
