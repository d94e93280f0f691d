"""The skeleton of methods that weigh actions first, and then fit the policy to the weighted ones.

    critic  y = r + d * E_{a'~pi'} min_e Q'_e(s', a')
    E-step  w_n prop. exp(Q'(s, a_n) / eta),    a_n ~ proposal(.|s)
    eta     min_eta eta * eps + eta * E[ log mean_n exp(Q'(s, a_n) / eta) ]
    M-step  max_pi E[ sum_n w_n (log N(a_n; m, std') + log N(a_n; m', std)) ]   such that
            E[ KL(pi' || N(m, std')) ] <= eps_m   and   E[ KL(pi' || N(m', std)) ] <= eps_std

pi = N(m, std), and pi' = N(m', std') its slow copy. Each bound has a multiplier, whose gradient is
the bound minus the divergence; so has eta, whose divergence is KL(w || equal weights).

Abdolmaleki et al., 2018 (https://arxiv.org/abs/1806.06920, https://arxiv.org/abs/1812.02256).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.skeletons import Alternating
from awac_dist.losses import divergences, td, weighting
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.ranges import Count, Positive

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.nn.distributions import Distribution
    from awac_dist.tensors import Batch, Metrics

BOUNDS = {"temperature": "sample_kl", "mean_multiplier": "mean_kl", "std_multiplier": "std_kl"}


@dataclass(frozen=True)
class EMConfig(MethodConfig):
    """Weights of sampled actions, and a policy fitted to them.

    Attributes:
        critic: The critics.
        num_samples: N, actions drawn in each state, for V(s) and to be weighed.
        sample_kl: eps, the mean divergence of the weights from equal ones that eta is led to, or
            None: eta stays.
        mean_kl: eps_m, how far the policy may go from its slow copy by its mean, or None.
        std_kl: eps_std, the same by its standard deviation.
        temperature: eta; where it starts if `sample_kl` is set.
        mean_multiplier: Where the multiplier of `mean_kl` starts.
        std_multiplier: Where the multiplier of `std_kl` starts.
        temperature_learning_rate: Step size of eta's logarithm.
        mean_multiplier_learning_rate: Of that multiplier's logarithm.
        std_multiplier_learning_rate: Of that multiplier's logarithm.
    """

    actor: ActorConfig = ActorConfig(
        learning_rate=3e-4, state_dependent_std=True, log_std_min=-5.0, log_std_max=2.0
    )
    critic: CriticConfig = CriticConfig(learning_rate=3e-4, members=1)
    num_samples: Count = 20
    sample_kl: Positive | None = 0.1
    mean_kl: Positive | None = 0.01
    std_kl: Positive | None = 1e-4
    temperature: Positive = 1.0
    mean_multiplier: Positive = 1.0
    std_multiplier: Positive = 10.0
    temperature_learning_rate: Positive = 1e-2
    mean_multiplier_learning_rate: Positive = 1e-2
    std_multiplier_learning_rate: Positive = 1e-2

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.actor.kind != "gaussian":
            yield "actor.kind", f"{self.actor.kind} has no divergence by mean and deviation"
        if self.num_samples == 1:
            yield "num_samples", "one action has nothing that it is weighed against"


class EM(Alternating):
    """Evaluation of the slow policy, and a projection onto weighted actions. A method proposes."""

    config: EMConfig
    slow_copies = ("critic", "actor")

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        return {
            "actor": self.make_actor(generator),
            "critic": self.make_critic(self.config.critic, generator),
        }

    def make_duals(self) -> dict[str, Tensor]:
        return self.make_prices(self._bounds())

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            next_values = self.value_of(batch.next_observations)
            targets = td.one_step_target(batch.rewards, batch.discounts, next_values)
        return td.squared_error(self.critic(batch.observations, batch.actions), targets)

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states = batch.observations
        with torch.no_grad():  # not of the samples either: they would move with the policy
            old = self.target_actor(states)
            actions = self.sample(self.proposal(states, old), (self.config.num_samples,))
            values = self.target_critic(states, actions).amin(dim=0)  # [N, B]
        weights, sample_kl = weighting.sample_weights(values, self.price("temperature"))
        policy = self.actor(states)
        loss = -(weights * decoupled_log_prob(policy, old, actions)).sum(dim=0).mean()
        mean_kl = divergences.kl_of_means(old.mean, old.log_std, policy.mean).mean()
        std_kl = divergences.kl_of_stds(old.log_std, policy.log_std).mean()
        for kl, name in ((mean_kl, "mean_multiplier"), (std_kl, "std_multiplier")):
            loss = loss + self.price(name) * kl if name in self.duals else loss
        return loss, {
            "actor/loss": loss.detach(),
            "actor/value_mean": (weights * values).sum(dim=0).mean(),
            "actor/std": policy.log_std.detach().exp().mean(),
            "actor/sample_kl": sample_kl,
            "actor/mean_kl": mean_kl.detach(),
            "actor/std_kl": std_kl.detach(),
        }

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        for name, bound in self._bounds().items():
            slack = bound - metrics[f"actor/{BOUNDS[name]}"]
            metrics[f"actor/{name}"] = self.step_price(name, slack)

    @abstractmethod
    def proposal(self, states: Tensor, old: Distribution) -> Distribution:
        """Whose actions are weighed in states [B, O], where the slow policy is `old`."""

    def value_of(self, states: Tensor) -> Tensor:
        """V' [B] of the slow policy, of as many of its actions as are drawn."""
        actions = self.sample(self.target_actor(states), (self.config.num_samples,))  # [N, B, A]
        values: Tensor = self.target_critic(states, actions).amin(dim=0).mean(dim=0)
        return values

    def _bounds(self) -> dict[str, float]:
        """The bounds that are set, by the names of their prices."""
        wanted = {name: getattr(self.config, bound) for name, bound in BOUNDS.items()}
        return {name: bound for name, bound in wanted.items() if bound is not None}


def decoupled_log_prob(policy: Distribution, old: Distribution, actions: Tensor) -> Tensor:
    """Log density [N, B] of actions [N, B, A] by the mean alone, and by the deviation alone."""
    from awac_dist.nn.distributions import DiagonalGaussian

    by_mean = DiagonalGaussian(policy.mean, old.log_std).log_prob(actions)
    return by_mean + DiagonalGaussian(old.mean, policy.log_std).log_prob(actions)
