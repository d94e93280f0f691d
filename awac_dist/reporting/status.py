"""Where a run stands, as the screen shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from awac_dist.evaluation.result import Evaluation


@dataclass
class Status:
    """One look at a run.

    Attributes:
        phase: What the run is at: "clone", "collect", "offline", "online", "evaluate".
        done: How much of this phase is done, of `total`, counted in `unit`.
        total: Where this phase ends.
        unit: "updates", "episodes" or "env_steps".
        evaluation: The newest one.
        extras: A few further metrics by their names.
        env_steps_per_s: Of late.
        updates_per_s: Of late.
        elapsed_s: Since the run began.
        remaining_s: Until the whole run ends, None while nobody can tell.
    """

    phase: str = "start"
    done: int = 0
    total: int = 0
    unit: str = ""
    evaluation: Evaluation | None = None
    extras: Mapping[str, float] = field(default_factory=dict)
    env_steps_per_s: float = 0.0
    updates_per_s: float = 0.0
    elapsed_s: float = 0.0
    remaining_s: float | None = None

    @property
    def share(self) -> float:
        """The part of the phase that is done, from 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0


class Rate:
    """Turns a cumulative count into events per second over the last `window_s` seconds.

    Args:
        window_s: How far back the rate looks.
        clock: Seconds that never go back.
    """

    def __init__(self, window_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s, self._clock = window_s, clock
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, count: int) -> float:
        """Note the cumulative count of now and return the rate.

        A count below the one before starts afresh; the first call returns 0.
        """
        now, samples = self._clock(), self._samples
        if samples and count < samples[-1][1]:
            samples.clear()
        samples.append((now, count))
        while len(samples) > 2 and samples[1][0] <= now - self._window_s:
            samples.popleft()
        elapsed = now - samples[0][0]
        return (count - samples[0][1]) / elapsed if elapsed > 0 else 0.0
