"""The skeleton of the conservative soft actor-critics: what is not in the data is not overrated.

    critic  min_Q TD + w * E_D[ log sum_n exp(Q(s, a_n)) / p(a_n) - Q(s, a) ]
            y = r + d * max_n (min_{e in M} Q'_e(s', a'_n) - alpha log pi(a'_n|s'))
            a_n: N uniform, N ~ pi(.|s), N ~ pi(.|s')
    w       max_w w * (the expectation - gap), where a gap is told
    actor, alpha  as of `Soft`

Kumar et al., 2020 (https://arxiv.org/abs/2006.04779), as CQL(H). Departures of all its methods:
behind a true end, where there is no s', s stands for it; the largest of several next values is
taken over the least of the critics, where CQL's code takes the least of the largest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.losses import conservative, soft, td
from awac_dist.nn.config import SQUASHED_ACTOR, ActorConfig
from awac_dist.ranges import Count, Finite, Natural, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.tensors import Batch, Metrics

SLOW_ACTOR = replace(SQUASHED_ACTOR, learning_rate=1e-4)
MAX_WEIGHT = 1e6  # of w, where it moves; the authors'


@dataclass(frozen=True)
class ConservativeConfig(SoftConfig):
    """A conservative soft actor-critic.

    Attributes:
        conservative_weight: w; where it starts if `action_gap` is set.
        action_gap: By how much the log sum may lie above Q of the data, which moves w; or None.
        conservative_weight_learning_rate: Step size of w's logarithm.
        num_actions: N of each kind that the sum is taken over.
        backup_actions: Next actions of which the target takes the best.
        clone_updates: Updates in the beginning in which the actor climbs log pi of the data
            instead of Q.
    """

    actor: ActorConfig = SLOW_ACTOR
    entropy_coef_learning_rate: Positive = 1e-4
    entropy_in_target: bool = False
    conservative_weight: NotNegative = 5.0
    action_gap: Finite | None = None
    conservative_weight_learning_rate: Positive = 3e-4
    num_actions: Count = 10
    backup_actions: Count = 1
    clone_updates: Natural = 0

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.action_gap is not None and self.conservative_weight == 0:
            yield "conservative_weight", "0 cannot be moved: set action_gap to None"


class Conservative(Soft):
    """A method says whether returns are a floor of Q, and whether it is conservative for ever."""

    config: ConservativeConfig

    def make_duals(self) -> dict[str, Tensor]:
        duals = super().make_duals()
        if self.config.action_gap is not None:
            start = math.log(self.config.conservative_weight)
            weight = torch.tensor(start, device=self.device)
            duals["conservative_weight"] = torch.nn.Parameter(weight)
        if self.config.clone_updates:
            duals["updates"] = torch.tensor(0.0, device=self.device)
        return duals

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        super().after_update(batch, metrics)
        if self.is_conservative and self.config.action_gap is not None:
            weight = self.duals["conservative_weight"].exp().clamp(max=MAX_WEIGHT)
            above = metrics["critic/conservative_gap"] - self.config.action_gap
            self.step(-weight * above, ["conservative_weight"])
            metrics["critic/conservative_weight"] = weight.detach()
        if self.config.clone_updates:
            self.duals["updates"] += 1

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        q_data = self.critic(batch.observations, batch.actions)  # [E, B]
        loss, metrics = td.squared_error(q_data, self.targets_of(batch))
        if not self.is_conservative:
            return loss, metrics
        gaps, found = self.gaps_of(batch, q_data)
        return loss + self.conservative_weight * gaps.sum(), metrics | found

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        actions, log_probs = self.sample_with_log_prob(policy)  # [B, A], [B]
        values = self.value_of(self.critic(batch.observations, actions))
        if self.config.clone_updates:
            cloning = self.duals["updates"] < self.config.clone_updates
            values = torch.where(cloning, policy.log_prob(batch.actions), values)
        return soft.policy_loss(values, log_probs, self.entropy_coef)

    @property
    def is_conservative(self) -> bool:
        """Whether Q is held down now."""
        return True

    @property
    def conservative_weight(self) -> Tensor | float:
        """w, without gradient."""
        dual = self.duals.get("conservative_weight")
        if dual is None:
            return self.config.conservative_weight
        return dual.detach().exp().clamp(max=MAX_WEIGHT)

    @property
    def backup_actions(self) -> int:
        """Next actions of which the target takes the best now."""
        return self.config.backup_actions

    def gaps_of(self, batch: Batch, q_data: Tensor) -> tuple[Tensor, Metrics]:
        """How far the log sum lies above Q of the data [E, B]: [E]."""
        states, count = batch.observations, self.config.num_actions
        ended = (batch.discounts == 0).unsqueeze(1)
        following = torch.where(ended, states, batch.next_observations)
        where = 2 * self.noise(batch.actions, (count,), uniform=True) - 1
        uniform = self.actor.centre + self.actor.half_range * where  # [N, B, A]
        with torch.no_grad():
            own = self.sample_with_log_prob(self.actor(states), (count,))  # [N, B, A], [N, B]
            next_own = self.sample_with_log_prob(self.actor(following), (count,))
        q = self.critic(states, torch.cat((uniform, own[0], next_own[0])))  # [E, 3N, B]
        return conservative.gaps(
            q_data,
            q[:, :count],
            q[:, count:],
            uniform_log_prob=-self.task.log_volume - self.task.spec.action_size * math.log(2),
            log_probs=torch.cat((own[1], next_own[1])),
            floor=self.floor_of(batch),
        )

    def floor_of(self, batch: Batch) -> Tensor | None:
        """What Q of the policies' actions counts for at least [B], or None."""
        return None

    def returns_of(self, batch: Batch) -> Tensor:
        """The returns [B] of the data, with V' of what follows where its episode was cut."""
        found = batch.columns
        with torch.no_grad():
            values = self.values_of(found["final_observations"])
        return td.one_step_target(found["returns"], found["return_discounts"], values)

    def values_of(self, states: Tensor) -> Tensor:
        shape = (self.backup_actions,)
        actions, log_probs = self.sample_with_log_prob(self.actor(states), shape)
        return self.soft_values(states, actions, log_probs).amax(dim=0)  # of [N, B]
