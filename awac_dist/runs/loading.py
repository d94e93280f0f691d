"""What the shards read of the prior data, and what a resumed run knows of what it collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from awac_dist.config import CLONE, RunConfig
from awac_dist.data.sources import Source
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import load_progress
from awac_dist.messages import Future, Holdings, Loaded, StreamState
from awac_dist.replay.sampler import OFFLINE, ONLINE
from awac_dist.runs.components import Components
from awac_dist.runs.learning import LearnerSupervisor
from awac_dist.runs.progress import Observer, Progress, repeats


@dataclass(frozen=True)
class PriorData:
    """All shards' shares together.

    Attributes:
        sources: Where it comes from.
        shares: What each shard read.
    """

    sources: Sequence[Source]
    shares: Sequence[Loaded]

    @property
    def demonstrations(self) -> list[str]:
        """Sources that hold nothing else."""
        return [
            source.name
            for source in self.sources
            if self._count("demonstrations", source) == self._count("episodes", source)
        ]

    def described(self, *, clipped: bool) -> Iterator[str]:
        """One line a source.

        Args:
            clipped: Whether actions out of bounds were clipped.
        """
        for source in self.sources:
            outside = self._count("out_of_range", source)
            what = "clipped" if clipped else "kept"
            actions = f"{outside:,} actions out of bounds ({what})"
            yield (
                f"{source.name}: {self._count('episodes', source):,} episodes, "
                f"{self._count('transitions', source):,} transitions, "
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

    def _count(self, what: str, source: Source) -> int:
        return sum(getattr(share, what)[source.name] for share in self.shares)


class Resumption:
    """How a run that was started before goes on: as if nothing had been, or with new streams.

    In sync mode the workers do again what they did after the checkpoint, and the learner hears of
    each fragment when it did. Else everything that was logged is learned from at once.

    Args:
        config: The run.
        components: Who collect, and whether they may do recorded actions again.
        learner: Who draws.
        wait: Gives the answer to a call.
        note: Takes lines for the screen.
    """

    def __init__(
        self,
        config: RunConfig,
        components: Components,
        learner: LearnerSupervisor,
        wait: Callable[[Future], Any],
        note: Callable[[str], None],
    ) -> None:
        self._repeatable, self._workers = components.repeatable, components.workers
        self._config, self._learner = config, learner
        self._wait, self._note = wait, note
        self._repeating = self._diverged = False

    def begin(self) -> Progress:
        """A new run: have the learner draw from the prior data."""
        self._learner.start_rounds(self._workers.positions)
        self._wait(self._learner.open(None))
        return Progress()

    def load(self, checkpoint: str | None, observer: Observer) -> Progress:
        """A run that goes on: have the learner draw from all that is there."""
        progress = Progress()
        state: dict[str, Any] = load_progress(checkpoint) if checkpoint else {}
        if state:
            progress.restore(state)
            observer.restore(state["observer"])
        streams = self._streams(progress)
        same = self._repeatable and repeats(self._config, len(self._workers), state)
        self._learner.start_rounds(streams)
        holdings = self._wait(self._learner.open(checkpoint))
        self._repeating = same and not holdings.strays.fragments
        if self._repeating:
            self._workers.go_on(streams, self._wait)
        else:
            holdings = self._wait(self._learner.register_everything())
            self._learner.start_rounds(self._workers.positions)
        self._tell(holdings, progress)
        return progress

    def worker_died(self) -> None:
        """What follows is not what was: stop repeating once nobody collects."""
        self._diverged = self._repeating

    def round_over(self, progress: Progress) -> None:
        """To be called where nobody collects that takes turns with the learner."""
        if self._diverged:
            self.register_the_rest(progress)
            self._workers.go_on(self._workers.fresh_streams(), self._wait)

    def register_the_rest(self, progress: Progress) -> None:
        """Learn from all that was logged and not done again; nothing is from now on."""
        if self._repeating:
            progress.recount(self._wait(self._learner.register_everything()))
            self._repeating = self._diverged = False

    def _streams(self, progress: Progress) -> list[StreamState]:
        known = {stream.worker: stream for stream in progress.streams}
        return [known.get(n, StreamState.start(n, 0)) for n in range(len(self._workers))]

    def _tell(self, holdings: Holdings, progress: Progress) -> None:
        steps, episodes = progress.env_steps, progress.clone_episodes
        progress.recount(holdings)
        self._note(
            "logged after the checkpoint: "
            f"{progress.clone_episodes - episodes:,} episodes of the clone, "
            f"{progress.env_steps - steps:,} online steps"
        )
