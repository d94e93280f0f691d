"""Which shard reads which row of prior data, where a row may be a part of an episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Part(NamedTuple):
    """What a row says of its place in an episode."""

    stream: tuple[int, int, int]  # an `Origin.stream`
    start: int  # step of the episode
    ended: bool  # terminated or truncated: nothing goes on with it


Takes = Callable[[Part], bool]  # asked of each row of a file, in order: whether it is to be read


class Share:
    """A shard's share of a source's rows, which it is shown one after the other.

    Rows are dealt in turn, but one that may go on with the row before it of its stream, wherever
    that lay, goes where that went: what is joined on one shard is joined on several.
    """

    def __init__(self, index: int, of: int) -> None:
        self._index, self._of = index, of
        self._dealt = 0
        self._homes: dict[tuple[int, int, int], int] = {}  # of streams whose last row did not end

    def takes(self, part: Part) -> bool:
        """Whether the next row is of this share."""
        nameless = part.stream[0] < 0  # files number their episodes alike
        home = None if nameless and not part.start else self._homes.get(part.stream)
        if home is None:
            home = self._dealt % self._of
            self._dealt += 1
        self._homes.pop(part.stream, None)
        if not part.ended:
            self._homes[part.stream] = home
        return home == self._index

    def pass_over(self, rows: int) -> tuple[int, int]:
        """Deal rows that are whole episodes; returns which: every `of`-th from `index` on."""
        own = (self._index - self._dealt) % self._of, self._of
        self._dealt += rows
        return own
