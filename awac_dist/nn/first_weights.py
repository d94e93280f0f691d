"""First weights that are not those with which a network is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from awac_dist.nn.actors import Actor
from awac_dist.nn.behaviour import MLP
from awac_dist.nn.critics import EnsembleLinear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, nn

    from awac_dist.nn.config import NetworkConfig


def redraw(
    networks: Mapping[str, nn.Module], configs: Mapping[str, NetworkConfig], generator: Generator
) -> None:
    """Draw those of the networks anew whose config asks for it."""
    for name, network in networks.items():
        if configs[name].first_weights == "fan_in":
            draw_fan_in(network, generator)


@torch.no_grad()
def draw_fan_in(network: nn.Module, generator: Generator) -> None:
    """Draw weights and biases of its layers anew, U(-b, b) with b = 1 / sqrt(inputs of a layer).

    So does `torch.nn.Linear`. Standard deviations and normalisations stay as they are.
    """
    for module in network.modules():
        if isinstance(module, Actor | MLP | EnsembleLinear):
            for weight, bias, inputs in module.linears():
                bound = inputs**-0.5
                weight.uniform_(-bound, bound, generator=generator)
                bias.uniform_(-bound, bound, generator=generator)
