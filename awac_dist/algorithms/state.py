"""The state of a method: what its next updates depend on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.algorithms.base import Method

GROUPS = ("networks", "targets", "optimizers")


def state_of(method: Method) -> dict[str, Any]:
    """Everything that learns or is random, as it is now: copies of tensors, plain values."""
    states: dict[str, Any] = {
        group: {name: part.state_dict() for name, part in getattr(method, group).items()}
        for group in GROUPS
    }
    states |= {"duals": method.duals, "generator": method.generator.get_state()}
    return {"device": method.device.type, **copy.deepcopy(states)}


def load_state(method: Method, state: Mapping[str, Any]) -> bool:
    """Go on where the state was taken.

    Returns:
        Whether exactly: random numbers of one kind of device cannot be continued on another,
        where those that follow depend on the state all the same.
    """
    for group in GROUPS:
        for name, part in getattr(method, group).items():
            part.load_state_dict(state[group][name])
    for name, dual in method.duals.items():
        dual.data.copy_(state["duals"][name])
    return continue_generator(method, state["device"], state["generator"])


def continue_generator(method: Method, device: str, state: Tensor) -> bool:
    """Go on with the random numbers of a kind of device; returns whether with the very same."""
    if device == method.device.type:
        method.generator.set_state(state)
        return True
    method.generator.manual_seed(int(state.long().mul(torch.arange(len(state))).sum()))
    return False
