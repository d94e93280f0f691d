"""The types of options: numbers with a range, the check that reads them, and types in words.

temperature: Positive = 10.0
hidden: tuple[Count, ...] = (256, 256)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

KINDS = {  # of options that may have another value than None
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a name or a path",
    tuple[int, ...]: "a list of whole numbers, such as [64, 64]",
    tuple[str, ...]: "a list of names or paths, such as [a.parquet, b.parquet]",
    dict[str, float]: 'a mapping of names to numbers, such as {"NAME": 0.5}',
    dict[str, Any]: 'a mapping of names to values, such as {"gain": 0.5}',
}


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


def in_words(hint: Any) -> str:
    """What values of a type are."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(in_words, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return "None" if hint is NoneType else KINDS.get(hint, str(hint))
