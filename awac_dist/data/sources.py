"""`--data` arguments -> sources, and a shard's share of a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pyarrow import fs

from awac_dist.data import parquet
from awac_dist.data.formats import FileInfo
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode

EMBEDDED = {"halfcheetah-demonstrations": "HalfCheetah-v5"}
EXPERIENCE = "experience"


@dataclass(frozen=True)
class Source:
    """One source of prior data.

    Attributes:
        name: What a mixture calls it: the argument as the user gave it.
        files: Paths or URIs of its files, in order.
        episodes: Rows in all files.
        demonstrations: Whether somebody who could do the task made it: what is cloned.
    """

    name: str
    files: tuple[str, ...]
    episodes: int
    demonstrations: bool


def open_source(argument: str, spec: EnvSpec) -> Source:
    """Find the files of a `--data` argument and check that they fit the task.

    Args:
        argument: The name of an embedded dataset, a Parquet file, a folder of them, or the
            folder of an earlier run; a path or a URI.
        spec: The task.

    Raises:
        InputError: There is nothing to read, or its shapes are another task's.
    """
    files = _find_files(argument)
    infos = [parquet.read_info(file) for file in files]
    for file, info in zip(files, infos, strict=True):
        _check_sizes(file, info, spec)
    episodes = sum(info.episodes for info in infos)
    if episodes == 0:
        raise InputError(f"{argument}: holds no episodes: collect some, or give another dataset")
    first_file = next(file for file, info in zip(files, infos, strict=True) if info.episodes)
    _, first = next(parquet.read_episodes(first_file))
    return Source(argument, files, episodes, first.origin.kind == "demonstration")


def read_share(source: Source, spec: EnvSpec, index: int, of: int) -> Iterator[tuple[int, Episode]]:
    """Yield (number in the source, episode) for every `of`-th episode from `index` on."""
    before = 0
    for file in source.files:
        info = parquet.read_info(file)
        _check_sizes(file, info, spec)
        for row, episode in parquet.read_episodes(file, ((index - before) % of, of)):
            yield before + row, episode
        before += info.episodes


def _find_files(argument: str) -> tuple[str, ...]:
    if argument in EMBEDDED:
        folder = resources.files("awac_dist.data") / "embedded"
        return (str(folder / f"{argument}.parquet"),)
    filesystem, name = parquet.resolve(argument)
    prefix = argument.removesuffix(name)
    info = filesystem.get_file_info(name)
    if info.type == fs.FileType.NotFound:
        raise InputError(
            f"no dataset {argument!r}: neither a path nor one of {', '.join(EMBEDDED)}"
        )
    if info.type == fs.FileType.File:
        return (argument,)
    files = _parquet_files(filesystem, f"{name}/{EXPERIENCE}") or _parquet_files(filesystem, name)
    if not files:
        raise InputError(f"{argument}: holds no Parquet files")
    return tuple(prefix + file for file in files)


def _parquet_files(filesystem: Any, folder: str) -> list[str]:
    selector = fs.FileSelector(folder, allow_not_found=True)
    found = (info.path for info in filesystem.get_file_info(selector))
    return sorted(path for path in found if path.endswith(".parquet"))


def _check_sizes(file: str, info: FileInfo, spec: EnvSpec) -> None:
    found = (info.observation_size, info.action_size)
    wanted = (spec.observation_size, spec.action_size)
    if found != wanted:
        raise InputError(
            f"{file}: observations [T+1, {found[0]}] and actions [T, {found[1]}] of "
            f"{info.env_id} do not fit {spec.env_id}, which has {wanted[0]} and {wanted[1]}"
        )
