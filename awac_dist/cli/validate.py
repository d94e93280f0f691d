"""`awac-dist data validate`: file, episode, row and column of what is wrong, and a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from awac_dist.cli.bounds import Bounds, action_bounds
from awac_dist.cli.commands import Validate
from awac_dist.cli.records import Row, digest
from awac_dist.cli.survey import COLUMNS
from awac_dist.data import sources
from awac_dist.data.format import FileInfo
from awac_dist.data.sources import Source, SourceFile
from awac_dist.errors import InputError
from awac_dist.types import Episode

DATA_SUFFIXES = {".parquet", ".hdf5", ".h5", ".npy", ".pickle", ".pkl"}


class Finding(NamedTuple):
    """One thing that is wrong."""

    place: str  # file, episode, row, column, as far as they apply
    problem: str
    remedy: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class Seen:
    """What a pass over one source has to remember to judge it as a whole."""

    def __init__(self) -> None:
        self.episodes = 0
        self.ended = 0  # episodes that say that they terminated or were truncated
        self.rewards: set[float] = set()  # the first two values that differ
        self.contents: dict[bytes, Row] = {}

    def see(self, row: Row, episode: Episode) -> Row | None:
        """Take an episode in; returns the earlier row with the same content."""
        self.episodes += 1
        self.ended += episode.terminated or episode.truncated
        if len(self.rewards) < 2:
            self.rewards.update(np.unique(episode.rewards)[:2].tolist())
        first = self.contents.setdefault(digest(episode), row)
        return None if first == row else first


def run(options: Validate) -> int:
    """Print everything that is wrong with some sources; returns 0, or 1 if there is something.

    Raises:
        InputError: A source does not exist.
    """
    count = 0
    for finding in findings(options.sources):
        count += 1
        print(" ".join(str(finding).split()))
    many = f"{count:,} problem{'s' if count > 1 else ''} found"
    print(many if count else f"nothing wrong in {', '.join(options.sources)}")
    return 1 if count else 0


def findings(arguments: Sequence[str]) -> Iterator[Finding]:
    """Everything that is wrong with some sources, as it is found."""
    found = [(argument, _find(argument)) for argument in arguments]
    sizes: list[tuple[SourceFile, FileInfo]] = []
    for argument, source in found:
        if isinstance(source, Finding):
            yield source
        else:
            yield from _unread(argument, source)
            yield from _source_findings(source, sizes)
    yield from _mismatches(sizes)


def _find(argument: str) -> Source | Finding:
    """A source, or what is wrong with what lies there."""
    try:
        return sources.find(argument)
    except InputError as error:
        if not Path(argument.split(",")[0]).exists():
            raise
        remedy = "if it should be one of these, it is damaged: write or fetch it again"
        return Finding("", str(error), remedy)


def _unread(argument: str, source: Source) -> Iterator[Finding]:
    """Files beside those that are read which look like data and are not read."""
    folders = {Path(file.path).parent for file in source.files}
    if not Path(argument.split(",")[0]).is_dir():
        return
    read = {Path(file.path) for file in source.files}
    for folder in sorted(folders):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.suffix in DATA_SUFFIXES and path not in read:
                remedy = "it is damaged or foreign: write it again, or move it away"
                yield Finding(str(path), "is passed over: none of our formats", remedy)


def _source_findings(source: Source, sizes: list[tuple[SourceFile, FileInfo]]) -> Iterator[Finding]:
    seen = Seen()
    for file in source.files:
        part = replace(source, files=(file,))
        try:
            info = sources.describe(part)[0]
            sizes.append((file, info))
            yield from _file_findings(part, info, seen)
        except InputError as error:
            yield Finding("", str(error), "the rest of this file was not checked")
    yield from _whole_findings(source, seen)


def _file_findings(part: Source, info: FileInfo, seen: Seen) -> Iterator[Finding]:
    bounds = action_bounds([info])
    for file, number, episode in sources.episodes(part):
        place = f"{file.path}: episode {number}"
        earlier = seen.see(Row(file.path, number), episode)
        if earlier is not None:
            where = f"episode {earlier.number} of {earlier.path}"
            yield Finding(place, f"is equal to {where}", "leave one of them out")
        yield from episode_findings(place, episode, info, bounds)


def episode_findings(
    place: str, episode: Episode, info: FileInfo, bounds: Bounds
) -> Iterator[Finding]:
    """What is wrong with one episode by itself."""
    yield from _not_finite(place, episode)
    widths = (episode.observations.shape[1], episode.actions.shape[1])
    if widths != (info.observation_size, info.action_size):
        wanted = f"{info.observation_size} and {info.action_size}"
        yield Finding(
            place, f"has {widths[0]} and {widths[1]} columns, not {wanted}", "leave it out"
        )
        return
    if len(episode) > 1 and bool((episode.observations == episode.observations[0]).all()):
        remedy = "leave it out: nothing can be learned from a robot that stands still"
        yield Finding(f"{place}, column observations", "never change", remedy)
    outside = bounds.outside(episode.actions)
    by_our_worker = episode.origin.worker >= 0  # which keep actions as they were chosen
    if outside.any() and episode.origin.kind != "online" and not by_our_worker:
        most = float(np.abs(episode.actions[outside]).max())
        yield Finding(
            f"{place}, {_first(outside, 'actions')}",
            f"outside {bounds.origin}, by magnitude up to {most:.3g}",
            "convert with --clip-actions, or scale them",
        )


def _not_finite(place: str, episode: Episode) -> Iterator[Finding]:
    for name in COLUMNS:
        column = getattr(episode, name)
        if column is None:
            continue
        for what, wrong in (("NaN", np.isnan(column)), ("infinite", np.isinf(column))):
            if wrong.any():
                where = f"{place}, {_first(wrong, name)}"
                yield Finding(where, what, "leave the episode out, or record it again")


def _first(wrong: np.ndarray, name: str) -> str:
    """Row and column of the first entry that is wrong, and how many there are."""
    first = tuple(int(place) for place in np.argwhere(wrong)[0])
    column = f"{name}[{first[1]}]" if len(first) > 1 else name
    more = int(wrong.sum()) - 1
    return f"row {first[0]}, column {column}" + (f" and {more:,} more entries" if more else "")


def _whole_findings(source: Source, seen: Seen) -> Iterator[Finding]:
    """What is wrong with a source as a whole."""
    if not seen.episodes:
        yield Finding(source.name, "holds no episode that can be read", "give another source")
        return
    if len(seen.rewards) == 1:
        value = next(iter(seen.rewards))
        remedy = "convert with --relabel TASK, or add data where some step earns another one"
        yield Finding(f"{source.name}: column rewards", f"always {value:g}", remedy)
    if not seen.ended:
        yield Finding(
            f"{source.name}: columns terminated and truncated",
            f"all {seen.episodes:,} episodes are cut: none says how it ended",
            "mark the last step of each as terminated (the task ended) or truncated (the clock)",
        )


def _mismatches(sizes: list[tuple[SourceFile, FileInfo]]) -> Iterator[Finding]:
    """Files that do not fit the first one."""
    for file, info in sizes[1:]:
        first_file, first = sizes[0]
        found = (info.observation_size, info.action_size)
        wanted = (first.observation_size, first.action_size)
        if found != wanted:
            problem = f"observations [T+1, {found[0]}] and actions [T, {found[1]}]"
            problem += f", but {first_file.path} has {wanted[0]} and {wanted[1]}"
            yield Finding(file.path, problem, "give data of one task only")
        elif None not in (first.env_id, info.env_id) and first.env_id != info.env_id:
            problem = f"is of {info.env_id}, but {first_file.path} is of {first.env_id}"
            yield Finding(file.path, problem, "give data of one task only")
