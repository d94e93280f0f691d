"""What the driver tells others: how far a run is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from awac_dist.config import CLONE
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Holdings, RolloutReport, StreamState, UpdateReport
from awac_dist.replay.sampler import ONLINE

COLLECTED = ("env_steps", "clone_episodes", "streams", "arrangement")


class Observer(Protocol):
    """Who wants to know how the run goes."""

    def phase(self, name: str, total: int, unit: str, done: int = 0) -> None: ...
    def updated(self, report: UpdateReport) -> None: ...
    def collected(self, report: RolloutReport, lag: int) -> None: ...
    def evaluated(self, evaluation: Evaluation) -> None: ...
    def died(self, component: str, reason: str) -> None: ...
    def went_back(self, grad_steps: int, *, evaluating: bool) -> None: ...
    def note(self, line: str) -> None: ...
    def tick(self) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


@dataclass
class Progress:
    """What a run has done so far; it belongs into every checkpoint."""

    phase: str = "load"  # that goes on, one of `phases.NAMES`
    grad_steps: int = 0  # updates of the whole run
    phase_from: int = 0  # grad_steps when the phase began
    let_off: int = 0  # updates of the phase's pauses and lost rounds that were not made
    evaluated_at: int = 0  # grad_steps at the last evaluation of a curve
    evaluating: bool = False  # whether that evaluation has not ended yet
    env_steps: int = 0  # env.step calls of the online phase that the replay accepted
    clone_episodes: int = 0  # that the clone has recorded
    # what the order in which things are collected follows from
    arrangement: list[Any] = field(default_factory=list)
    streams: Sequence[StreamState] = ()  # where each worker's stream of episodes is

    @property
    def updates(self) -> int:
        """Of the phase so far, with those that it was let off."""
        return self.grad_steps - self.phase_from + self.let_off

    def done(self, unit: str) -> int:
        """Updates, episodes or env_steps of the phase so far."""
        done = {"updates": self.updates, "episodes": self.clone_episodes}
        return done.get(unit, self.env_steps)

    def state(self) -> dict[str, Any]:
        """Plain numbers and strings for a checkpoint."""
        return {**vars(self), "streams": [tuple(stream) for stream in self.streams]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up everything of a checkpoint."""
        for name in self.state():
            setattr(self, name, state[name])
        self.streams = [StreamState(*stream) for stream in state["streams"]]

    def go_back_to(self, state: Mapping[str, Any]) -> None:
        """Forget updates since a checkpoint; what was collected since then stays."""
        kept = {name: getattr(self, name) for name in COLLECTED}
        self.restore({**Progress().state(), **state})
        vars(self).update(kept)

    def recount(self, holdings: Holdings) -> None:
        """Count what is registered, where nobody collects."""
        self.env_steps, self.clone_episodes = holdings.steps(ONLINE), holdings.fragments(CLONE)
