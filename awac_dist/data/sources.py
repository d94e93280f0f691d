"""`--data` arguments -> sources of episodes, whatever their format."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import numpy as np
from pyarrow import fs

from awac_dist.data import arguments, journal, parquet
from awac_dist.data.columns import check_finite
from awac_dist.data.format import FileInfo, Keys, naming
from awac_dist.data.formats import d4rl, lerobot, minari, rllib_parquet, robomimic, trajectories
from awac_dist.errors import InputError
from awac_dist.files import opened, resolve
from awac_dist.types import EnvSpec, Episode, Kind

EMBEDDED = {"halfcheetah-demonstrations": "HalfCheetah-v5"}
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


@dataclass(frozen=True)
class Source:
    """One source of prior data."""

    name: str  # what a mixture calls it: the argument as the user gave it, less its options
    files: tuple[SourceFile, ...]  # in order
    kind: Kind | None = None  # what the user says of it, None to believe the files
    weight: float = 1.0  # how much likelier each transition is drawn than one of weight 1
    keys: Keys = field(default_factory=dict)  # of the files, by column; empty: the format chooses


def find(argument: str) -> Source:
    """Find the files of a `--data` argument.

    Args:
        argument: An embedded dataset's name, a file, a folder, a glob, the folder of an earlier
            run, or a Minari id; a path or a URI. Options follow after commas:
            "door.pickle,kind=demonstration,weight=2,observations=pos+vel".
    """
    name, options = arguments.split(argument)
    if glob.has_magic(name) and not arguments.exists(name):
        files = _all_recognised(glob.glob(name))
        if not files:
            raise InputError(f"{name}: matches nothing that we read ({', '.join(FORMATS)})")
    else:
        folder = resources.files("awac_dist.data") / "embedded"
        path = str(folder / f"{name}.parquet") if name in EMBEDDED else name
        files = _all_recognised([path]) or _files_in(path)
    columns = [column for known in FORMATS.values() for column in known.choices]
    return Source(name, files, **arguments.typed(argument, options, columns))


def describe(source: Source) -> list[FileInfo]:
    """What each file of a source says of itself."""
    return [FORMATS[file.format].describe(file.path, source.keys) for file in source.files]


def episodes(source: Source) -> Iterator[tuple[SourceFile, int, Episode]]:
    """Yield (file, number in the file, episode) over all files."""
    for file, number, _, episode in _read(source, describe(source)):
        yield file, number, episode


def open_source(argument: str, spec: EnvSpec) -> Source:
    """Find a source, and refuse one that is empty or whose shapes are another task's."""
    source = find(argument)
    made_for = EMBEDDED.get(source.name, spec.env_id)
    if made_for != spec.env_id:
        raise InputError(
            f"{source.name} are of {made_for}, not of {spec.env_id}: give that task's own --data"
        )
    if not any(info.episodes for info in _fitting(source, spec)):
        raise InputError(f"{argument}: holds no episodes: collect some, or give another dataset")
    return source


def count_episodes(source: Source) -> int:
    """Episodes in all files of a source."""
    return sum(info.episodes for info in describe(source))


def read_share(source: Source, spec: EnvSpec, index: int, of: int) -> Iterator[tuple[int, Episode]]:
    """Yield (number in the source, episode) of a shard's share, checked against the task."""
    for file, number, of_source, episode in _read(source, _fitting(source, spec), index, of):
        columns = {name: getattr(episode, name) for name in FINITE}
        check_finite(f"{file.path}: episode {number}", 0, **columns)
        yield of_source, episode


def _read(
    source: Source, infos: list[FileInfo], index: int = 0, of: int = 1
) -> Iterator[tuple[SourceFile, int, int, Episode]]:
    """Yield (file, number in the file, number in the source, episode) of a share."""
    before = 0
    for file, info in zip(source.files, infos, strict=True):
        own_share = ((index - before) % of, of)
        for number, episode in FORMATS[file.format].read(file.path, own_share, source.keys):
            kind = source.kind or episode.origin.kind
            told = replace(episode, origin=replace(episode.origin, kind=kind))
            yield file, number, before + number, told
        before += info.episodes


def out_of_range(episode: Episode, spec: EnvSpec) -> int:
    """Steps whose action leaves the task's bounds in some dimension."""
    return int((clipped(episode, spec).actions != episode.actions).any(axis=1).sum())


def clipped(episode: Episode, spec: EnvSpec) -> Episode:
    """The episode with its actions clipped to the task's bounds."""
    low, high = (np.array(bound, np.float32) for bound in (spec.action_low, spec.action_high))
    return replace(episode, actions=np.clip(episode.actions, low, high))


def _files_in(name: str) -> tuple[SourceFile, ...]:
    """The files of a folder that no format takes as a whole."""
    filesystem, path = resolve(name.rstrip("/") or name)
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.NotFound:
        raise InputError(f"no dataset {name!r}: neither a path nor one of {', '.join(EMBEDDED)}")
    if info.type != fs.FileType.Directory:
        with naming(name, "give one that can be read"):
            opened(name).close()
        if info.size == 0:
            raise InputError(f"{name}: is empty: fetch or write it again")
        for candidate in FORMATS.values():
            if name.endswith(candidate.suffixes):
                candidate.describe(name)  # has better words for what is wrong
        raise InputError(f"{name}: is none of the formats that we read: {', '.join(FORMATS)}")
    prefix = name.rstrip("/").removesuffix(path)
    for folder in (f"{path}/{EXPERIENCE}", path):
        inside = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        found = _all_recognised(prefix + info.path for info in inside)
        if found:
            return found
    raise InputError(f"{name}: holds nothing that we read: {', '.join(FORMATS)}")


def _all_recognised(paths: Iterable[str]) -> tuple[SourceFile, ...]:
    """Those that we read, by paths that a process with another working folder finds."""
    found = []
    for path in sorted(paths):
        name = next((name for name, known in FORMATS.items() if known.recognises(path)), None)
        if name is not None:
            absolute = str(Path(path).resolve()) if Path(path).exists() else path  # a URI, an id
            found.append(SourceFile(absolute, name))
    return tuple(found)


def _fitting(source: Source, spec: EnvSpec) -> list[FileInfo]:
    """What each file says of itself; refuses one whose sizes are not the task's."""
    infos, wanted = describe(source), (spec.observation_size, spec.action_size)
    for file, info in zip(source.files, infos, strict=True):
        found = (info.observation_size, info.action_size)
        if found != wanted:
            of = f" of {info.env_id}" if info.env_id else ""
            raise InputError(
                f"{file.path}: observations [T+1, {found[0]}] and actions [T, {found[1]}]{of} "
                f"do not fit {spec.env_id}, which has {wanted[0]} and {wanted[1]}"
            )
        if spec.goal_size not in (0, info.goal_size):
            raise InputError(
                f"{file.path}: goals [{info.goal_size}] do not fit {spec.env_id}, which has "
                f"[{spec.goal_size}]: its data needs desired_goals and achieved_goals"
            )
    return infos
