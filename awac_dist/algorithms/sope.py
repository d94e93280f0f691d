"""SOPE: off-policy evaluation that stops in time (2026, https://arxiv.org/abs/2605.05863).

    critic  y = r + d * (min_e Q'_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ mean_e Q_e(s, a) - alpha log pi(a|s) ],         a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

SAC of layer-normed critics on batches of which half is prior data, an update for each step. Every
10,000 steps the workers wait while the critics alone are updated, without the held-out tenth of the
data, until the actor's loss on that tenth has stopped falling, or 75,000 updates at most: the run
has these pauses (`online.pause_steps`), and SPEQ's fixed ones are those without patience.

Departures: the held-out tenth is always the same (stretches of 100 steps), where theirs is drawn
anew for each pause; its loss is the mean over the 1,000 updates since the last look, not one pass
behind them, and is first known at the first look, theirs before the pause; to fall is by a
thousandth, where their rule, loss < 0.999 best, lets a negative one rise. No dropout in the
critics, no layer norm in the actor; the target entropy is -1/2 for each dimension, of half-range
actions, where theirs is a table's, and -2 for every task of version 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.losses import soft, td, weighting
from awac_dist.nn.config import CriticConfig
from awac_dist.ranges import Finite

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class SOPEConfig(SoftConfig):
    """SAC with pauses in which the critics alone are updated."""

    critic: CriticConfig = CriticConfig(learning_rate=3e-4, layer_norm=True)
    actor_value: Literal["mean", "min"] = "mean"
    target_entropy: Finite | None = -0.5


class SOPE(Soft):
    """Evaluation of pi itself, more of it now and then, and a policy that climbs Q."""

    Config = SOPEConfig
    needs = frozenset({"held_out"})
    pauses = True

    def update(self, batches: Sequence[Batch]) -> Metrics:
        if not self.critics_alone:
            return super().update(batches)
        for batch in batches:
            metrics = self.descend(self.critic_loss, batch, ["critic"])
            self.move_targets()
        return metrics | {"actor/held_out_loss": self.held_out_loss(batch)}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        if not self.critics_alone:
            return super().critic_loss(batch)
        q_data = self.critic(batch.observations, batch.actions)  # [E, B]
        weights = self.rows(1 - batch.columns["held_out"])
        return td.squared_error(q_data, self.targets_of(batch), weights)

    def held_out_loss(self, batch: Batch) -> Tensor:
        """The actor's loss [] of the rows that the critics do not learn from."""
        weights = self.rows(batch.columns["held_out"])
        with torch.no_grad():
            actions, log_probs = self.sample_with_log_prob(self.actor(batch.observations))
            values = self.value_of(self.critic(batch.observations, actions))  # [B]
            return soft.policy_loss(weights * values, weights * log_probs, self.entropy_coef)[0]

    def rows(self, chosen: Tensor) -> Tensor:
        """Weights [B] with which a mean over the whole batch is one over the chosen rows."""
        return self.world.mine(weighting.of_rows(self.world.gather(chosen)))
