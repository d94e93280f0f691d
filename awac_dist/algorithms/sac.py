"""Soft actor-critic (Haarnoja et al., 2018, https://arxiv.org/abs/1812.05905).

    critic  y = r + d * (min_e Q'_e(s', a') - alpha log pi(a'|s')),   a' ~ pi(.|s')
    actor   max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) ],          a ~ pi(.|s)
    alpha   min_alpha alpha * (entropy of pi - target)

Without prior data, with it in the buffer (SACfD), or from a clone of it. Departure: target
entropies are told for each action dimension, of actions in half ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.algorithms.soft import Soft, SoftConfig


@dataclass(frozen=True)
class SACConfig(SoftConfig):
    """Soft actor-critic."""


class SAC(Soft):
    """Policy evaluation of pi itself, and a policy that climbs Q."""

    Config = SACConfig
