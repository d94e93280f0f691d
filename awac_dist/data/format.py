"""What every format offers to the rest of the project: recognise, describe, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

from awac_dist.data.shares import Takes
from awac_dist.errors import InputError
from awac_dist.types import Episode

ORDER, OPTIONS = "observation", "environment options"  # facts that are said wherever data is loaded
Keys = Mapping[str, tuple[str, ...]]  # by column, what a file calls its parts, side by side
VECTORS = ("observations", "actions", "next_observations")  # they may be made of several keys
OWN_KEYS: Keys = MappingProxyType({})  # those that a format chooses


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, without its episodes being read."""

    env_id: str | None  # the task as the file names it, None if it does not say
    observation_size: int
    action_size: int
    episodes: int  # that `read` yields over all shares
    facts: Mapping[str, str] = field(default_factory=dict)  # what else it says, for people to read
    goal_size: int = 0  # 0 where it holds no goals
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # [A] each, if it says


@dataclass(frozen=True)
class Format:
    """One format of files or folders. Every function takes a path or URI.

    Those that describe and read raise InputErrors that name the file, the episode, the column and
    the remedy. `reads` yields (number, episode) for every `of`-th episode of the file from `index`
    on, given (path, (index, of)), in bounded memory; only its share is turned into arrays.
    A format that has a choice of columns gives both the user's `Keys` as their last argument.
    One whose rows may be parts of episodes that lie in several files has `reads_parts`: as `reads`,
    given (path, whether a row is to be read).
    """

    name: str  # as people call it
    looks_like: Callable[[str], bool]  # by content, cheaply; an exception means no
    describes: Callable[..., FileInfo]
    reads: Callable[..., Iterator[tuple[int, Episode]]]
    suffixes: tuple[str, ...] = ()  # of names that promise it: it says what is wrong with such
    place: Callable[[str], str] = str  # where a name that is no path lies on this machine
    choices: tuple[str, ...] = ()  # columns whose keys the user may choose
    reads_parts: Callable[[str, Takes], Iterator[tuple[int, Episode]]] | None = None

    def describe(self, path: str, keys: Keys = OWN_KEYS) -> FileInfo:
        """What a file says of itself."""
        return self.describes(path, *self._chosen(path, keys))

    def read(
        self, path: str, share: tuple[int, int], keys: Keys = OWN_KEYS
    ) -> Iterator[tuple[int, Episode]]:
        """Yield (number in the file, episode) of a share (index, of how many)."""
        return self.reads(path, share, *self._chosen(path, keys))

    def _chosen(self, path: str, keys: Keys) -> tuple[Keys, ...]:
        for column, its in keys.items():
            if column not in self.choices:
                raise InputError(
                    f"{path}: {self.name} has no choice of {column}: leave {column}= out"
                )
            if len(its) > 1 and column not in VECTORS:
                raise InputError(
                    f"{path}: {column}={'+'.join(its)}: has one number a step: name one key"
                )
        return (keys,) if self.choices else ()

    def recognises(self, path: str) -> bool:
        """Whether a path is of this format, and not of another one, damaged or absent."""
        try:
            return self.looks_like(path)
        except Exception:  # what damaged files make of a library cannot be foreseen
            return False


def needed_package(module: str, file: str) -> Any:
    """A module of a package that only this file needs; its absence is told with the remedy."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"{file}: needs the package {module.split('.')[0]}: pip install 'awac_dist[data]'"
        ) from error


def as_text(value: Any) -> str:
    """Any scalar of a file as one line to print."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return " ".join(text.split())[:200]
