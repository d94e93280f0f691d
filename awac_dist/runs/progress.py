"""What the driver tells others: how far a run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from awac_dist.config import RunConfig
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import RolloutReport, StreamState, UpdateReport
from awac_dist.runs.rate_limiter import RateLimiter

INCARNATIONS_PER_SESSION = 1_000_000  # a worker cannot die so often


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
    """What a run has done so far; it belongs into every checkpoint.

    Attributes:
        phase: The phase that goes on: load, clone, collect, offline or online.
        grad_steps: Updates of the whole run.
        phase_from: grad_steps when the phase began.
        evaluated_at: grad_steps at the last evaluation of a curve.
        evaluating: Whether that evaluation has not ended yet.
        env_steps: env.step calls of the online phase that the replay accepted.
        clone_episodes: Episodes that the clone has recorded.
        arrangement: Workers, environments of each, steps of a fragment: what the order in which
            things are collected follows from.
        streams: Where each worker's stream of episodes is.
        limiter: Of the online phase.
    """

    phase: str = "load"
    grad_steps: int = 0
    phase_from: int = 0
    evaluated_at: int = 0
    evaluating: bool = False
    env_steps: int = 0
    clone_episodes: int = 0
    arrangement: list[int] = field(default_factory=list)
    streams: dict[int, StreamState] = field(default_factory=dict)
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(1.0, 0.0))

    def state(self) -> dict[str, Any]:
        """Plain numbers and strings for a checkpoint; the limiter's follow from them."""
        state = {name: value for name, value in vars(self).items() if name != "limiter"}
        return {**state, "streams": [tuple(stream) for stream in self.streams.values()]}

    @property
    def has_begun(self) -> bool:
        """Whether anything was learned or collected."""
        return bool(self.grad_steps or self.env_steps)

    def done(self, unit: str) -> int:
        """Updates, episodes or env_steps of the phase so far."""
        return {
            "updates": self.grad_steps - self.phase_from,
            "episodes": self.clone_episodes,
            "env_steps": self.env_steps,
        }[unit]

    def begin_limiter(self, limiter: RateLimiter) -> None:
        """Use a limiter, which then knows what the online phase has done so far."""
        self.limiter = limiter
        self._tell_limiter()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up everything of a checkpoint."""
        for name in self.state():
            setattr(self, name, state[name])
        self.streams = {stream[0]: StreamState(*stream) for stream in state["streams"]}
        self._tell_limiter()

    def _tell_limiter(self) -> None:
        done = self.grad_steps - self.phase_from if self.phase == "online" else 0
        self.limiter.posted = self.limiter.finished = done
        self.limiter.inserted = self.env_steps

    def go_back_to(self, state: Mapping[str, Any]) -> None:
        """Forget updates since a checkpoint; what was collected since then stays."""
        streams = self.streams
        collected = {"env_steps": self.env_steps, "clone_episodes": self.clone_episodes}
        self.restore({**state, **collected})
        self.streams = streams

    def collected(self, report: RolloutReport) -> None:
        """Take note of where a worker's stream is."""
        if report.stream is not None:
            self.streams[report.stream.worker] = report.stream


def first_incarnations(
    config: RunConfig, workers: int, state: Mapping[str, Any], session: int
) -> list[int]:
    """Which incarnations the workers of a run begin with.

    Args:
        config: The run.
        workers: How many there are.
        state: Progress in the newest checkpoint; empty if there is none.
        session: How often the run was started before.
    """
    if not repeats(config, workers, state):
        return [INCARNATIONS_PER_SESSION * session] * workers
    streams = [StreamState(*stream) for stream in state.get("streams", ())]
    known = {stream.worker: stream.incarnation for stream in streams}
    return [known.get(worker, 0) for worker in range(workers)]


def arrangement(config: RunConfig, workers: int) -> list[int]:
    """What the order in which things are collected follows from."""
    return [workers, config.rollout.envs_per_worker, config.rollout.fragment_steps]


def repeats(config: RunConfig, workers: int, state: Mapping[str, Any]) -> bool:
    """Whether workers do again, in a resumed run, what they did after its checkpoint.

    They then bring the same fragments again, which the shards know.

    Args:
        config: The run as it is resumed.
        workers: How many there are now.
        state: Of the checkpoint; empty if there is none.
    """
    if not state:
        return True
    same = state["arrangement"] == arrangement(config, workers)
    return same and (config.mode == "sync" or state["phase"] != "online")
