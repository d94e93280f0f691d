"""Conservative Q-learning (Kumar et al., 2020, https://arxiv.org/abs/2006.04779).

    critic  min_Q E_D[ (Q(s, a) - y)^2 + w * (log sum_a exp Q(s, a) - Q(s, a_data)) ]
            y = r + d * min_e Q'_e(s', a'),                      a' ~ pi(.|s')
    actor   max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) ],     a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

CQL(H): the sum is over N uniform actions, N ~ pi(.|s) and N ~ pi(.|s'), each weighed by its
density. The Lagrange variant moves w (`action_gap`, tau in the paper).

Departures: see `conservative.py`, and target entropies are of half-range actions. Of the authors'
code: w multiplies the gap, too, where theirs scales the expectation before tau is taken off; w = 1,
their default there, is the same. Their first 40,000 updates, in which the policy is cloned, are an
option (`clone_updates`), which the preset takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.algorithms.conservative import Conservative, ConservativeConfig


@dataclass(frozen=True)
class CQLConfig(ConservativeConfig):
    """Conservative Q-learning."""


class CQL(Conservative):
    """Evaluation of pi itself that underrates what is not in the data, and a policy that climbs."""

    Config = CQLConfig
