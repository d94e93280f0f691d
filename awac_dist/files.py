"""Paths and URIs: whole files or none, and errors of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyarrow import fs


def resolve(path: str) -> tuple[Any, str]:
    """File system and name of a path or URI."""
    if "://" in path:
        filesystem, name = fs.FileSystem.from_uri(path)
        return filesystem, str(name)
    return fs.LocalFileSystem(), path


@contextmanager
def written_aside(path: str) -> Iterator[tuple[Any, str]]:
    """A file system and a name to write to, which becomes `path` at the end of the `with`.

    So the file is whole or absent; what cannot be finished leaves its room to others.
    """
    filesystem, name = resolve(path)
    aside = f"{name}.part"
    try:
        yield filesystem, aside
        filesystem.move(aside, name)
    except OSError:
        with suppress(OSError):
            filesystem.delete_file(aside)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file that is whole, or as it was before."""
    aside = path.with_name(f"{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def first_line(error: Exception) -> str:
    """What an error says, short enough for one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
