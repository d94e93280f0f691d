"""The skeleton that every actor-critic method shares: one update, one target network.

losses  computed on the parameters before the update, all of them
step    one optimiser a network, on disjoint parameters
target  Q' <- (1 - tau) Q' + tau Q
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from awac_dist.nn.actors import GaussianActor
from awac_dist.nn.config import NetworkConfig
from awac_dist.nn.critics import CriticEnsemble
from awac_dist.policies.spec import PolicySpec
from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, one for each network.

    Attributes:
        actor_learning_rate: Step size of the actor.
        critic_learning_rate: Step size of the critics.
        actor_weight_decay: L2 penalty on all actor parameters, added to the gradient.
        target_update_rate: tau, the share of the critic that enters its target each update.
    """

    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    actor_weight_decay: float = 1e-4
    target_update_rate: float = 5e-3


def adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Adam:
    """Adam that updates all tensors in one call, with L2 (not decoupled) decay."""
    return torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay, fused=True)


class Method(nn.Module, ABC):
    """What the learner needs of a method: an actor, an update, a state."""

    actor: GaussianActor
    optimizers: dict[str, torch.optim.Optimizer]
    generator: Generator

    @abstractmethod
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step on every network. No host synchronisation."""

    def training_state(self) -> dict[str, Any]:
        """Networks, targets, optimiser moments and the random state, as plain tensors."""
        return {
            "networks": self.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "generator": self.generator.get_state(),
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `training_state` was taken."""
        self.load_state_dict(state["networks"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.generator.set_state(state["generator"].cpu())


class ActorCritic(Method):
    """A Gaussian actor, an ensemble of critics and its slowly moving target."""

    def __init__(
        self,
        policy: PolicySpec,
        networks: NetworkConfig,
        optimizer: OptimizerConfig,
        *,
        seed: int,
        device: torch.device,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        weights = torch.Generator().manual_seed(seed)  # on the CPU: equal on every device
        self.actor = GaussianActor(policy, weights)
        self.critic = CriticEnsemble(
            policy.layer_sizes[0] + policy.layer_sizes[-1],
            networks.critic_hidden,
            networks.num_critics,
            generator=weights,
            layer_norm=networks.critic_layer_norm,
            max_value=max_value,
        )
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.to(device)
        self.target_update_rate = optimizer.target_update_rate
        self.generator = Generator(device).manual_seed(seed)
        self.optimizers = {
            "actor": adam(
                self.actor.parameters(),
                optimizer.actor_learning_rate,
                optimizer.actor_weight_decay,
            ),
            "critic": adam(self.critic.parameters(), optimizer.critic_learning_rate),
        }

    @abstractmethod
    def critic_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        """Scalar whose gradient reaches the critic only, and metrics.

        Args:
            batch: What to learn from.
            q_data: [E, B] critic ensemble at the logged actions.
        """

    @abstractmethod
    def actor_loss(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        """Scalar whose gradient reaches the actor only, and metrics. Arguments as above."""

    def update(self, batch: Batch) -> Metrics:
        q_data = self.critic(batch.observations, batch.actions)  # once, for both losses
        critic_loss, critic_metrics = self.critic_loss(batch, q_data)
        actor_loss, actor_metrics = self.actor_loss(batch, q_data)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        (critic_loss + actor_loss).backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers.values():
            optimizer.step()
        self._move_target()
        return critic_metrics | actor_metrics

    @torch.no_grad()
    def _move_target(self) -> None:
        torch._foreach_lerp_(
            list(self.target_critic.parameters()),
            list(self.critic.parameters()),
            self.target_update_rate,
        )
