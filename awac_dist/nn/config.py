"""Sizes of the networks of one run."""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.policies.spec import PolicySpec
from awac_dist.types import EnvSpec


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the networks.

    Attributes:
        actor_hidden: Widths of the actor's hidden layers.
        critic_hidden: Widths of the critics' hidden layers.
        num_critics: Critics in the ensemble; targets take their minimum.
        critic_layer_norm: Normalise each hidden layer of the critics.
        state_dependent_std: Read the policy's standard deviation from the state; the
            paper's locomotion and hand runs learn one per action dimension instead.
        log_std_min: Lower bound of the policy's log standard deviation.
        log_std_max: Upper bound of the policy's log standard deviation.
    """

    actor_hidden: tuple[int, ...] = (256, 256)
    critic_hidden: tuple[int, ...] = (256, 256)
    num_critics: int = 2
    critic_layer_norm: bool = False
    state_dependent_std: bool = False
    log_std_min: float = -6.0
    log_std_max: float = 0.0

    def policy_spec(self, env: EnvSpec) -> PolicySpec:
        """Shape of the actor for a task."""
        return PolicySpec(
            "gaussian",
            layer_sizes=(env.input_size, *self.actor_hidden, env.action_size),
            action_low=env.action_low,
            action_high=env.action_high,
            state_dependent_std=self.state_dependent_std,
            log_std_min=self.log_std_min,
            log_std_max=self.log_std_max,
        )
