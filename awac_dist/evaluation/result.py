"""What an evaluation found, and how sure one may be of it.

What counts as a success has three readings of the steps that a task reports as solved:

    success_final       the last step is one
    success_any         some step is one
    success_sustained   at least k steps are, in a row or not

k of the dexterous tasks is that of their authors' `evaluate_success` (Rajeswaran et al., 2018,
https://github.com/aravindr93/mj_envs); docs/metrics.md says why there are three, and why 10 steps
for every other task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from awac_dist.evaluation.scores import normalised_score
from awac_dist.messages import Finished

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


@dataclass(frozen=True)
class Evaluation:
    """Whole episodes of one policy; the tuples hold one number each, in order."""

    label: str  # what was evaluated, such as "clone" or "online"
    policy_version: int  # grad_steps behind the policy, -1 if unknown
    returns: tuple[float, ...]  # undiscounted
    lengths: tuple[int, ...]  # steps
    success_steps: tuple[int, ...] = ()  # that report success; empty if the task does not say
    success_last: tuple[bool, ...] = ()  # whether the last step does
    sustained_steps: int = DEFAULT_STEPS  # how many of them make a sustained success
    faults: tuple[str, ...] = ()  # why episodes were dropped in whose midst the environment failed

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def half_width(self) -> float:
        """Half of the 95 % confidence interval of the mean return (Student's t)."""
        count = len(self.returns)
        if count < 2:
            return float("inf")
        from scipy.special import stdtrit  # a third of what importing scipy.stats takes

        return float(stdtrit(count - 1, 0.975) * np.std(self.returns, ddof=1) / np.sqrt(count))

    @property
    def successes(self) -> dict[str, Share]:
        """Share of successful episodes by each definition; empty if the task does not say."""
        if not self.success_steps:
            return {}
        steps, total = np.array(self.success_steps), len(self.success_steps)
        return {
            "success_final": Share(sum(self.success_last), total),
            "success_any": Share(int((steps >= 1).sum()), total),
            "success_sustained": Share(int((steps >= self.sustained_steps).sum()), total),
        }

    def metrics(self, env_id: str) -> dict[str, float]:
        """The figures by the names under which they are logged, a score of the task's included."""
        values = {
            "eval/return": self.mean,
            "eval/return_half_width": self.half_width,
            "eval/length": sum(self.lengths) / len(self.lengths),
            "eval/episodes": len(self.returns),
        }
        if self.faults:
            values["eval/dropped_episodes"] = len(self.faults)
        score = normalised_score(env_id, self.mean)
        if score is not None:
            values["eval/normalized_score"] = score
        return values | {f"eval/{name}": share.value for name, share in self.successes.items()}


def evaluation_of(
    label: str, version: int, env_id: str, played: Iterable[Finished], faults: Sequence[str] = ()
) -> Evaluation:
    """Put the episodes of one policy together.

    An episode of which no step says whether it is a success has none, if others do.
    """
    returns, lengths, steps, last = zip(*played, strict=True)
    told = any(count is not None for count in steps)
    return Evaluation(
        label,
        version,
        returns,
        lengths,
        tuple(count or 0 for count in steps) if told else (),
        last if told else (),
        sustained_steps(env_id),
        tuple(faults),
    )
