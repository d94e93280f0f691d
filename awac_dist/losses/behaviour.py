"""The fit of a model to the data's actions: by likelihood, or a variational auto-encoder's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from awac_dist.losses.weighting import of_rows
from awac_dist.tensors import Metrics, check_shapes

if TYPE_CHECKING:
    from torch import Tensor


def likelihood_loss(log_probs: Tensor, collected: Tensor | None) -> tuple[Tensor, Metrics]:
    """-log b, and how well b knows prior and collected actions.

    Args:
        log_probs: [B] log b of the batch's actions.
        collected: [B] 1 for collected rows, 0 for those of prior data; None where all are of that.
    """
    loss, known = -log_probs.mean(), log_probs.detach()
    metrics = {"behaviour/loss": loss.detach()}
    if collected is not None:
        check_shapes("B, B", log_probs, collected)
        for name, rows in (("prior", 1 - collected), ("online", collected)):
            metrics[f"behaviour/log_prob_{name}"] = (of_rows(rows) * known).mean()
    return loss, metrics


def vae_loss(
    decoded: Tensor, units: Tensor, mean: Tensor, log_std: Tensor
) -> tuple[Tensor, Metrics]:
    """Mean squared error + 1/2 mean over the latents of KL(N(mean, std) || N(0, 1)), and metrics.

    Times 2 Z it is, but for a constant, the negative lower bound of the log-likelihood under
    normal noise of variance A / (4 Z), which `behaviour/log_prob` is.

    Args:
        decoded: [B, A] actions of a latent that was drawn for each of `units`.
        units: [B, A] the data's actions in half ranges.
        mean: [B, Z] of the latents.
        log_std: [B, Z] likewise.
    """
    check_shapes("B A, B A, B Z, B Z", decoded, units, mean, log_std)
    error = (decoded - units).square().mean()
    divergence = 0.5 * (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).mean()
    loss = error + 0.5 * divergence
    latents, size = mean.shape[1], units.shape[1]
    constant = 0.5 * size * math.log(2 * math.pi * size / (4 * latents))
    return loss, {
        "behaviour/loss": loss.detach(),
        "behaviour/error": error.detach(),
        "behaviour/log_prob": -2 * latents * loss.detach() - constant,
    }
