"""Warm-start RL (Zhou et al., 2024, https://arxiv.org/abs/2412.07762).

    offline  calibrated Q-learning, with an ensemble of layer-normed critics:
             min_Q E_D[ (Q(s, a) - y)^2 + w * (log sum_a exp max(Q(s, a), R(s)) - Q(s, a_data)) ]
    warm-up  some thousand steps of the policy as it is, into a buffer without the prior data
    online   SAC on that buffer alone, G steps of the critics for one of the actor:
             y = r + d * min_{e in M} Q'_e(s', a'),               a' ~ pi(.|s')
    actor    max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) ],     a ~ pi(.|s)

M, two critics of ten, is drawn anew for each batch. Warm-up and buffer are the run's: the preset
has them.

Departures: those of `conservative.py` and `cal_ql.py`. Of the authors' code: all critics are held
down, where theirs holds down two at random; the actor has no layer norm; its step is on the last of
the G batches, where theirs takes all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from awac_dist.algorithms.conservative import Conservative, ConservativeConfig
from awac_dist.nn.config import CriticConfig
from awac_dist.ranges import Count

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch


@dataclass(frozen=True)
class WSRLConfig(ConservativeConfig):
    """Warm-start RL.

    Attributes:
        critic_batches: Steps of the critics for one of the actor online; offline it is one.
        calibrated: Whether returns are a floor of Q offline (Cal-QL), or not (CQL: the authors'
            choice for locomotion, where returns of cut episodes say little).
        online_backup_actions: Next actions of which the target takes the best online.
    """

    critic: CriticConfig = CriticConfig(learning_rate=3e-4, layer_norm=True, members=10)
    critic_batches: Count = 4
    backup_actions: Count = 10
    calibrated: bool = True
    online_backup_actions: Count = 1


class WSRL(Conservative):
    """Conservative evaluation of pi offline, and a plain one online."""

    Config = WSRLConfig
    config: WSRLConfig
    needs = frozenset({"returns", "final_observations"})
    knows_online = True

    @property
    def batches_per_update(self) -> int:
        return self.config.critic_batches if self.online else 1

    @property
    def is_conservative(self) -> bool:
        return not self.online

    @property
    def backup_actions(self) -> int:
        return self.config.online_backup_actions if self.online else self.config.backup_actions

    def floor_of(self, batch: Batch) -> Tensor | None:
        return self.returns_of(batch) if self.config.calibrated else None
