"""Options of the task; imports nothing heavy, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from awac_dist.ranges import Checked


@dataclass(frozen=True)
class EnvConfig(Checked):
    """The task.

    Attributes:
        id: Gymnasium id of the task; one's own is module:Id, where importing the module, which
            may lie in the working folder, registers it.
        kwargs: Passed on to the environment, over those that it is registered with.
    """

    id: str = field(default="HalfCheetah-v5", metadata={"path": "env"})
    kwargs: dict[str, Any] = field(default_factory=dict)
