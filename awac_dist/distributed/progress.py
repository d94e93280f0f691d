"""What the driver tells others: how far a run is, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from awac_dist.distributed.rate_limiter import RateLimiter
from awac_dist.evaluation.result import Evaluation
from awac_dist.types import RolloutReport, UpdateReport


class Stopped(Exception):  # noqa: N818 - no error: somebody asked, or a condition was met
    """The run ends early, in order; says why.

    Attributes:
        in_a_hurry: Whether there is no time for a last evaluation.
    """

    def __init__(self, reason: str, *, in_a_hurry: bool = False) -> None:
        super().__init__(reason)
        self.in_a_hurry = in_a_hurry


class Observer(Protocol):
    """Who wants to know how the run goes."""

    def phase(self, name: str, total: int, unit: str) -> None: ...
    def updated(self, report: UpdateReport) -> None: ...
    def collected(self, report: RolloutReport, lag: int) -> None: ...
    def evaluated(self, evaluation: Evaluation) -> None: ...
    def note(self, line: str) -> None: ...
    def tick(self) -> None: ...


@dataclass
class Progress:
    """What a run has done so far; it belongs into every checkpoint."""

    phase: str = "start"
    env_steps: int = 0  # env.step calls of the online phase that the replay accepted
    grad_steps: int = 0
    online_from: int = 0  # grad_steps when the online phase began
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(1.0, 0.0))
