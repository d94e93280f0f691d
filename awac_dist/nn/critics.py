"""Critic ensembles: E networks as one batch of matrix products."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

LAST_LAYER_INIT = 3e-3


class EnsembleLinear(nn.Module):
    """E linear layers side by side: [E, B, n] -> [E, B, m]."""

    def __init__(self, members: int, n: int, m: int, bound: float, generator: Generator) -> None:
        super().__init__()
        drawn = torch.empty(members, n, m).uniform_(-bound, bound, generator=generator)
        self.weight, self.bias = nn.Parameter(drawn), nn.Parameter(torch.zeros(members, 1, m))

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # the bias is added in the pass of what follows
            return torch.bmm(inputs, self.weight) + self.bias
        return torch.baddbmm(self.bias, inputs, self.weight)


class EnsembleHead(EnsembleLinear):
    """E linear maps onto one number each: [E, B, n] -> [E, B].

    A sum of products: a matrix product with one column reads as much and, with its backward
    pass, takes four times as long on a CPU (docs/speed-lab.md).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs * self.weight.transpose(1, 2)).sum(dim=-1) + self.bias.squeeze(-1)


class EnsembleLayerNorm(nn.Module):
    """E layer normalisations side by side: [E, B, n] -> [E, B, n]."""

    def __init__(self, members: int, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, 1, n))
        self.bias = nn.Parameter(torch.zeros(members, 1, n))
        self._width = (n,)  # what ONNX has no other name for

    def forward(self, inputs: Tensor) -> Tensor:
        normalised = nn.functional.layer_norm(inputs, self._width)
        return torch.addcmul(self.bias, normalised, self.weight)


class Ensemble(nn.Module):
    """E multi-layer perceptrons of one output each, side by side.

    Args:
        input_size: n.
        hidden: Widths of the hidden layers.
        members: E.
        generator: Of the first weights.
        layer_norm: Normalise each hidden layer, which bounds Q off the data.
        max_value: An upper bound that the task is known to have (0 where no reward is
            positive), or None. A clamped output has no gradient.
    """

    def __init__(
        self,
        input_size: int,
        hidden: tuple[int, ...],
        members: int = 1,
        *,
        generator: Generator,
        layer_norm: bool = False,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        self.members, self.max_value = members, max_value
        sizes = (input_size, *hidden)
        self.layers = nn.ModuleList(
            EnsembleLinear(members, n, m, n**-0.5, generator) for n, m in pairwise(sizes)
        )
        self.norms = nn.ModuleList(
            EnsembleLayerNorm(members, width) if layer_norm else nn.Identity() for width in hidden
        )
        self.head = EnsembleHead(members, sizes[-1], 1, LAST_LAYER_INIT, generator)

    def evaluate(self, inputs: Tensor) -> Tensor:
        """[B, n] -> [E, B]."""
        hidden = inputs.expand(self.head.weight.shape[0], *inputs.shape)  # [E, B, n]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = torch.relu_(norm(layer(hidden)))
        values: Tensor = self.head(hidden)
        return values if self.max_value is None else values.clamp(max=self.max_value)


class CriticEnsemble(Ensemble):
    """E estimates of Q(s, a), independent but for their data; n is O + A."""

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """[B, O] and [B, A] -> [E, B]; [B, O] and [N, B, A] -> [E, N, B]."""
        leading = actions.shape[:-1]
        observations = observations.expand(*leading, observations.shape[-1])
        inputs = torch.cat((observations, actions), dim=-1).flatten(0, -2)  # [N*B, O+A]
        return self.evaluate(inputs).reshape(-1, *leading)

    def some(self, members: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
        """Values of the members with these numbers [M]: [M, B]."""
        chosen = {name: each.index_select(0, members) for name, each in self.named_parameters()}
        values: Tensor = functional_call(self, chosen, (observations, actions))
        return values

    def first(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Values of the first member alone: [B]."""
        chosen = {name: each[:1] for name, each in self.named_parameters()}
        values: Tensor = functional_call(self, chosen, (observations, actions))
        return values.squeeze(0)


class StateValue(Ensemble):
    """An estimate of V(s): [B, O] -> [B]; E is 1, n is O."""

    def forward(self, observations: Tensor) -> Tensor:
        return self.evaluate(observations).squeeze(0)
