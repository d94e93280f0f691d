"""What every format offers to the rest of the project: recognise, describe, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from awac_dist.errors import InputError
from awac_dist.types import Episode

FETCH_AGAIN = "is the file whole? fetch it again"


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, without its episodes being read."""

    env_id: str | None  # the task as the file names it, None if it does not say
    observation_size: int
    action_size: int
    episodes: int  # that `read` yields over all shares
    facts: Mapping[str, str] = field(default_factory=dict)  # what else it says, for people to read
    goal_size: int = 0  # 0 where it holds no goals


@dataclass(frozen=True)
class Format:
    """One format of files or folders. Every function takes a path or URI.

    Those that describe and read raise InputErrors that name the file, the episode, the column and
    the remedy. `read` yields (number, episode) for every `of`-th episode of the file from `index`
    on, given (path, (index, of)), in bounded memory; only its share is turned into arrays.
    """

    name: str  # as people call it
    looks_like: Callable[[str], bool]  # by content, cheaply; an exception means no
    describe: Callable[[str], FileInfo]
    read: Callable[[str, tuple[int, int]], Iterator[tuple[int, Episode]]]
    suffixes: tuple[str, ...] = ()  # of names that promise it: it says what is wrong with such

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


@contextmanager
def naming(place: str, remedy: str = FETCH_AGAIN) -> Iterator[None]:
    """Turn whatever a library raises over damaged input into one line that names the place."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = as_text(error) or type(error).__name__
        raise InputError(f"{place}: {reason}: {remedy}") from error


def as_text(value: Any) -> str:
    """Any scalar of a file as one line to print."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return " ".join(text.split())[:200]
