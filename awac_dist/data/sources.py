"""`--data` arguments -> sources of episodes, whatever their format."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib import resources
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import fs

from awac_dist.data import arguments, journal, parquet, passed_over
from awac_dist.data.columns import check_finite
from awac_dist.data.fitting import check_goals, check_sizes, is_same
from awac_dist.data.format import OPTIONS, ORDER, FileInfo, Keys
from awac_dist.data.formats import d4rl, lerobot, minari, rllib_parquet, robomimic, trajectories
from awac_dist.data.fragments import cut
from awac_dist.data.passed_over import PROMISING, holds_promises
from awac_dist.data.shares import Share
from awac_dist.errors import InputError, naming
from awac_dist.files import PART, open_input, resolve, within
from awac_dist.types import EnvSpec, Episode, Kind

EMBEDDED = ("halfcheetah-demonstrations",)
MINARI = "minari:"  # may stand before an id
EXPERIENCE = "experience"
FINITE = ("observations", "actions", "rewards", "desired_goals", "achieved_goals")
FORMATS = {  # in the order in which they are asked
    known.name: known
    for known in (
        parquet.FORMAT,
        journal.FORMAT,
        rllib_parquet.FORMAT,
        lerobot.FORMAT,
        minari.FORMAT,
        robomimic.FORMAT,
        d4rl.FORMAT,
        *trajectories.FORMATS,
    )
}


@dataclass(frozen=True)
class SourceFile:
    """One file, or one folder that is a dataset as a whole."""

    path: str
    format: str  # its name
    digest: str = ""  # of what is in it, where somebody has looked


@dataclass(frozen=True)
class Source:
    """One source of prior data."""

    name: str  # what a mixture calls it: the argument as the user gave it, less its options
    files: tuple[SourceFile, ...]
    place: str  # where it was found: what the user named
    folder: str  # and in which working folder
    options: str = ""  # as the user gave them
    kind: Kind | None = None  # what the user says of it, None to believe the files
    weight: float = 1.0  # how much likelier each transition is drawn than one of weight 1
    keys: Keys = field(default_factory=dict)  # of the files, by column
    any_task: bool = False  # whether it may be of another task than the run
    episode_steps: int | None = None  # at which the clock cut an episode, None to believe the files
    joined: bool = False  # whether it came to a run that had begun without it
    remarks: tuple[str, ...] = ()  # what a person should hear of it, a line each

    @property
    def argument(self) -> str:
        """What the user gave for it."""
        return self.name + self.options


def find(argument: str, folder: str = "") -> Source:
    """Find the files of a `--data` argument, whose paths are relative to a folder.

    It is an embedded dataset's name, a file, a folder, a glob, the folder of an earlier run, or a
    Minari id; a path or a URI. Options follow after commas:
    "door.pickle,kind=demonstration,weight=2,observations=pos+vel".
    """
    name, options = arguments.split(argument, folder)
    if name in EMBEDDED:
        there = [str(resources.files("awac_dist.data") / "embedded" / f"{name}.parquet")]
    else:
        there = arguments.there(name, folder) or [name]  # an id is nowhere
    pattern = name.partition("?")[0] if "://" in name else name
    if glob.has_magic(pattern) and not arguments.exists(there[0]):
        remote = "globs are of paths on this machine, not of URIs: name the folder, or each file"
        nothing = f"matches nothing that we read ({', '.join(FORMATS)})"
        raise InputError(f"{name}: {remote if '://' in name else nothing}")
    if name.startswith(MINARI):
        found = _Found([SourceFile(name.removeprefix(MINARI), minari.FORMAT.name)], [])
    else:
        found = _found_at(there)
    source = Source(name, tuple(found.files), name, folder or os.getcwd(), options)
    return with_options(replace(source, remarks=tuple(found.remarks)))


def with_options(source: Source) -> Source:
    """A source with its options as fields."""
    columns = [column for known in FORMATS.values() for column in known.choices]
    return replace(source, **arguments.typed(source.argument, source.options, columns))


def describe(source: Source) -> list[FileInfo]:
    """What each file of a source says of itself."""
    return [FORMATS[file.format].describe(file.path, source.keys) for file in source.files]


def fitting(source: Source, spec: EnvSpec) -> list[FileInfo]:
    """As `describe`; refuses a file that is of another task, or of other sizes."""
    infos = describe(source)
    for file, info in zip(source.files, infos, strict=True):
        place = source.name if source.name in EMBEDDED else file.path
        check_sizes(place, info, spec)
        if not (source.any_task or not info.env_id or is_same(info.env_id, spec.env_id)):
            raise InputError(
                f"{place}: is of {info.env_id}, not of {spec.env_id}: give --data of that "
                f"task, or say that it may be learned from all the same: {source.name},task=any"
            )
    return infos


def episodes(source: Source) -> Iterator[tuple[SourceFile, int, Episode]]:
    """Yield (file, number in the file, episode) over all files."""
    for file, rows in groupby(_read(source, describe(source)), key=itemgetter(0)):
        for number, (*_, episode) in enumerate(rows):
            yield file, number, episode


def open_source(argument: str, spec: EnvSpec, folder: str = "") -> Source:
    """Find a source, and refuse one that is empty or another task's; see `find`."""
    return opened(find(argument, folder), spec)


