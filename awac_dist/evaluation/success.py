"""What counts as a success: three readings of the steps that a task reports as solved.

    success_final       the last step is one
    success_any         some step is one
    success_sustained   at least k steps are, in a row or not

k of the dexterous tasks is that of their authors' `evaluate_success` (Rajeswaran et al., 2018,
https://github.com/aravindr93/mj_envs): more than 20 steps for the pen, more than 25 for door,
relocate and hammer. The AWAC paper does not say what its "success rate" is; its released code logs
the last step, later papers count any step.

Every other task takes `DEFAULT_STEPS`. Pushing has no number of its own in the literature; what is
pushed at full speed (0.02 m a step) straight through its goal (radius 0.06 m) is inside for 6
steps, so 10 say that it stayed there for a while. A task that ends where it is solved reports a
single step: look at success_final there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DEXTEROUS_STEPS = {"Pen": 21, "Door": 26, "Relocate": 26, "Hammer": 26}
DEFAULT_STEPS = 10
_DEXTEROUS_ID = re.compile(
    rf"(?:\w+:)?(?:awac_dist/|AdroitHand)({'|'.join(DEXTEROUS_STEPS)})"
    r"(?:Binary|BinaryReleased|Sparse)?-v\d+"
)


def sustained_steps(env_id: str) -> int:
    """Steps k that `success_sustained` asks for in a task."""
    found = _DEXTEROUS_ID.fullmatch(env_id)
    return DEXTEROUS_STEPS[found[1]] if found else DEFAULT_STEPS


class Share(NamedTuple):
    """So many of so many episodes."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % confidence interval (Wilson, 1927), which stays within 0 and 1."""
        from scipy.stats import binomtest  # 0.6 s and 70 MB, which few processes need

        interval = binomtest(self.hits, self.total).proportion_ci(0.95, method="wilson")
        return float(interval.low), float(interval.high)
