"""Numbers with a range, as the types of options, and the check that reads them.

temperature: Positive = 10.0
hidden: tuple[Count, ...] = (256, 256)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints


class Range(NamedTuple):
    """Which values are legal, in words and as a test."""

    legal: str
    holds: Callable[[float], bool]


Count = Annotated[int, Range("1 or more", lambda value: value >= 1)]
Natural = Annotated[int, Range("0 or more", lambda value: value >= 0)]
Seed = Annotated[int, Range("from 0 to 2**63 - 1", lambda value: 0 <= value < 2**63)]
Processes = Annotated[int, Range("from 1 to 10,000", lambda value: 1 <= value <= 10_000)]
Several = Annotated[int, Range("from 1 to 10,000", lambda value: 1 <= value <= 10_000)]
Moderate = Annotated[float, Range("above 0 and at most 1,000,000", lambda value: 0 < value <= 1e6)]
Positive = Annotated[float, Range("above 0", lambda value: 0 < value < math.inf)]
NotNegative = Annotated[float, Range("0 or more", lambda value: 0 <= value < math.inf)]
Share = Annotated[float, Range("between 0 and 1", lambda value: 0 < value < 1)]
Rate = Annotated[float, Range("above 0 and at most 1", lambda value: 0 < value <= 1)]
Exponent = Annotated[float, Range("above 1", lambda value: 1 < value < math.inf)]
Finite = Annotated[float, Range("finite", math.isfinite)]


@dataclass(frozen=True)
class Checked:
    """A part of a config that knows what is wrong with it."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (path inside this part, the value and what is legal)."""
        hints = get_type_hints(type(self), include_extras=True)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Checked):
                for path, problem in value.problems():
                    yield f"{field.name}.{path}", problem
                continue
            for found in ranges_of(hints[field.name]):
                for item in value if isinstance(value, tuple) else (value,):
                    if item is not None and not found.holds(item):  # None where the type has it
                        yield field.name, f"{item} is not {found.legal}"


def ranges_of(hint: Any) -> Iterator[Range]:
    """The ranges in a type: its own, or of what it is a union or a tuple of."""
    for argument in get_args(hint):
        if isinstance(argument, Range):
            yield argument
        elif get_args(argument):
            yield from ranges_of(argument)
