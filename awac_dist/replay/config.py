"""The options of the replay."""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.ranges import Checked, Count, Finite, Positive
from awac_dist.types import Array


@dataclass(frozen=True)
class ReplayConfig(Checked):
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
        n_steps: Steps that a transition's reward and next observation span, at most.
        reward_scale: Learn from reward_scale * reward + reward_shift; the log, and the returns that
            are reported, stay the task's.
        reward_shift: See reward_scale.
        normalize_observations: Give networks observations less their mean over the prior data,
            divided by their standard deviation; the policy keeps both (docs/data.md, Units). A run
            that began without prior data has none to go by and takes them as they are.
    """

    capacity: Count = 1_000_000
    mixture: dict[str, float] | None = None
    clip_prior_actions: bool = False
    goals: dict[str, float] | None = None
    n_steps: Count = 1
    reward_scale: Positive = 1.0
    reward_shift: Finite = 0.0
    normalize_observations: bool = True

    def learned_rewards(self, rewards: Array) -> Array:
        """Rewards [n] to learn from, of those [n] that the task gave."""
        if self.reward_scale == 1 and self.reward_shift == 0:
            return rewards
        return self.reward_scale * rewards + self.reward_shift


NOTHING_CHANGED = ReplayConfig(normalize_observations=False)
