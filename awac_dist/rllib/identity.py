"""What a checkpoint and the algorithm that goes on from it must have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.utils.checkpoints import Checkpointable

from awac_dist.errors import InputError

MISSING = "missing"


class Identity(Checkpointable):
    """A component of the state that comes before all others, and is not set but compared.

    Args:
        parts: By their names in an error: texts, flags and lists of numbers.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = dict(parts)

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        return dict(self._parts)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Refuse the state of another one.

        Raises:
            InputError: Names the first part that differs.
        """
        for name in {**state, **self._parts}:
            its, own = (parts.get(name, MISSING) for parts in (state, self._parts))
            if its != own:
                raise InputError(
                    f"checkpoint: its {name} is {its}, and this algorithm's is {own}: restore it "
                    "with the method and the options with which it was written"
                )

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self._parts,), {}
