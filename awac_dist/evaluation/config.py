"""Options of the evaluation; imports nothing heavy, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation of the deterministic policy.

    Attributes:
        episodes: Episodes at the end of each phase, which the summary quotes.
        curve_episodes: Episodes of each evaluation during a phase.
        every_updates: Updates between two evaluations during a phase.
    """

    episodes: int = 40
    curve_episodes: int = 10
    every_updates: int = 2_500
