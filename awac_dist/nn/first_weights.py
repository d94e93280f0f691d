"""First weights that are not those with which a network is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from awac_dist.nn.actors import Actor
from awac_dist.nn.behaviour import MLP
from awac_dist.nn.config import NetworkConfig
from awac_dist.nn.critics import EnsembleLinear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor, nn


def redraw(
    networks: Mapping[str, nn.Module], options: Mapping[str, object], generator: Generator
) -> None:
    """Draw those of the networks anew that have a `NetworkConfig` by their name which asks so."""
    for name, network in networks.items():
        config = options.get(name)
        if isinstance(config, NetworkConfig) and config.first_weights == "fan_in":
            draw_fan_in(network, generator)


@torch.no_grad()
def draw_fan_in(network: nn.Module, generator: Generator) -> None:
    """Draw weights and biases of its layers anew, U(-b, b) with b = 1 / sqrt(inputs of a layer).

    So does `torch.nn.Linear`. What is no layer, a deviation or a normalisation, stays as it is.
    """
    for module in network.modules():
        for weight, bias in layers_of(module):
            bound = weight.shape[1] ** -0.5
            weight.uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)


def layers_of(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights, [m, n] or [E, n, m] by n inputs, and biases of its own layers, if it has any."""
    if isinstance(module, EnsembleLinear):
        return [(module.weight, module.bias)]
    if isinstance(module, Actor | MLP):
        return list(zip(module.weights[::2], module.weights[1::2], strict=False))
    return []