def opened(source: Source, spec: EnvSpec) -> Source:
    """A source that was found, which must hold something and be of the task."""
    infos = fitting(source, spec)
    if not any(info.episodes for info in infos):
        raise InputError(
            f"{source.argument}: holds no episodes: collect some, or give another dataset"
        )
    return replace(source, remarks=(*source.remarks, *_remarks(source, infos, spec)))


def _remarks(source: Source, infos: Sequence[FileInfo], spec: EnvSpec) -> Iterator[str]:
    for fact in (ORDER, OPTIONS):
        for told in dict.fromkeys(info.facts[fact] for info in infos if fact in info.facts):
            yield f"{source.name}: {fact}: {told}"
    for named in dict.fromkeys(info.env_id for info in infos if info.env_id):
        if named != spec.env_id:
            yield f"{source.name}: names {named}, and is taken for {spec.env_id}"


def count_episodes(source: Source) -> int:
    """Episodes in all files of a source."""
    return sum(info.episodes for info in describe(source))


def demonstrates(source: Source) -> bool:
    """Whether it holds demonstrations alone; asks the files where nobody says so."""
    if source.kind is not None:
        return source.kind == "demonstration"
    return all(episode.origin.kind == "demonstration" for *_, episode in episodes(source))


def read_share(source: Source, spec: EnvSpec, index: int, of: int) -> Iterator[tuple[int, Episode]]:
    """Yield (number in the source, episode) of a shard's share, checked against the task.

    The parts of an episode that the source has cut share its number.
    """
    for file, number, of_source, episode in _read(source, fitting(source, spec), index, of):
        place = f"{file.path}: episode {number}"
        check_goals(place, episode, spec.goal_size)
        check_usable(place, episode)
        yield of_source, episode


def check_usable(place: str, episode: Episode) -> None:
    """Refuse an episode of numbers that nobody can learn from, as NaN."""
    check_finite(place, 0, **{name: getattr(episode, name) for name in FINITE})


def _read(
    source: Source, infos: list[FileInfo], index: int = 0, of: int = 1
) -> Iterator[tuple[SourceFile, int, int, Episode]]:
    """Yield (file, number in the file, number in the source, episode) of a share."""
    before, share = 0, Share(index, of)
    for file, info in zip(source.files, infos, strict=True):
        for number, episode in _rows(source, file, info, share):
            kind = source.kind or episode.origin.kind
            told = replace(episode, origin=replace(episode.origin, kind=kind))
            parts = cut(told, source.episode_steps) if source.episode_steps else (told,)
            for part in parts:
                yield file, number, before + number, part
        before += info.episodes


