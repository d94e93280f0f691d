"""Adam's arithmetic, without the bookkeeping that outweighs it in small networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from awac_dist.nn.config import NetworkConfig


def adam(parameters: Iterable[Tensor], config: NetworkConfig) -> Optimizer:
    """Adam of a network, as its options say; one call of it updates all. Its decay is L2."""
    return torch.optim.Adam(
        parameters,
        config.learning_rate,
        betas=(config.beta1, 0.999),
        weight_decay=config.weight_decay,
        fused=True,
    )


def take_steps(optimizers: Iterable[Optimizer]) -> None:
    """One step of each, as `torch.optim.Adam(parameters, fused=True).step()` takes it.

    To the bit, and with its state. Hooks of optimisers and their closures are not called. Other
    optimisers take their own steps.
    """
    groups = []
    for optimizer in optimizers:
        if isinstance(optimizer, torch.optim.Adam):
            groups += [(optimizer, group) for group in optimizer.param_groups]
        else:
            optimizer.step()
    with torch.no_grad():
        for optimizer, group in groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            states = [optimizer.state[p] or _begin(optimizer, p) for p in parameters]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                parameters,
                [p.grad for p in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


def _begin(optimizer: Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    state: dict[str, Tensor] = optimizer.state[parameter]
    state["step"] = torch.zeros((), device=parameter.device)
    state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state
