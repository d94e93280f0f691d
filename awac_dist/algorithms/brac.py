"""Behaviour-regularised actor-critic (Wu et al., 2019, https://arxiv.org/abs/1911.11361).

    behaviour  max_b E_D[ log b(a|s) ]
    critic     y = r + d * (min_e Q'_e(s', a') - alpha log pi(a'|s') - w D(s')),   a' ~ pi(.|s')
    actor      max_pi E[ min_e Q_e(s, a) - alpha log pi(a|s) - w D(s) ],           a ~ pi(.|s)
    weight     max_w w * (D - target), where there is one

alpha is 0 as in theirs. D(s), from N samples, is of pi(.|s) and b(.|s):

    kl       mean_n log pi(a_n|s) - log b(a_n|s)
    mmd      the square of the maximum mean discrepancy, kernel exp(-|x - y|_1 / 20)
    kl_dual  mean_n log c(s, a_n), where c estimates pi / b: min_c E_D[c(s, a)] - E_pi[log c(s, a)]

`penalty` "value" (BRAC-v) is the above, "policy" (BRAC-p) leaves D out of the target, "reward" is
the AWAC authors' variant: r + w log b(a|s) at the data's action (of n steps, the first), and no D.

Departures from their code: b is fitted all the time; the actor never lowers D alone first, for a
clone begins both; c takes one step an update, not three, has no gradient penalty, nor D E_b[c] - 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.algorithms.soft import Soft, SoftConfig
from awac_dist.losses import behaviour, divergences, mmd, soft
from awac_dist.nn.config import CriticConfig, NetworkConfig
from awac_dist.ranges import Count, Finite, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from awac_dist.algorithms.gradients import Loss
    from awac_dist.nn.distributions import Distribution
    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class BRACConfig(SoftConfig):
    """Behaviour-regularised actor-critic.

    Attributes:
        behaviour: The network of b, of the policy's kind; a clone begins it, too, if of its shape.
        ratio: The network of c, which "kl_dual" has instead.
        penalty: Who pays for D: "value" and policy, the "policy" alone, or the "reward", for log b.
        divergence: D, of the policy from the behaviour.
        num_divergence_samples: N.
        penalty_weight: w; where it starts if `target_divergence` is set. Paper: 0.1 to 30.
        target_divergence: What moves w, in units of D, or None.
        penalty_weight_learning_rate: Step size of log w.
    """

    critic: CriticConfig = CriticConfig(learning_rate=1e-3)
    behaviour: NetworkConfig = NetworkConfig(learning_rate=1e-3)
    ratio: NetworkConfig = NetworkConfig(learning_rate=1e-3)
    entropy_coef: NotNegative = 0.0
    target_entropy: Finite | None = None
    penalty: Literal["value", "policy", "reward"] = "value"
    divergence: Literal["kl", "mmd", "kl_dual"] = "kl"
    num_divergence_samples: Count = 4
    penalty_weight: Positive = 0.1
    target_divergence: Positive | None = None
    penalty_weight_learning_rate: Positive = 1e-3

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.penalty == "reward" and self.divergence != "kl":
            yield "divergence", f"{self.divergence} has no log b that a reward could count"
        if self.penalty == "reward" and self.target_divergence is not None:
            yield "target_divergence", "there is no divergence where algorithm.penalty is reward"


class BRAC(Soft):
    """Evaluation of pi itself, and a policy that climbs Q, both less what its divergence costs."""

    Config = BRACConfig
    config: BRACConfig
    clones, needs, knows_online = ("behaviour",), frozenset({"is_online"}), True

    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        config, made = self.config, super().make_networks(generator)
        if config.divergence == "kl_dual":
            one = CriticConfig(hidden=config.ratio.hidden, members=1)
            return made | {"ratio": self.make_critic(one, generator)}
        return made | {"behaviour": self.make_actor(generator, config.behaviour)}

    def make_duals(self) -> dict[str, Tensor]:
        led = [] if self.config.target_divergence is None else ["penalty_weight"]
        return super().make_duals() | self.make_prices(led)

    def other_losses(self) -> Mapping[str, Loss]:
        dual = self.config.divergence == "kl_dual"
        return {"ratio": self.ratio_loss} if dual else {"behaviour": self.behaviour_loss}

    def behaviour_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        log_probs = self.networks["behaviour"](batch.observations).log_prob(batch.actions)  # [B]
        collected = batch.columns["is_online"] if self.online else None
        return behaviour.likelihood_loss(log_probs, collected)

    def ratio_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states, ratio = batch.observations, self.networks["ratio"]
        with torch.no_grad():  # [N, B, A]
            drawn = self.sample(self.actor(states), (self.config.num_divergence_samples,))
        return divergences.ratio_loss(ratio(states, drawn)[0], ratio(states, batch.actions)[0])

    def targets_of(self, batch: Batch) -> Tensor:
        targets, states = super().targets_of(batch), batch.next_observations
        if self.config.penalty == "policy":
            return targets
        weight = self.price("penalty_weight")
        with torch.no_grad():
            if self.config.penalty == "reward":
                model: Distribution = self.networks["behaviour"](batch.observations)
                return targets + weight * model.log_prob(batch.actions)
            return targets - batch.discounts * weight * self.divergence(self.actor(states), states)

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        policy = self.actor(batch.observations)
        actions, log_probs = self.sample_with_log_prob(policy)  # [B, A], [B]
        values = self.value_of(self.critic(batch.observations, actions))
        loss, metrics = soft.policy_loss(values, log_probs, self.entropy_coef)
        if self.config.penalty == "reward":
            return loss, metrics
        divergence = self.divergence(policy, batch.observations).mean()
        loss = loss + self.price("penalty_weight") * divergence
        metrics["actor/loss"], metrics["actor/divergence"] = loss.detach(), divergence.detach()
        return loss, metrics

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        super().after_update(batch, metrics)
        if self.config.target_divergence is not None:
            slack = self.config.target_divergence - metrics["actor/divergence"]
            metrics["actor/penalty_weight"] = self.step_price("penalty_weight", slack)

    def divergence(self, policy: Distribution, states: Tensor) -> Tensor:
        """D [B] of the policy's samples in states [B, O], with gradient."""
        shape = (self.config.num_divergence_samples,)
        noise = self.noise(policy.mean, shape)
        actions, log_probs = policy.at_with_log_prob(noise)
        if self.config.divergence == "kl_dual":
            return divergences.log_ratio(self.networks["ratio"](states, actions)[0]).mean(dim=0)
        model: Distribution = self.networks["behaviour"](states)
        if self.config.divergence == "kl":
            return (log_probs - policy.log_prob_under(model, noise)).mean(dim=0)
        x, y = (each / self.actor.half_range for each in (actions, self.sample(model, shape)))
        return mmd.mmd(x, y, kernel="laplacian", bandwidth=10.0).square()
