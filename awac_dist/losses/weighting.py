"""Regression on actions, weighted by how good they were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch

from awac_dist.tensors import Metrics, check_shapes, spread

if TYPE_CHECKING:
    from torch import Tensor

Normalisation = Literal["softmax", "exp"]
Scale = Literal["largest", "one"]
SMALLEST_STD = 1e-5
LOG_TEMPERATURE_BOUNDS = (math.log(1e-6), math.log(1e6))  # equal advantages would go on for ever


def advantages(
    q_data: Tensor,
    q_policy: Tensor,
    *,
    clip: float | None = None,
    soft: Tensor | None = None,
) -> Tensor:
    """A(s, a) = min_e Q_e(s, a) - V(s): [B], without gradient.

    Args:
        q_data: [E, B] critic ensemble at the logged actions.
        q_policy: [E, N, B] critic ensemble at N actions of the policy.
        clip: Upper bound on the advantage, or None (the release clips at 0.5 on the hand).
        soft: None has V(s) = mean_n min_e Q_e(s, a_n). A temperature [], lambda, has
            V(s) = lambda log mean_n exp(min_e Q_e(s, a_n) / lambda): exp(A / lambda) then is
            divided by Z(s), the mean of what it is for the policy's own actions.
    """
    check_shapes("E B, E N B", q_data, q_policy)
    of_actions = q_policy.amin(dim=0)  # [N, B]
    if soft is None:
        values = of_actions.mean(dim=0)  # [B]
    else:
        check_shapes("", soft)
        values = soft * ((of_actions / soft).logsumexp(dim=0) - math.log(len(of_actions)))
    difference = (q_data.amin(dim=0) - values).detach()  # [B]
    return difference if clip is None else difference.clamp(max=clip)


def standardised(advantages: Tensor, rows: Tensor | None = None) -> Tensor:
    """(A - mean) / standard deviation [B], without gradient; 0 where all are equal.

    Args:
        advantages: [B]
        rows: [B] weights of mean one of those whose mean and deviation they are; None is all.
    """
    rows = torch.ones_like(advantages) if rows is None else rows
    check_shapes("B, B", advantages, rows)
    centred = (advantages - (rows * advantages).mean()).detach()
    return centred / ((rows * centred.square()).mean().sqrt() + SMALLEST_STD)


def of_rows(chosen: Tensor) -> Tensor:
    """Weights [B] with which a mean over the batch is one over the chosen rows.

    Args:
        chosen: [B] 1 for these, 0 for the others; where it is none, all weights are 0.
    """
    check_shapes("B", chosen)
    return (chosen / chosen.mean().clamp(min=1 / len(chosen))).detach()


def with_demonstrations(advantages: Tensor, own: Tensor, weight: Tensor, scale: Scale) -> Tensor:
    """Weights [B] of log pi in DAPG's policy gradient, without gradient.

    Args:
        advantages: [B]; weights of own rows are these, `standardised` among themselves.
        own: [B] 1 for what the policy did itself, 0 for demonstrations.
        weight: [] of a demonstration, as it is or times the largest of the other weights (one,
            where there is none), as the scale says.
        scale: "one" or "largest".
    """
    check_shapes("B, B, ", advantages, own, weight)
    mine = own * standardised(advantages, of_rows(own))
    if scale == "largest":
        weight = weight * torch.where(own.amax() > 0, mine.amax(), torch.ones_like(weight))
    return mine + (1 - own) * weight.detach()


def weights(
    advantages: Tensor,
    *,
    temperature: Tensor | float,
    normalisation: Normalisation,
    max_weight: float,
) -> Tensor:
    """Weights [B] of mean one for "softmax"; exp(A / lambda) up to `max_weight` for "exp".

    Args:
        advantages: [B]
        temperature: lambda > 0, or [] of it. Large is behaviour cloning, small is greedy.
        normalisation: "softmax" over the batch, times B (the release); "exp" (the paper).
        max_weight: Upper bound of the "exp" weights; unused by "softmax".
    """
    check_shapes("B", advantages)
    if isinstance(temperature, torch.Tensor):
        check_shapes("", temperature)
    scaled = (advantages / temperature).detach()
    if normalisation == "softmax":
        return torch.softmax(scaled, dim=0) * len(advantages)
    return scaled.exp().clamp(max=max_weight)


def sample_weights(values: Tensor, temperature: Tensor | float) -> tuple[Tensor, Tensor]:
    """Weights prop. to exp(Q / eta) over N actions a state, which sum to one, without gradient.

    Args:
        values: [N, B] Q of the actions that were drawn.
        temperature: eta > 0, or [] of it.

    Returns:
        Weights [N, B], and how far they are from equal ones: KL [], the mean over the states. The
        derivative of eta eps + eta E[log mean_n exp(Q / eta)] by eta is eps minus this KL.
    """
    check_shapes("N B", values)
    log_weights = torch.log_softmax((values / temperature).detach(), dim=0)
    weights = log_weights.exp()
    divergence = (weights * log_weights).sum(dim=0) + math.log(len(values))  # [B]
    return weights, divergence.mean()


def weighted_regression(log_probs: Tensor, weights: Tensor) -> tuple[Tensor, Metrics]:
    """-mean(w log pi(a|s)) over the logged actions, [B] each; no gradient flows into w."""
    check_shapes("B, B", log_probs, weights)
    loss = -(weights.detach() * log_probs).mean()
    return loss, {"actor/loss": loss.detach(), "actor/log_prob": log_probs.detach().mean()}


def described(weights: Tensor, advantages: Tensor, log_std: Tensor) -> Metrics:
    """Metrics of such a regression.

    Args:
        weights: [W], of the whole batch where they are coupled over it.
        advantages: [B] of this learner.
        log_std: [B, A] of the policy.
    """
    check_shapes("W, B, B A", weights, advantages, log_std)
    return {
        "actor/effective_batch": effective_batch(weights),
        "actor/advantage_mean": advantages.mean(),
        "actor/advantage_std": spread(advantages),
        "actor/std": log_std.detach().exp().mean(),
    }


def effective_batch(weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2: B if the weights [B] are uniform, 1 if one holds all."""
    tiny = torch.finfo(weights.dtype).tiny
    scaled = weights / weights.amax().clamp(min=tiny)  # "exp" weights may all underflow
    return scaled.sum().square() / scaled.square().sum().clamp(min=tiny)


def temperature_step(log_temperature: Tensor, effective: Tensor, wanted: float) -> Tensor:
    """One multiplicative step that moves the effective batch towards `wanted` rows.

    With dense rewards a fixed temperature collapses the weights onto one row as the
    critic grows; this needs no knowledge of the reward's scale. Steps are at most 2 %.
    """
    step = 0.02 * (wanted / effective).log().clamp(-1.0, 1.0)
    return (log_temperature + step).clamp(*LOG_TEMPERATURE_BOUNDS)
