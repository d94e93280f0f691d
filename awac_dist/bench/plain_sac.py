"""SAC as one writes it first: a module a critic, loops over them, PyTorch's own optimisers."""

from __future__ import annotations

import copy
from itertools import chain, pairwise

import torch
from torch import Tensor, nn

from awac_dist.algorithms.soft import SoftConfig
from awac_dist.bench.products import HALF_CHEETAH
from awac_dist.nn.actors import make_actor
from awac_dist.tensors import Batch


class PlainSAC:
    """The arithmetic of our SAC with alpha fixed."""

    def __init__(self, config: SoftConfig) -> None:
        self._config, spec = config, HALF_CHEETAH
        self.actor = make_actor(config.policy_spec(spec), torch.Generator().manual_seed(0))
        inputs = spec.input_size + spec.action_size
        self.critics = [_critic(inputs, config.critic.hidden) for _ in range(config.critic.members)]
        self.targets = copy.deepcopy(self.critics)
        critics = chain.from_iterable(critic.parameters() for critic in self.critics)
        self._critic_steps = torch.optim.Adam(critics, config.critic.learning_rate)
        self._actor_steps = torch.optim.Adam(self.actor.parameters(), config.actor.learning_rate)

    def update(self, batches: list[Batch]) -> None:
        """Steps of the critics, one of the actor, as `Alternating` takes them."""
        for batch in batches:
            self._step(self._critic_steps, self._critic_loss(batch))
            self._move_targets()
        self._step(self._actor_steps, self._actor_loss(batches[-1]))

    def _critic_loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            actions, log_probs = self._act(batch.next_observations)
            seen = torch.cat((batch.next_observations, actions), dim=1)
            drawn = torch.randperm(len(self.targets))[: self._config.target_members]
            values = torch.stack([self.targets[n](seen).squeeze(1) for n in drawn]).amin(dim=0)
            values = values - self._config.entropy_coef * log_probs
            wanted = batch.rewards + batch.discounts * values
        seen = torch.cat((batch.observations, batch.actions), dim=1)
        errors = [(critic(seen).squeeze(1) - wanted).square().mean() for critic in self.critics]
        return torch.stack(errors).sum()

    def _actor_loss(self, batch: Batch) -> Tensor:
        actions, log_probs = self._act(batch.observations)
        seen = torch.cat((batch.observations, actions), dim=1)
        values = torch.stack([critic(seen).squeeze(1) for critic in self.critics]).mean(dim=0)
        return (self._config.entropy_coef * log_probs - values).mean()

    def _act(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        policy = self.actor(observations)
        return policy.at_with_log_prob(torch.randn_like(policy.mean))

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def _move_targets(self) -> None:
        rate = self._config.critic.target_update_rate
        with torch.no_grad():
            for target, critic in zip(self.targets, self.critics, strict=True):
                for moving, towards in zip(target.parameters(), critic.parameters(), strict=True):
                    moving.lerp_(towards, rate)


def _critic(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n, m in pairwise((inputs, *hidden)):
        layers += [nn.Linear(n, m), nn.LayerNorm(m), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], 1))
