"""Paths and URIs: whole files or none, sealed folders, and errors of one line.

A *sealed* folder is whole or absent, and tells of damage: `manifest.json`, written last, says the
size and SHA-256 of its other files. A folder without one is what a process left that died over it.
Renames of folders are not atomic in object stores; that of one file is, there as here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from pyarrow import fs

from awac_dist.errors import InputError, UnknownPlace, first_line

MANIFEST, SET_ASIDE = "manifest.json", "manifest-of-damaged.json"


def resolve(path: str) -> tuple[Any, str]:
    """File system and name of a path or URI.

    Raises:
        UnknownPlace: It is a URI of no kind that is known here.
    """
    if "://" not in path:
        return fs.LocalFileSystem(), path
    try:
        filesystem, name = fs.FileSystem.from_uri(path)
    except ValueError as error:
        raise UnknownPlace(first_line(error)) from error
    return filesystem, str(name)


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


def read_file(path: str) -> bytes:
    """Everything in the file at a path or URI."""
    filesystem, name = resolve(path)
    with filesystem.open_input_file(name) as file:
        return bytes(file.read())


def head(path: str, count: int) -> bytes:
    """The first bytes of the file at a path or URI; none where there is no file."""
    try:
        filesystem, name = resolve(path)
        with filesystem.open_input_file(name) as file:
            return bytes(file.read(count))
    except (OSError, UnknownPlace):
        return b""


def write_file(path: str, content: bytes) -> None:
    """Write the file at a path or URI, whole or not at all, in a folder that is made for it.

    What was there before stays until then.
    """
    filesystem, name = resolve(path)
    filesystem.create_dir(name.rpartition("/")[0] or ".", recursive=True)
    with written_aside(path) as (_, aside), filesystem.open_output_stream(aside) as file:
        file.write(content)


def seal(folder: str, files: Mapping[str, bytes]) -> None:
    """Write a sealed folder to a path or URI at which there is nothing yet."""
    for name, content in files.items():
        write_file(f"{folder}/{name}", content)
    manifest = {name: _figures(content) for name, content in files.items()}
    write_file(f"{folder}/{MANIFEST}", json.dumps(manifest, indent=1).encode())


def subfolders(folder: str) -> dict[str, set[str]]:
    """Names of the folders in one, 9 before 10, and of the files in each."""
    filesystem, root = resolve(folder)
    everything = fs.FileSelector(root, allow_not_found=True, recursive=True)
    found: dict[str, set[str]] = {}
    for info in filesystem.get_file_info(everything):
        parent, _, name = info.path.rpartition("/")
        if info.type == fs.FileType.File and parent.rpartition("/")[0] == root.rstrip("/"):
            found.setdefault(parent.rpartition("/")[2], set()).add(name)
    return dict(sorted(found.items(), key=lambda item: _numbers(item[0])))


def sealed(folder: str) -> list[str]:
    """Paths or URIs of the sealed folders in one, 9 before 10."""
    return [f"{folder}/{name}" for name, files in subfolders(folder).items() if MANIFEST in files]


def read_sealed(path: str) -> bytes:
    """A file, which is as it was written if its folder is sealed.

    Raises:
        InputError: It is damaged, or its folder's manifest is.
        OSError: It cannot be read.
    """
    content = read_file(path)
    folder, _, name = path.rpartition("/")
    try:
        stated = json.loads(read_file(f"{folder}/{MANIFEST}"))[name]
    except FileNotFoundError:
        return content
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder}/{MANIFEST}: is damaged: {first_line(error)}") from error
    if stated != _figures(content):
        raise InputError(f"{path}: is damaged: its checksum is another one")
    return content


def set_aside(folder: str) -> None:
    """Let a sealed folder no longer count as such; nothing of it is lost."""
    filesystem, name = resolve(folder)
    filesystem.move(f"{name}/{MANIFEST}", f"{name}/{SET_ASIDE}")


def remove_folder(folder: str) -> None:
    """Remove a folder, from a moment on at which it no longer counts as sealed."""
    filesystem, name = resolve(folder)
    with suppress(FileNotFoundError):
        filesystem.delete_file(f"{name}/{MANIFEST}")
    filesystem.delete_dir(name)


def _figures(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _numbers(name: str) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", name)], name


def create_exclusively(path: str, content: bytes) -> bool:
    """Create a file that only one of many processes may create; returns whether this one did.

    Locally the system sees to it. Object stores are not asked to by their file system here, so
    that each process writes an object of its own, PATH-TOKEN, and gives up, removing it, if it
    then sees another one's. Where lists are up to date, as those of S3, GCS and Azure are, at
    most one process gets through; two at the same moment may both give up.
    """
    filesystem, name = resolve(path)
    folder = name.rpartition("/")[0]
    filesystem.create_dir(folder, recursive=True)
    if isinstance(filesystem, fs.LocalFileSystem):
        try:
            with open(name, "xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True
    own = f"{name}-{uuid4().hex}"
    with filesystem.open_output_stream(own) as file:
        file.write(content)
    there = [info.path for info in filesystem.get_file_info(fs.FileSelector(folder))]
    alone = [path for path in there if path.startswith(f"{name}-")] == [own]
    if not alone:
        filesystem.delete_file(own)
    return alone
