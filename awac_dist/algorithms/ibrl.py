"""Imitation bootstrapped RL (Hu et al., 2023, https://arxiv.org/abs/2311.02198).

    critic  y = r + d * min_{e in M'} Q'_e(s', a'),   a' chosen of pi'(s') + eps and mu(s')
    actor   max_pi E[ min_e Q_e(s, pi(s)) ]
    acting  a of pi(s) + noise and mu(s)
    choice  a_i of probability exp(q_i / T), normalised, or the better one; q_i = min_{e in M} Q'_e

mu is a clone of the demonstrations that never learns: it proposes wherever an action is chosen, so
that no policy has to be as good as it before it helps. M and M' are drawn anew for each batch;
eps is clipped, actions stay in the bounds. Q' moves with each step of the critics, pi' once.

Departures from the authors' code: pi begins as mu, where theirs begins anew; mu collects with
noise before the first update, theirs without; no dropout in pi and pi', and no noise in its loss;
acting goes by Q of the first critics, theirs by Q' of some at random; what is evaluated takes the
better action; where the clock cuts, values go on, theirs are 0 there, and they show three
observations at once. Their 1 / T is beta, 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from awac_dist.algorithms.twin_delayed import TwinDelayed, TwinDelayedConfig
from awac_dist.algorithms.world import Acting
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.policies.beside_clone import CLONE, OF_CHANCE, PROPOSALS
from awac_dist.policies.spec import PolicySpec
from awac_dist.ranges import Count, NotNegative, Positive
from awac_dist.types import EnvSpec

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics

WIDE = (1024, 1024, 1024)


@dataclass(frozen=True)
class IBRLConfig(TwinDelayedConfig):
    """Imitation bootstrapped RL.

    Attributes:
        target_members: Critics of each batch whose minimum counts, at most all; and acting's.
        choice_temperature: T of the choice, in units of Q; 0 takes the better action ("hard").
    """

    actor: ActorConfig = ActorConfig(WIDE, 1e-4, kind="deterministic")
    critic: CriticConfig = CriticConfig(
        WIDE, 1e-4, members=5, layer_norm=True, target_update_rate=0.01
    )
    critic_batches: Count = 5
    target_noise: NotNegative = 0.1
    target_noise_clip: Positive = 0.3
    actor_value: Literal["first", "mean", "min"] = "min"
    target_members: Count = 2
    choice_temperature: NotNegative = 0.1

    def policy_spec(self, env: EnvSpec) -> PolicySpec:
        return self.critic.choosing(
            "beside_clone",
            self.actor.policy_spec(env),
            PROPOSALS,
            members=min(self.target_members, self.critic.members),
            choice_temperature=self.choice_temperature,
        )


class IBRL(TwinDelayed):
    """Evaluation of the better of a slow policy and a clone, and a policy that climbs Q."""

    Config = IBRLConfig
    config: IBRLConfig
    frozen_copies = ("actor",)
    acts_with: ClassVar[tuple[str, ...]] = ("actor", "frozen_actor", "critic")

    def update(self, batches: Sequence[Batch]) -> Metrics:
        metrics: Metrics = {}
        for batch in batches:
            metrics |= self.descend(self.critic_loss, batch, ["critic"])
            self.move_targets("critic")
        metrics |= self.descend(self.actor_loss, batch, ["actor"])
        self.move_targets("actor")
        return metrics

    def next_actions(self, states: Tensor) -> tuple[Tensor, Metrics]:
        clone = self.frozen_actor(states).mean  # [B, A]
        proposals = torch.stack((self.smoothed(states), clone))  # [2, B, A]
        values = self.some_values(states, proposals)  # [M, 2, B]
        noise = self.noise(states.new_empty(len(states), OF_CHANCE))
        chosen = self.chosen(values, proposals, noise)
        share = (chosen == clone).all(dim=-1).to(chosen.dtype).mean()
        return chosen, {"critic/clone_share": share}

    def next_values(self, batch: Batch, next_actions: Tensor) -> Tensor:
        return self.some_values(batch.next_observations, next_actions).amin(dim=0)

    def some_values(self, states: Tensor, actions: Tensor) -> Tensor:
        """Q' [M, ...] of actions [..., B, A] by as many members, drawn anew, as count."""
        members = self.some_of(self.config.critic.members, self.config.target_members)
        return self.target_critic.some(members, states, actions)

    def chosen(self, values: Tensor, proposals: Tensor, noise: Tensor) -> Tensor:
        """The choice [B, A] of proposals [2, B, A] of values [M, 2, B]."""
        from awac_dist.nn.choosing import best, gumbel

        if self.config.choice_temperature:
            values = values + self.config.choice_temperature * gumbel(noise).T
        return best(values, proposals)

    def acting(self) -> Acting:
        from awac_dist.nn.choosing import critic_arrays

        spec = self.config.policy_spec(self.task.spec)
        clone = {f"{CLONE}{name}": array for name, array in self.frozen_actor.arrays().items()}
        critics = critic_arrays(self.critic, spec.critic_members)
        return Acting(spec, self.actor.arrays() | critics | clone)

    def act(self, observations: Tensor, noise: Tensor) -> Tensor:
        size = self.task.spec.action_size
        own = self.actor(observations).at(noise[:, :size])
        proposals = torch.stack((own, self.frozen_actor(observations).mean))  # [2, B, A]
        values = self.critic(observations, proposals)[: self.config.target_members]
        return self.chosen(values, proposals, noise[:, size:])
