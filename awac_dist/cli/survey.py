"""One pass over a source: everything that a report says, in bounded memory.

A row of a file can be a fragment of an episode, and the fragments of one episode can lie in the
files of several shards. So a pass over the rows keeps one small record each, and joins them at
its end: memory is bounded by the number of rows, not by their arrays.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from awac_dist.cli.bounds import Bounds, action_bounds
from awac_dist.data import sources
from awac_dist.data.format import FileInfo
from awac_dist.data.sources import Source, SourceFile
from awac_dist.evaluation.scores import Reference, dataset_of_file, reference
from awac_dist.floats import unusable
from awac_dist.types import Episode, Origin

COLUMNS = ("observations", "actions", "rewards", "desired_goals", "achieved_goals")
ADDED = (
    "rows",
    "length",
    "total_reward",
    "digest",
    "entries",
    "outside",
    "steps_outside",
    "unusable",
)
Row = tuple[str, int]  # where a fragment of an episode is kept: a file's path, number in it


@dataclass(frozen=True, slots=True)
class Record:
    """What is left of an episode, or of a fragment of one, once its arrays have passed by."""

    rows: tuple[Row, ...]  # of its fragments, in order; most often one
    origin: Origin  # of the first of them
    versions: frozenset[int]  # grad_steps behind the policies that acted
    length: int
    total_reward: float
    ended: Literal["terminated", "truncated", "cut"]
    solved: bool | None  # whether some step was a success, None where no step says
    solved_last: bool | None  # whether the last step was, None where it does not say
    digest: bytes
    entries: int  # of its actions [T, A]
    outside: int  # how many of them leave their bounds
    steps_outside: int  # steps where at least one does
    furthest: float  # the largest magnitude outside
    unusable: Counter[str]  # entries, see `floats`, by column; only columns that have some

    def __add__(self, later: Record) -> Record:
        """With the fragment that follows it."""
        return replace(
            later,
            **{name: getattr(self, name) + getattr(later, name) for name in ADDED},
            origin=self.origin,
            versions=self.versions | later.versions,
            solved=self.solved or later.solved if later.solved is not None else self.solved,
            furthest=max(self.furthest, later.furthest),
        )

    @property
    def begin(self) -> tuple[Any, ...]:
        """Its episode and first step; the fragments of an episode lie in one folder."""
        (path, _), origin = self.rows[0], self.origin
        return (str(PurePosixPath(path).parent), *origin.stream, origin.seed, origin.start)

    @property
    def end(self) -> tuple[Any, ...]:
        """Where the fragment begins that follows it."""
        return (*self.begin[:-1], self.origin.start + self.length)


def record(file: SourceFile, number: int, episode: Episode, bounds: Bounds) -> Record:
    """The numbers of one row, whose actions should keep to some bounds."""
    outside = bounds.outside(episode.actions)
    flags = np.full(1, np.nan) if episode.successes is None else episode.successes
    columns = {name: getattr(episode, name) for name in COLUMNS}
    wrong = {name: int(unusable(its).sum()) for name, its in columns.items() if its is not None}
    return Record(
        rows=((file.path, number),),
        origin=episode.origin,
        versions=frozenset({episode.origin.policy_version}),
        length=len(episode),
        total_reward=episode.total_reward,
        ended="terminated" if episode.terminated else "truncated" if episode.truncated else "cut",
        solved=None if np.isnan(flags).all() else bool((flags > 0).any()),
        solved_last=None if np.isnan(flags[-1]) else bool(flags[-1] > 0),
        digest=digest(episode),
        entries=outside.size,
        outside=int(outside.sum()),
        steps_outside=int(outside.any(axis=1).sum()),
        furthest=float(np.abs(episode.actions[outside]).max(initial=0.0)),
        unusable=+Counter(wrong),
    )


def digest(episode: Episode) -> bytes:
    """A short hash of what an episode holds, whoever made it."""
    content = hashlib.blake2b(digest_size=12)
    for column in (episode.observations, episode.actions, episode.rewards):
        content.update(repr(column.shape).encode())
        content.update(column.tobytes())
    return content.digest()


def share_outside(records: Sequence[Record]) -> float:
    """Share of the actions' entries that leave their bounds."""
    return sum(each.outside for each in records) / max(sum(each.entries for each in records), 1)


def join(fragments: Sequence[Record]) -> list[Record]:
    """Put the fragments of each episode together, in the order of their first rows."""
    places = {fragment.rows[0]: place for place, fragment in enumerate(fragments)}
    whole: list[Record] = []
    for fragment in sorted(fragments, key=lambda each: each.begin):
        if whole and whole[-1].ended == "cut" and whole[-1].end == fragment.begin:
            whole[-1] += fragment
        else:
            whole.append(fragment)
    return sorted(whole, key=lambda episode: places[episode.rows[0]])


@dataclass(frozen=True)
class Survey:
    """What a pass over one source found, or over several together."""

    name: str  # as the user gave it
    files: tuple[SourceFile, ...]
    infos: list[FileInfo]  # what each of them says of itself
    bounds: str  # of its actions, in words
    checked: bool  # whether anybody knows them
    episodes: list[Record]  # their fragments joined

    @property
    def lengths(self) -> np.ndarray:
        return np.array([episode.length for episode in self.episodes], np.int64)

    @property
    def returns(self) -> np.ndarray:
        return np.array([episode.total_reward for episode in self.episodes], np.float64)

    @property
    def transitions(self) -> int:
        return int(self.lengths.sum())

    @property
    def unusable(self) -> Counter[str]:
        """Entries that nobody can learn from, by column; only columns that have some."""
        return sum((episode.unusable for episode in self.episodes), Counter())

    @property
    def tasks(self) -> list[str]:
        """The tasks that the files name."""
        return sorted({info.env_id for info in self.infos if info.env_id})

    @property
    def solved_last(self) -> float | None:
        """Share of episodes that end with a success, None where some do not say."""
        return _share([episode.solved_last for episode in self.episodes])

    @property
    def solved_ever(self) -> float | None:
        """Share of episodes with a success in any step."""
        return _share([episode.solved for episode in self.episodes])

    @property
    def duplicates(self) -> int:
        """Episodes whose content an earlier one had."""
        return len(self.episodes) - len({episode.digest for episode in self.episodes})

    @property
    def reference(self) -> Reference | None:
        """The scores that fit all files, by what they say of themselves or by their names."""
        found = [
            reference(info.env_id or "") or reference(dataset_of_file(file.path) or "")
            for file, info in zip(self.files, self.infos, strict=True)
        ]
        scores = {None if row is None else (row.minimum, row.maximum) for row in found}
        return found[0] if len(scores) == 1 else None


def survey(source: Source, env_id: str | None = None) -> Survey:
    """Read a source once, of the task that the user names, or else the files.

    Raises InputError where a file is damaged, or the task cannot be made.
    """
    infos = sources.describe(source)
    bounds = action_bounds(infos, env_id)
    records = [record(*row, bounds) for row in sources.episodes(source)]
    return Survey(source.name, source.files, infos, bounds.origin, bounds.known, join(records))


def together(surveys: Sequence[Survey]) -> Survey:
    """Several surveys as one."""
    return Survey(
        f"all {len(surveys)} sources together",
        tuple(file for part in surveys for file in part.files),
        [info for part in surveys for info in part.infos],
        "; ".join(sorted({part.bounds for part in surveys})),
        any(part.checked for part in surveys),
        [episode for part in surveys for episode in part.episodes],
    )


def _share(flags: Sequence[bool | None]) -> float | None:
    return None if not flags or None in flags else float(np.mean([bool(flag) for flag in flags]))
