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
    """What a file says of itself, without its episodes being read.

    Attributes:
        env_id: The task as the file names it, None if it does not say.
        observation_size: O.
        action_size: A.
        episodes: How many episodes `read` yields over all shares.
        facts: Whatever else it says of itself, for people to read.
        goal_size: G, 0 where it holds no goals.
    """

    env_id: str | None
    observation_size: int
    action_size: int
    episodes: int
    facts: Mapping[str, str] = field(default_factory=dict)
    goal_size: int = 0


@dataclass(frozen=True)
class Format:
    """One format of files or folders. Every function takes a path or URI.

    Attributes:
        name: As people call it.
        recognises: Whether a path is of this format: by content, cheaply, and never with an
            exception for what is of another format, damaged or absent.
        describe: What it says of itself. Raises InputError naming the place and the remedy.
        read: Yields (number, episode) for every `of`-th episode from `index` on, given
            (path, (index, of)); bounded memory; only what falls to the share is turned into
            arrays. Numbers count the episodes of the file. Raises InputError naming the file,
            the episode, the column and the remedy. Executes nothing that it reads.
        suffixes: Endings of file names that promise this format: a damaged file is then
            refused with what this format has to say of it.
    """

    name: str
    recognises: Callable[[str], bool]
    describe: Callable[[str], FileInfo]
    read: Callable[[str, tuple[int, int]], Iterator[tuple[int, Episode]]]
    suffixes: tuple[str, ...] = ()


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
