"""What an evaluation found, and how sure one may be of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Evaluation:
    """Whole episodes of one policy.

    Attributes:
        label: What was evaluated, such as "clone" or "online".
        policy_version: grad_steps behind the policy.
        returns: Undiscounted return of each episode.
        lengths: Steps of each episode.
        successes: 1 for an episode whose last step was a success; empty if the task does not say.
    """

    label: str
    policy_version: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    successes: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        return float(np.mean(self.returns))

    @property
    def half_width(self) -> float:
        """Half of the 95 % confidence interval of the mean return (Student's t)."""
        count = len(self.returns)
        if count < 2:
            return float("inf")
        return float(stdtrit(count - 1, 0.975) * np.std(self.returns, ddof=1) / np.sqrt(count))