def _rows(
    source: Source, file: SourceFile, info: FileInfo, share: Share
) -> Iterator[tuple[int, Episode]]:
    known = FORMATS[file.format]
    if known.reads_parts is not None:
        return known.reads_parts(file.path, share.takes)
    return known.read(file.path, share.pass_over(info.episodes), source.keys)


class _Found(NamedTuple):
    """What lies at some paths, by paths that a process with another working folder finds."""

    files: list[SourceFile]
    remarks: list[str]  # on what is not read


def _found_at(paths: Sequence[str]) -> _Found:
    """What lies at the paths of an argument; refuses those at none of which there is data."""
    found, refusals = _Found([], []), []
    for path in arguments.apart(paths, lambda path: _recognised(path) is not None):
        try:
            files, remarks = _found_in(path)
        except InputError as refusal:
            promises = os.path.isdir(path) or path.endswith(PROMISING)
            files, remarks = [], [passed_over.foreign(path)] * promises
            refusals.append(refusal)
        found.files.extend(files)
        found.remarks.extend(remarks)
    if not found.files:
        raise refusals[0]
    return found


def _found_in(name: str) -> _Found:
    """The file or dataset of a path, or those in its folder."""
    if file := _recognised(name):
        return _Found([file], [])
    if not arguments.exists(name):
        raise InputError(f"no dataset {name!r}: neither a path nor one of {', '.join(EMBEDDED)}")
    filesystem, path = resolve(name.rstrip("/") or name)
    info = filesystem.get_file_info(path)
    if info.type != fs.FileType.Directory:
        raise _refusal(name, info)
    own, logged = (_entries(name, filesystem, path, folder) for folder in ("", EXPERIENCE))
    if (found := _among(logged, filesystem)).files:
        beside = [its for its, info in own.items() if info.path.endswith(PROMISING)]
        found.remarks.extend(map(passed_over.beside_experience, filter(_recognised, beside)))
        return found
    if (found := _among(own, filesystem)).files:
        return found
    deeper = [its for its, info in own.items() if holds_promises(filesystem, info)]
    hint = f"; folders in it are not looked into: name {deeper[0]}" if deeper else ""
    raise InputError(f"{name}: holds nothing that we read: {', '.join(FORMATS)}{hint}")


def _entries(name: str, filesystem: Any, path: str, folder: str) -> dict[str, fs.FileInfo]:
    """By path or URI, in order, what is whole in a folder of the one of a name."""
    root = f"{path.rstrip('/')}/"
    inside = filesystem.get_file_info(fs.FileSelector(f"{root}{folder}", allow_not_found=True))
    whole = [its for its in inside if not fnmatchcase(its.path, f"*{PART}")]
    whole.sort(key=lambda its: its.path)
    return {within(name, its.path.removeprefix(root)): its for its in whole}


def _among(entries: Mapping[str, fs.FileInfo], filesystem: Any) -> _Found:
    """What is read of them, and what a person should hear of the others."""
    read = {name: file for name in entries if (file := _recognised(name))}
    left = [(name, info) for name, info in entries.items() if name not in read]
    remarks = [said for its in left for said in passed_over.in_a_folder(filesystem, *its)]
    return _Found(list(read.values()), remarks)


def _refusal(name: str, info: fs.FileInfo) -> InputError:
    """Why a file is not read."""
    with naming(name, "give one that can be read"):
        open_input(name).close()
    if info.size == 0:
        return InputError(f"{name}: is empty: fetch or write it again")
    for candidate in FORMATS.values():
        if info.path.endswith(candidate.suffixes):
            candidate.describe(name)  # has better words for what is wrong
    return InputError(
        f"{name}: is none of the formats that we read: {', '.join(FORMATS)}: if it should be "
        "one of these, it is damaged: write or fetch it again"
    )


def _recognised(path: str) -> SourceFile | None:
    for name, known in FORMATS.items():
        if known.recognises(path):
            return SourceFile(str(Path(path).resolve()) if Path(path).exists() else path, name)
    return None
