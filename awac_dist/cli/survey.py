"""One pass over a source: everything that a report says, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from awac_dist.cli.bounds import Bounds, action_bounds
from awac_dist.cli.records import Record, join, record
from awac_dist.data import sources
from awac_dist.data.format import FileInfo
from awac_dist.data.sources import Source, SourceFile
from awac_dist.evaluation.scores import Reference, dataset_of_file, reference
from awac_dist.types import Array, Episode

COLUMNS = (
    "observations",
    "actions",
    "rewards",
    "successes",
    "desired_goals",
    "achieved_goals",
)


@dataclass
class Actions:
    """How many actions leave their bounds.

    Attributes:
        entries: Numbers seen, T x A over all episodes.
        outside: How many of them leave the bounds.
        steps_outside: Steps where at least one of them does.
        furthest: The largest magnitude outside.
    """

    entries: int = 0
    outside: int = 0
    steps_outside: int = 0
    furthest: float = 0.0

    def see(self, actions: Array, bounds: Bounds) -> None:
        outside = bounds.outside(actions)
        self.entries += actions.size
        self.outside += int(outside.sum())
        self.steps_outside += int(outside.any(axis=1).sum())
        if outside.any():
            self.furthest = max(self.furthest, float(np.abs(actions[outside]).max()))


@dataclass
class Survey:
    """What a pass over one source found, or over several together.

    Attributes:
        name: The source as the user gave it.
        files: Its files.
        infos: What each of them says of itself.
        bounds: Bounds of its actions, in words.
        actions: How many leave them.
        nans: Entries that are NaN or infinite, by column; only columns that have some.
        episodes: Every episode in numbers, its fragments joined.
    """

    name: str
    files: tuple[SourceFile, ...]
    infos: list[FileInfo]
    bounds: str
    actions: Actions
    nans: Counter[str] = field(default_factory=Counter)
    episodes: list[Record] = field(default_factory=list)

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
    def fragments(self) -> int:
        """Rows that hold them."""
        return sum(len(episode.rows) for episode in self.episodes)

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
        found = [_reference(*pair) for pair in zip(self.files, self.infos, strict=True)]
        scores = {None if row is None else (row.minimum, row.maximum) for row in found}
        return found[0] if len(scores) == 1 else None


def survey(source: Source) -> Survey:
    """Read a source once.

    Raises:
        InputError: A file is damaged; names the place.
    """
    infos = sources.describe(source)
    bounds = action_bounds(infos)
    found = Survey(source.name, source.files, infos, bounds.origin, Actions())
    records: list[Record] = []
    for file, number, episode in sources.episodes(source):
        records.append(record(file, number, episode))
        found.actions.see(episode.actions, bounds)
        found.nans.update(nans(episode))
    found.episodes = join(records)
    return found


def together(surveys: Sequence[Survey]) -> Survey:
    """Several surveys as one."""
    parts = [part.actions for part in surveys]
    return Survey(
        f"all {len(surveys)} sources together",
        tuple(file for part in surveys for file in part.files),
        [info for part in surveys for info in part.infos],
        "; ".join(sorted({part.bounds for part in surveys})),
        Actions(
            sum(part.entries for part in parts),
            sum(part.outside for part in parts),
            sum(part.steps_outside for part in parts),
            max(part.furthest for part in parts),
        ),
        sum((part.nans for part in surveys), Counter()),
        [episode for part in surveys for episode in part.episodes],
    )


def nans(episode: Episode) -> dict[str, int]:
    """Entries that are not finite, by column; only columns that have some."""
    columns = {name: getattr(episode, name) for name in COLUMNS}
    counts = {
        name: int((~np.isfinite(column)).sum())
        for name, column in columns.items()
        if column is not None
    }
    return {name: count for name, count in counts.items() if count}


def _share(flags: Sequence[bool | None]) -> float | None:
    return None if not flags or None in flags else float(np.mean([bool(flag) for flag in flags]))


def _reference(file: SourceFile, info: FileInfo) -> Reference | None:
    names = (info.env_id, dataset_of_file(file.path))
    return next((row for name in names if name and (row := reference(name))), None)
