"""Critics whose inputs and hidden layers are normalised over the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Generator, Tensor, nn

from awac_dist.nn.critics import CriticEnsemble

Share: TypeAlias = "Callable[[Tensor], Tensor]"  # the mean over all who share a batch
VARIANCE_FLOOR = 1e-3
MOST_SCALE, MOST_SHIFT = 3.0, 5.0  # by which a batch is corrected to the running statistics


class EnsembleBatchNorm(nn.Module):
    """E batch normalisations side by side: [E, B, n] -> [E, B, n], by running statistics.

    Attributes:
        mean, variance: The running statistics [E, 1, n].
        batch: Those of the batch that came last, which they follow in `follow_batch`.
    """

    mean: Tensor
    variance: Tensor
    batch: tuple[Tensor, Tensor]

    def __init__(self, members: int, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, 1, n))
        self.bias = nn.Parameter(torch.zeros(members, 1, n))
        self.register_buffer("mean", torch.zeros(members, 1, n))
        self.register_buffer("variance", torch.ones(members, 1, n))
        self.batch = self.mean, self.variance

    def forward(self, inputs: Tensor) -> Tensor:
        scale = self.weight * (self.variance + VARIANCE_FLOOR).rsqrt()
        return torch.addcmul(self.bias - self.mean * scale, inputs.to(scale.dtype), scale)

    def by_batch(self, inputs: Tensor, share: Share, correction: Tensor) -> Tensor:
        """By the statistics of the batch, through which gradients flow.

        Args:
            inputs: [E, B, n].
            share: The mean over all who share the batch.
            correction: [] 0, or 1 for batch renormalisation (Ioffe, 2017,
                https://arxiv.org/abs/1702.03275): as if by the running statistics, in bounds.
        """
        inputs = inputs.to(self.mean.dtype)
        mean = share(inputs.mean(dim=1, keepdim=True))  # [E, 1, n]
        centred = inputs - mean
        variance = share(centred.square().mean(dim=1, keepdim=True))
        self.batch = mean.detach(), variance.detach()
        normalised = centred * (variance + VARIANCE_FLOOR).rsqrt()
        scale, shift = self._corrections(*self.batch)
        scale, shift = 1 + correction * (scale - 1), correction * shift
        return torch.addcmul(self.bias, normalised * scale + shift, self.weight)

    def _corrections(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """R and d: from the batch's standard units to the running ones."""
        std, running = (v.add(VARIANCE_FLOOR).sqrt() for v in (variance, self.variance))
        scale = (std / running).clamp(1 / MOST_SCALE, MOST_SCALE)
        return scale, ((mean - self.mean) / running).clamp(-MOST_SHIFT, MOST_SHIFT)

    @torch.no_grad()
    def follow_batch(self, rate: float) -> None:
        """Move the running statistics by a share towards those of the batch."""
        for running, seen in zip((self.mean, self.variance), self.batch, strict=True):
            running.lerp_(seen, rate)


class BatchNormCritics(CriticEnsemble):
    """E estimates of Q(s, a); what goes into each layer is normalised over the batch.

    Normalised after the rectifier, as in CrossQ's released code. As a function of states and
    actions they go by running statistics: each row by itself.
    """

    def __init__(
        self, input_size: int, hidden: tuple[int, ...], members: int, *, generator: Generator
    ) -> None:
        super().__init__(input_size, hidden, members, generator=generator)
        self.norms = nn.ModuleList(EnsembleBatchNorm(members, n) for n in (input_size, *hidden))

    def evaluate(self, inputs: Tensor) -> Tensor:
        return self._through(inputs, lambda norm, hidden: norm(hidden))

    def by_batch(
        self, observations: Tensor, actions: Tensor, share: Share, correction: Tensor
    ) -> Tensor:
        """Values [E, B] of [B, O] and [B, A], normalised by what the batch itself is like."""
        inputs = torch.cat((observations, actions), dim=-1)
        return self._through(inputs, lambda norm, hidden: norm.by_batch(hidden, share, correction))

    def _through(
        self, inputs: Tensor, normalise: Callable[[EnsembleBatchNorm, Tensor], Tensor]
    ) -> Tensor:
        first, *others = self._batch_norms
        hidden = normalise(first, inputs.expand(self.members, *inputs.shape))  # [E, B, n]
        for layer, norm in zip(self.layers, others, strict=True):
            hidden = normalise(norm, torch.relu_(layer(hidden)))
        values: Tensor = self.head(hidden)
        return values

    def follow_batch(self, rate: float) -> None:
        """Move all running statistics by a share towards those of the batch that came last."""
        for norm in self._batch_norms:
            norm.follow_batch(rate)

    @property
    def _batch_norms(self) -> list[EnsembleBatchNorm]:
        return cast("list[EnsembleBatchNorm]", list(self.norms))
