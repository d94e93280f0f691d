"""What the shards read of the prior data and of the log, put in order and told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from awac_dist.config import CLONE, RunConfig
from awac_dist.data.sources import Source
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import load_progress
from awac_dist.messages import Loaded, Placement
from awac_dist.replay.sampler import OFFLINE, ONLINE
from awac_dist.runs.learning import LearnerKeeper
from awac_dist.runs.progress import Observer, Progress, arrangement, repeats


@dataclass(frozen=True)
class PriorData:
    """All shards' shares together.

    Attributes:
        sources: Where it comes from.
        shares: What each shard read.
    """

    sources: Sequence[Source]
    shares: Sequence[Loaded]

    @cached_property
    def places(self) -> list[Placement]:
        """Where its episodes lie, in an order that no number of shards changes."""
        order = {source.name: number for number, source in enumerate(self.sources)}
        placed = [item for share in self.shares for item in share.placed]
        placed.sort(key=lambda item: (order[item[1].source], item[0]))
        return [place for _, place in placed]

    @property
    def logged(self) -> list[Placement]:
        """Where fragments lie that earlier sessions of this run collected."""
        return [place for share in self.shares for place in share.logged]

    @property
    def demonstrations(self) -> list[str]:
        """Sources that hold nothing else."""
        return [
            source.name
            for source in self.sources
            if sum(share.demonstrations[source.name] for share in self.shares)
            == sum(place.source == source.name for place in self.places)
        ]

    def described(self, *, clipped: bool) -> Iterator[str]:
        """One line a source.

        Args:
            clipped: Whether actions out of bounds were clipped.
        """
        for source in self.sources:
            mine = [place for place in self.places if place.source == source.name]
            outside = sum(share.out_of_range[source.name] for share in self.shares)
            what = "clipped" if clipped else "kept"
            actions = f"{outside:,} actions out of bounds ({what})"
            yield (
                f"{source.name}: {len(mine):,} episodes, "
                f"{sum(place.length for place in mine):,} transitions, "
                f"{actions if outside else 'no action out of bounds'}"
            )

    def check_mixture(self, config: RunConfig) -> None:
        """Refuse now what would fail once the online phase begins.

        Raises:
            InputError: A source of the mixture will not be there.
        """
        known = {ONLINE, OFFLINE, *(source.name for source in self.sources)}
        if self.demonstrations and config.clone.updates and config.clone.episodes:
            known.add(CLONE)
        for source in config.replay.mixture or {}:
            if source not in known:
                raise InputError(
                    f"replay.mixture: there will be no transitions of {source!r}, only of "
                    + ", ".join(sorted(known))
                )


class Loader:
    """Tells the learner what it may draw from, as a checkpoint had it in a run that is resumed.

    Args:
        config: The run.
        learner: Who draws.
        observer: Is told, and given back what it knew.
        workers: How many there are.
        checkpoint: Of the run that is resumed, None for a new one.
    """

    def __init__(
        self,
        config: RunConfig,
        learner: LearnerKeeper,
        observer: Observer,
        workers: int,
        checkpoint: str | None,
    ) -> None:
        self._config, self._learner, self._observer = config, learner, observer
        self._workers, self._checkpoint = workers, checkpoint

    def load(self, prior: PriorData) -> Progress:
        """Register everything; returns how far the run is.

        Raises:
            InputError: A source of the mixture will not be there.
            ComponentDied: The learner died over it.
        """
        for line in prior.described(clipped=self._config.replay.clip_prior_actions):
            self._observer.note(line)
        prior.check_mixture(self._config)
        progress = Progress()
        state: dict[str, Any] = {}
        if self._checkpoint is None:
            self._learner.add(prior.places).result()
            others = prior.logged
        else:
            others = self._learner.restore_replay(self._checkpoint)
            state = load_progress(self._checkpoint)
            progress.restore(state)
            self._observer.restore(state["observer"])
        self._learner.set_weights({s.name: s.weight for s in prior.sources}).result()
        if not repeats(self._config, self._workers, state):
            progress.streams = {}
            self._add(others, progress)
        progress.arrangement = arrangement(self._config, self._workers)
        return progress

    def _add(self, fragments: Sequence[Placement], progress: Progress) -> None:
        """Draw from what was logged after the checkpoint, too."""
        in_order = sorted(fragments, key=lambda fragment: (fragment.source == ONLINE, fragment.key))
        self._learner.add(in_order).result()
        online = sum(fragment.length for fragment in fragments if fragment.source == ONLINE)
        progress.env_steps += online
        episodes = {fragment.key[:-1] for fragment in fragments if fragment.source == CLONE}
        progress.clone_episodes += len(episodes)
        self._observer.note(
            f"{len(fragments):,} fragments were logged after the checkpoint: "
            f"{len(episodes):,} episodes of the clone, {online:,} online steps"
        )
