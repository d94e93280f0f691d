"""Episodes in numbers: what is left of an episode once its arrays have passed by.

A row of a file can be a fragment of an episode, and the fragments of one episode can lie in the
files of several shards. So a pass over the rows keeps one small record each, and puts them
together at its end: memory is bounded by the number of rows, not by their arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from awac_dist.data.sources import SourceFile
from awac_dist.types import Episode, Origin


class Row(NamedTuple):
    """Where an episode, or a fragment of one, is kept."""

    path: str
    number: int  # in that file


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file.

    Attributes:
        row: Where it is.
        origin: Who made it.
        length: T.
        total_reward: Undiscounted.
        terminated, truncated: How it ended; neither if it was cut.
        solved: Whether some step was a success, None where the task does not say.
        solved_last: Whether the last step was.
        digest: Equal for equal observations, actions and rewards.
    """

    row: Row
    origin: Origin
    length: int
    total_reward: float
    terminated: bool
    truncated: bool
    solved: bool | None
    solved_last: bool | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Whole:
    """An episode: its fragments in order, most often one."""

    fragments: tuple[Record, ...]

    @property
    def length(self) -> int:
        return sum(fragment.length for fragment in self.fragments)

    @property
    def total_reward(self) -> float:
        return sum(fragment.total_reward for fragment in self.fragments)

    @property
    def terminated(self) -> bool:
        return self.fragments[-1].terminated

    @property
    def truncated(self) -> bool:
        return self.fragments[-1].truncated

    @property
    def solved(self) -> bool | None:
        known = [fragment.solved for fragment in self.fragments]
        return None if None in known else any(known)

    @property
    def solved_last(self) -> bool | None:
        return self.fragments[-1].solved_last

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(fragment.row for fragment in self.fragments)

    @property
    def digest(self) -> tuple[bytes, ...]:
        return tuple(fragment.digest for fragment in self.fragments)


def record(file: SourceFile, number: int, episode: Episode) -> Record:
    """The numbers of one row."""
    successes = episode.successes
    return Record(
        row=Row(file.path, number),
        origin=episode.origin,
        length=len(episode),
        total_reward=episode.total_reward,
        terminated=episode.terminated,
        truncated=episode.truncated,
        solved=None if successes is None else bool((successes > 0).any()),
        solved_last=None if successes is None else bool(successes[-1] > 0),
        digest=digest(episode),
    )


def digest(episode: Episode) -> bytes:
    """A short hash of what an episode holds, whoever made it."""
    content = hashlib.blake2b(digest_size=12)
    for column in (episode.observations, episode.actions, episode.rewards):
        content.update(repr(column.shape).encode())
        content.update(column.tobytes())
    return content.digest()


def join(records: Iterable[Record]) -> list[Whole]:
    """Put the fragments of each episode together, in the order of their first rows."""
    numbered = list(enumerate(records))
    runs: list[list[tuple[int, Record]]] = []
    for item in sorted(numbered, key=lambda item: (*_stream(item[1]), item[1].origin.start)):
        if runs and _follows(runs[-1][-1][1], item[1]):
            runs[-1].append(item)
        else:
            runs.append([item])
    runs.sort(key=lambda run: run[0][0])
    return [Whole(tuple(fragment for _, fragment in run)) for run in runs]


def _stream(fragment: Record) -> tuple[str, int, int, int, int]:
    """Fragments of one episode lie in one folder, in the files of its shards."""
    folder = str(PurePosixPath(fragment.row.path).parent)
    return (folder, *fragment.origin.stream, fragment.origin.seed)


def _follows(earlier: Record, later: Record) -> bool:
    return (
        _stream(earlier) == _stream(later)
        and not (earlier.terminated or earlier.truncated)
        and earlier.origin.start + earlier.length == later.origin.start
    )
