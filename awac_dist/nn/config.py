"""Networks and their optimisers, as options of a method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from awac_dist.policies.spec import PolicySpec
from awac_dist.ranges import Checked, Count, Finite, NotNegative, Positive, Rate, Share
from awac_dist.types import EnvSpec


@dataclass(frozen=True)
class NetworkConfig(Checked):
    """A network, and Adam for it.

    Attributes:
        hidden: Widths of the hidden layers.
        learning_rate: Step size of Adam.
        weight_decay: L2 penalty on all its parameters, added to the gradient.
        beta1: Of Adam: what a step keeps of the direction of those before it.
        first_weights: "small_output": biases are 0, and what policies and critics give nearly so,
            as in AWAC's code; "fan_in": all are as PyTorch's layers have them, and a clone of few
            updates is better.
    """

    hidden: tuple[Count, ...] = (256, 256)
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    beta1: Share = 0.9
    first_weights: Literal["small_output", "fan_in"] = "small_output"


@dataclass(frozen=True)
class ActorConfig(NetworkConfig):
    """The policy's network.

    Attributes:
        kind: "gaussian" squashes the mean alone, so that a sample may leave the bounds;
            "squashed_gaussian" squashes its samples; "deterministic" has one action a state.
        state_dependent_std: Read the standard deviation from the state, instead of learning one
            per action dimension.
        log_std_min: Lower bound of the log standard deviation.
        log_std_max: Upper bound of the log standard deviation.
        exploration_std: What samples of a deterministic policy add, in half ranges, and within the
            bounds.
    """

    kind: Literal["gaussian", "squashed_gaussian", "deterministic"] = "gaussian"
    state_dependent_std: bool = False
    log_std_min: Finite = -6.0
    log_std_max: Finite = 0.0
    exploration_std: NotNegative = 0.1

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.log_std_min >= self.log_std_max:
            yield "log_std_min", f"{self.log_std_min} is not below log_std_max ({self.log_std_max})"

    def policy_spec(self, env: EnvSpec) -> PolicySpec:
        """Shape of the actor for a task."""
        return PolicySpec(
            self.kind,
            layer_sizes=(env.input_size, *self.hidden, env.action_size),
            action_low=env.action_low,
            action_high=env.action_high,
            state_dependent_std=self.state_dependent_std,
            log_std_min=self.log_std_min,
            log_std_max=self.log_std_max,
            exploration_std=self.exploration_std,
        )


SQUASHED_ACTOR = ActorConfig(  # what entropy is counted of
    kind="squashed_gaussian",
    learning_rate=3e-4,
    state_dependent_std=True,
    log_std_min=-5.0,
    log_std_max=2.0,
)


@dataclass(frozen=True)
class CriticConfig(NetworkConfig):
    """The critics, an ensemble of Q(s, a).

    Attributes:
        members: Critics in the ensemble.
        layer_norm: Normalise each hidden layer, which bounds Q off the data.
        target_update_rate: tau, the share of the critics that enters their target each update.
    """

    members: Count = 2
    layer_norm: bool = False
    target_update_rate: Rate = 5e-3

    def choosing(
        self, kind: str, actor: PolicySpec, candidates: int, members: int, **more: Any
    ) -> PolicySpec:
        """Shape of a policy of a kind that has so many of the critics choose among candidates.

        Args:
            kind: Of `policies.choosing.ChoosingPolicy`.
            actor: Shape of the network that proposes them.
            candidates: N.
            members: M: the least value of the first M critics counts.
            more: Fields of the kind's own.
        """
        return replace(
            actor,
            kind=kind,
            candidates=candidates,
            critic_hidden=self.hidden,
            critic_members=members,
            critic_layer_norm=self.layer_norm,
            **more,
        )
