"""What the shards read of the prior data, and what a resumed run knows of what it collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from awac_dist.config import CLONE, RunConfig
from awac_dist.data.sources import Source
from awac_dist.envs.trial import Trial
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import load_progress, not_of_a_run
from awac_dist.messages import Loaded, StreamState
from awac_dist.replay.extents import covering
from awac_dist.replay.normalization import added
from awac_dist.replay.sampler import OFFLINE, ONLINE
from awac_dist.runs import sanity
from awac_dist.runs.progress import Observer, Progress

if TYPE_CHECKING:  # a plan needs no torch
    from awac_dist.runs.components import Components
    from awac_dist.runs.event_loop import EventLoop
    from awac_dist.runs.learning import LearnerSupervisor


@dataclass(frozen=True)
class PriorData:
    """All shards' shares together."""

    sources: Sequence[Source]
    shares: Sequence[Loaded]  # what each shard read

    @property
    def demonstrations(self) -> list[str]:
        """Sources that hold nothing else."""
        return [
            source.name
            for source in self.sources
            if self._count("demonstrations", source) == self._count("episodes", source)
        ]

    def described(self, limit: int | None, *, clipped: bool) -> Iterator[str]:
        """What a person should hear of each source, a line each.

        Args:
            limit: Steps after which the task's clock cuts an episode.
            clipped: Whether actions out of bounds were.
        """
        for source in self.sources:
            name = source.name
            yield from source.remarks
            if too_long := self._count("too_long", source):
                yield (
                    f"{name}: {too_long:,} of its episodes have more than the task's {limit} "
                    f"steps: are ends missing? {name},episode_steps={limit} cuts there"
                )
            outside = self._count("out_of_range", source)
            kept = "clipped" if clipped else "kept"
            actions = f"{outside:,} action{'s' * (outside != 1)} out of bounds ({kept})"
            yield (
                f"{name}: {self._count('episodes', source):,} episodes, "
                f"{self._count('transitions', source):,} transitions, "
                f"{actions if outside else 'no action out of bounds'}"
            )

    def doubts(self, seen: Trial | None, *, normalized: bool) -> Iterator[str]:
        """What does not look like the task's, of which a trial was `seen`."""
        if not normalized:
            yield from sanity.units(added(sums for share in self.shares for sums in share.sums))
        if seen is None:
            return
        for number, source in enumerate(self.sources):
            extents = covering(share.extents[number] for share in self.shares)
            yield from sanity.meeting(source.name, self._count("episodes", source), extents, seen)

    def check_mixture(self, config: RunConfig) -> None:
        """Refuse now what would fail once the online phase begins.

        Raises:
            InputError: A source of the mixture will not be there.
        """
        known = {ONLINE, *(source.name for source in self.sources)}
        known |= {OFFLINE} if self.sources else set()
        if self.demonstrations and config.clones and config.clone.episodes:
            known.add(CLONE)
        for source in config.replay.mixture or {}:
            if source not in known:
                raise InputError(
                    f"replay.mixture: there will be no transitions of {source!r}, only of "
                    + ", ".join(sorted(known))
                )

    def _count(self, what: str, source: Source) -> int:
        return sum(getattr(share, what)[source.name] for share in self.shares)


@dataclass
class Resumption:
    """How a run begins, or goes on: as if nothing had been, or with new streams.

    In sync mode the workers do again what they did after the checkpoint, and the learner hears of
    each fragment when it did. Else everything that was logged is learned from at once.
    """

    components: Components  # who collect, and whether they may do recorded actions again
    learner: LearnerSupervisor
    loop: EventLoop
    observer: Observer  # goes on from the checkpoint, too

    def __post_init__(self) -> None:
        self._workers = self.components.workers
        self._repeating = self._diverged = False

    def load(self, checkpoint: str | None) -> Progress:
        """Have the learner draw from all that is there; returns how far the run is."""
        progress = Progress()
        if checkpoint is not None:
            state = load_progress(checkpoint)
            try:
                progress.restore(state)
                self.observer.restore(state["observer"])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise not_of_a_run(checkpoint) from error
        if self.components.session:
            self._go_on(progress, checkpoint)
        else:
            self.learner.open(None, self._workers.positions)
        progress.arrangement, progress.streams = self._arrangement(), self._workers.positions
        return progress

    def _go_on(self, progress: Progress, checkpoint: str | None) -> None:
        known = {stream.worker: stream for stream in progress.streams}
        streams = [known.get(n, StreamState(n, 0)) for n in range(len(self._workers))]
        holdings = self.learner.open(checkpoint, streams)
        self._repeating = (
            self.components.spec.repeatable
            and self.components.config.mode == "sync"
            and (checkpoint is None or progress.arrangement == self._arrangement())
            and not holdings.strays.fragments
        )
        if self._repeating:
            self._workers.go_on(streams, self.loop.until)
        else:
            holdings = self.learner.register(everything=True)
        steps, episodes = progress.env_steps, progress.clone_episodes
        progress.recount(holdings)
        self.observer.note(
            "logged after the checkpoint: "
            f"{progress.clone_episodes - episodes:,} episodes of the clone, "
            f"{progress.env_steps - steps:,} online steps"
        )

    def worker_died(self) -> None:
        """What follows is not what was: stop repeating once nobody collects."""
        self._diverged = self._repeating

    def round_over(self, progress: Progress) -> None:
        """To be called where nobody collects that takes turns with the learner."""
        if self._diverged:
            self._workers.go_on(self._workers.fresh_streams(), self.loop.until)
            self.register_the_rest(progress)

    def register_the_rest(self, progress: Progress) -> None:
        """Learn from all that was logged and not done again; nothing is from now on."""
        if self._repeating:
            progress.recount(self.learner.register(everything=True))
            self._repeating = self._diverged = False

    def _arrangement(self) -> list[Any]:
        """What the order in which things are collected, and the fragments' ends, follow from."""
        config, workers = self.components.config, len(self._workers)
        rollout, online = config.rollout, config.online
        cut = [rollout.envs_per_worker, rollout.fragment_steps, online.env_steps]
        return [config.mode, workers, *cut, online.warmup_steps]
