"""The options of the replay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer.

    Attributes:
        capacity: Online rows kept over all shards, a fragment of T transitions taking T + 1; the
            oldest fragments leave first. Prior data is kept besides and never leaves.
        mixture: Shares of each online batch by source, such as {"offline": 0.5, "online": 0.5};
            empty draws uniformly over everything, as the paper does.
        clip_prior_actions: Clip the actions of prior data to the task's bounds, as the authors do
            with the hand demonstrations; otherwise they are kept as they are. Online actions
            are always kept as they were chosen.
        goals: Of a goal task, shares of AWAC's batches by whose goal a transition is after:
            "rollout" (its own), "future" (one that the rest of its episode achieves) and
            "environment" (another episode's), such as {"rollout": 0.2, "future": 0.3,
            "environment": 0.5}; empty leaves every goal as it was.
    """

    capacity: int = 1_000_000
    mixture: dict[str, float] | None = None
    clip_prior_actions: bool = False
    goals: dict[str, float] | None = None
