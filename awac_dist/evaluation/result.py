"""What an evaluation found, and how sure one may be of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from awac_dist.evaluation.scores import normalised_score
from awac_dist.evaluation.success import DEFAULT_STEPS, Share, sustained_steps
from awac_dist.messages import Finished


@dataclass(frozen=True)
class Evaluation:
    """Whole episodes of one policy.

    Attributes:
        label: What was evaluated, such as "clone" or "online".
        policy_version: grad_steps behind the policy, -1 if unknown.
        returns: Undiscounted return of each episode.
        lengths: Steps of each episode.
        success_steps: Steps of each episode that report success; empty if the task does not say.
        success_last: Whether the last step of each episode does.
        sustained_steps: How many of them make a sustained success.
        faults: Why episodes were dropped in whose midst the environment failed.
    """

    label: str
    policy_version: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    success_steps: tuple[int, ...] = ()
    success_last: tuple[bool, ...] = ()
    sustained_steps: int = DEFAULT_STEPS
    faults: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
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
