"""What a method's class has to hold to; where it does not, a line names it and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from awac_dist.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.algorithms.base import Method
    from awac_dist.algorithms.gradients import Loss

HOW_TO = "see docs/add-a-method.md"


def option_of(method: Method, name: str, kind: str, whose: str) -> Any:
    """The option that something of a method has to have; an InputError where there is none."""
    options = vars(method.config)
    if name in options:
        return options[name]
    need = f"its Config needs an option {name} of type {kind}"
    raise InputError(f"{type(method).__name__} has a {whose}: {need}: {HOW_TO}")


def scalar(value: Tensor, loss: Loss) -> Tensor:
    """What a loss gave, which has to be a tensor []; an InputError where it is not."""
    shape = getattr(value, "shape", None)
    if shape == ():
        return value
    owner, name = type(getattr(loss, "__self__", loss)).__name__, loss.__name__.strip("_")
    what = f"is a {type(value).__name__}" if shape is None else f"has shape {list(shape)}"
    raise InputError(f"{name} of {owner} {what}, and has to be a tensor []: {HOW_TO}")
