"""Options of the evaluation; imports nothing heavy, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.ranges import Checked, Count, Natural


@dataclass(frozen=True)
class EvaluationConfig(Checked):
    """Evaluation of the deterministic policy.

    Attributes:
        episodes: Episodes at the end of each phase, which the summary quotes; 0 evaluates
            nothing, ever, and no environment is made for it.
        curve_episodes: Episodes of each evaluation during a phase.
        every_updates: Updates between two evaluations during a phase.
    """

    episodes: Natural = 100
    curve_episodes: Count = 10
    every_updates: Count = 2_500
