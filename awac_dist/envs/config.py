"""Options of the task; imports nothing heavy, for `--help`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from awac_dist.ranges import Checked

OWN = "own/"  # before the name of a class, or function, that a program gave
MODULE = re.compile(r'"([A-Za-z_][\w.]*:[A-Za-z_][^"]*)"')  # and a name in it, as JSON has it


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

    @property
    def to_type(self) -> list[str]:
        """Options that no file may give in a person's place: they name modules to import."""
        kwargs = json.dumps(self.kwargs)
        words = ["--env", self.id] if ":" in self.id else []
        return [*words, "--env.kwargs", kwargs] if MODULE.search(kwargs) else words

    @property
    def by_code(self) -> str:
        """The argument by which a program says the task again; empty where its id says enough."""
        if self.id.startswith(OWN):
            name = self.id.removeprefix(OWN)
            return f"env={'...' if iskeyword(name) else name}"  # of a lambda
        return f"env={self.id!r}" if ":" in self.id else ""
