"""Episodes in numbers: what is left of an episode once its arrays have passed by.

A row of a file can be a fragment of an episode, and the fragments of one episode can lie in the
files of several shards. So a pass over the rows keeps one small record each, and joins them at
its end: memory is bounded by the number of rows, not by their arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """An episode, or a fragment of one.

    Attributes:
        rows: Where its fragments are, in order; most often one.
        origin: Who made the first of them.
        versions: grad_steps behind the policies that acted.
        length: T.
        total_reward: Undiscounted.
        terminated, truncated: How it ended; neither if it was cut.
        solved: Whether some step was a success, None where the task does not say.
        solved_last: Whether the last step was.
        digest: Equal for equal observations, actions and rewards.
    """

    rows: tuple[Row, ...]
    origin: Origin
    versions: frozenset[int]
    length: int
    total_reward: float
    terminated: bool
    truncated: bool
    solved: bool | None
    solved_last: bool | None
    digest: bytes

    def __add__(self, later: Record) -> Record:
        """With the fragment that follows it."""
        known = self.solved is not None and later.solved is not None
        return replace(
            later,
            rows=self.rows + later.rows,
            origin=self.origin,
            versions=self.versions | later.versions,
            length=self.length + later.length,
            total_reward=self.total_reward + later.total_reward,
            solved=self.solved or later.solved if known else None,
            digest=self.digest + later.digest,
        )

    def goes_on_as(self, later: Record) -> bool:
        """Whether it is cut where another begins."""
        cut = not (self.terminated or self.truncated)
        return cut and self.stream == later.stream and self.end == later.origin.start

    @property
    def end(self) -> int:
        """The step of the episode after its last."""
        return self.origin.start + self.length

    @property
    def stream(self) -> tuple[str, int, int, int, int]:
        """Fragments of one episode lie in one folder, in the files of its shards."""
        folder = str(PurePosixPath(self.rows[0].path).parent)
        return (folder, *self.origin.stream, self.origin.seed)


def record(file: SourceFile, number: int, episode: Episode) -> Record:
    """The numbers of one row."""
    successes = episode.successes
    return Record(
        rows=(Row(file.path, number),),
        origin=episode.origin,
        versions=frozenset({episode.origin.policy_version}),
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


def join(records: Sequence[Record]) -> list[Record]:
    """Put the fragments of each episode together, in the order of their first rows."""
    places = {fragment.rows[0]: place for place, fragment in enumerate(records)}
    whole: list[Record] = []
    for fragment in sorted(records, key=lambda each: (each.stream, each.origin.start)):
        if whole and whole[-1].goes_on_as(fragment):
            whole[-1] += fragment
        else:
            whole.append(fragment)
    return sorted(whole, key=lambda episode: places[episode.rows[0]])
