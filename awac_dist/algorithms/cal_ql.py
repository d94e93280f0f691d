"""Calibrated Q-learning (Nakamoto et al., 2023, https://arxiv.org/abs/2303.05479).

    critic  min_Q E_D[ (Q(s, a) - y)^2 + w * (log sum_a exp max(Q(s, a), R(s)) - Q(s, a_data)) ]
            y = r + d * max_n min_e Q'_e(s', a'_n),              a'_n ~ pi(.|s')
    actor   max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) ],     a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

CQL, whose critics never say less of the policy than what the data's own returns R were, so that
nothing has to be unlearned online. The floor holds for actions of the policy, not for uniform ones.

Departures: those of `conservative.py`; target entropies are of half-range actions. Where an episode
was cut, or goes on, R ends with gamma^K V'(its last observation): the authors' code adds nothing,
or takes the last reward of a maze for ever, and learns from an episode only when it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from awac_dist.algorithms.conservative import Conservative, ConservativeConfig
from awac_dist.ranges import Count

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch


@dataclass(frozen=True)
class CalQLConfig(ConservativeConfig):
    """Calibrated Q-learning."""

    backup_actions: Count = 10


class CalQL(Conservative):
    """Evaluation of pi itself, between what the data earned and what is not in it."""

    Config = CalQLConfig
    needs = frozenset({"returns", "final_observations"})

    def floor_of(self, batch: Batch) -> Tensor:
        return self.returns_of(batch)
