"""Maximum a posteriori policy optimisation (Abdolmaleki et al., 2018, arXiv 1806.06920).

    critic  y = r + d * E_{a'~pi'} Q'(s', a')
    E-step  w_n prop. exp(Q'(s, a_n) / eta),   a_n ~ pi'(.|s)
    M-step  max_pi E[ sum_n w_n log pi(a_n|s) ],   decoupled by mean and deviation, while
            E[ KL(pi' || pi) ] <= eps_m by the mean and <= eps_std by the deviation

The temperature eta and the multipliers of both bounds are learned: see awac_dist/algorithms/em.py.
The actions are constants where the policy is fitted to them: of those that moved with it, log pi
would not depend on its mean.

The decoupled fit is of their second paper, arXiv 1812.02256.

Departures from the papers: deviations are diagonal, as in the authors' code; evaluation takes one
step, theirs Retrace; the slow copies move by averages, theirs are copied every so many updates;
nor does it cost anything that an action leaves the task's bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from awac_dist.algorithms.em import EM, EMConfig
from awac_dist.nn.config import CriticConfig

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.nn.distributions import Distribution


@dataclass(frozen=True)
class MPOConfig(EMConfig):
    """Maximum a posteriori policy optimisation; normalised critics, as in the authors' code."""

    critic: CriticConfig = CriticConfig(learning_rate=3e-4, members=1, layer_norm=True)


class MPO(EM):
    """Its own slow copy proposes the actions that it is fitted to."""

    Config = MPOConfig

    def proposal(self, states: Tensor, old: Distribution) -> Distribution:
        return old
