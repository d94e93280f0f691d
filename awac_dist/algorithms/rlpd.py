"""RL with prior data (Ball et al., 2023, https://arxiv.org/abs/2302.02948).

    critic  y = r + d * (min_{e in M} Q'_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ mean_e Q_e(s, a) - alpha log pi(a|s) ],                a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

SAC of an ensemble of layer-normed critics, which take many steps for one of the actor, on batches
of which half is prior data. M of the critics are drawn anew for each batch. Departure: target
entropies are of half-range actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.nn.config import CriticConfig
from awac_dist.ranges import Count, Finite


@dataclass(frozen=True)
class RLPDConfig(SoftConfig):
    """RL with prior data."""

    critic: CriticConfig = CriticConfig(learning_rate=3e-4, layer_norm=True, members=10)
    critic_batches: Count = 20
    actor_value: Literal["mean", "min"] = "mean"
    target_entropy: Finite | None = -0.5


class RLPD(Soft):
    """Policy evaluation of pi itself by many critics, and a policy that climbs their mean."""

    Config = RLPDConfig
