"""Twin delayed DDPG (Fujimoto et al., 2018, https://arxiv.org/abs/1802.09477).

    critic  y = r + d * min_e Q'_e(s', a'),   a' = pi'(s') + clip(eps, -c, c), kept in the bounds
    actor   max_pi E[ Q_1(s, pi(s)) ]
    target  Q', pi' move once, after the actor's step

It collects by pi(s) and normal noise of `actor.exploration_std`. As in the authors' code of 2019:
networks of 256 and steps of 3e-4, where the paper has 400, 300 and 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.algorithms.twin_delayed import TwinDelayed, TwinDelayedConfig


@dataclass(frozen=True)
class TD3Config(TwinDelayedConfig):
    """Twin delayed DDPG."""


class TD3(TwinDelayed):
    """Evaluation of a slow and smoothed policy, and a policy that climbs the first critic."""

    Config = TD3Config
