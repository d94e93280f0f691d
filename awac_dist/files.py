"""Paths and URIs: whole files or none, sealed folders, bounds of memory, and errors of one line.

A *sealed* folder is whole or absent, and tells of damage: `manifest.json`, written last, says the
size and SHA-256 of its other files. A folder without one is what a process left that died over it.
Renames of folders are not atomic in object stores; that of one file is, there as here.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from numpy.lib import format as npy
from pyarrow import fs

from awac_dist.errors import InputError, UnknownPlace, first_line

MANIFEST, SET_ASIDE = "manifest.json", "manifest-of-damaged.json"
PART = f".{'[0-9a-f]' * 8}.part"  # how the names of what is not whole yet end, as a glob
UNPACKED_BYTES, UNPACKED_RATIO = 128 << 20, 32
UNQUOTED = "/!$&'()*+,;=:@"  # besides letters and digits, in the names of a URI
DEVICES = "/dev/"
RECORD_BYTES = 1024  # what an episode, a row or an array costs besides its numbers
BOUNDS_BYTES = 256  # what it costs to know where an episode lies


def resolve(path: str) -> tuple[Any, str]:
    """File system and name of a path or URI.

    UnknownPlace if nothing here knows its kind, or the place is out of reach.
    """
    if "://" not in path:
        return fs.LocalFileSystem(), path
    try:
        filesystem, name = fs.FileSystem.from_uri(path)
    except (ValueError, OSError) as error:
        raise UnknownPlace(first_line(error)) from error
    return filesystem, str(name)


def within(folder: str, name: str) -> str:
    """Path or URI of what has a name in a folder; a URI has it quoted, and its query last."""
    if "://" not in folder:
        return f"{folder.rstrip('/')}/{name}"
    place, mark, query = folder.partition("?")
    return f"{place.rstrip('/')}/{quote(name, safe=UNQUOTED)}{mark}{query}"


def beside(path: str) -> str:
    """A path or URI next to one, for what is to become it; no other process ever takes the same."""
    return f"{path}.{uuid4().hex[:8]}.part"


@contextmanager
def written_aside(path: str) -> Iterator[tuple[Any, str]]:
    """A file system and a name to write to, which becomes `path` at the end of the `with`.

    So the file is whole or absent, and of one writer, whoever else writes it meanwhile; what cannot
    be finished leaves its room to others.
    """
    filesystem, name = resolve(path)
    aside = beside(name)
    try:
        yield filesystem, aside
        filesystem.move(aside, name)
    except BaseException:
        with suppress(OSError):
            filesystem.delete_file(aside)
        raise


def open_input(path: str) -> Any:
    """The file at a path or URI, to read from it.

    An InputError refuses pipes, devices and sockets, which may never answer, or never end.
    """
    filesystem, name = resolve(path)
    _refuse_special(path, filesystem, name)
    return filesystem.open_input_file(name)


def _refuse_special(path: str, filesystem: Any, name: str) -> None:
    if filesystem.get_file_info(name).type == fs.FileType.Unknown:
        raise InputError(f"{path}: is a pipe, a device or a socket: give a regular file")


def read_file(path: str, most: int | None = None) -> bytes:
    """Everything in the file at a path or URI, or the first bytes of it."""
    with open_input(path) as file:
        return bytes(file.read(most))


def head(path: str, count: int) -> bytes:
    """The first bytes of the file at a path or URI; none where there is no file."""
    try:
        with open_input(path) as file:
            return bytes(file.read(count))
    except (OSError, InputError):
        return b""


def files_below(filesystem: Any, name: str) -> list[Any]:
    """What a file system tells of a file, or of all in a folder and below, by their names."""
    found = [filesystem.get_file_info(name)]
    if found[0].type == fs.FileType.Directory:
        found = filesystem.get_file_info(fs.FileSelector(name, recursive=True))
    return sorted((its for its in found if its.type == fs.FileType.File), key=lambda its: its.path)


class Budget:
    """What a file, or a folder of them, may unpack to: 128 MiB and 32 times its size, in all.

    Every reader counts what it is about to take, and what it will hand out, against it first: so
    memory and time are bounded by what lies on the disk. Measured or computed numbers pack to a
    half or a tenth; only what a few bytes repeat for ever exceeds it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = self._limit = UNPACKED_BYTES + UNPACKED_RATIO * size

    @classmethod
    def of(cls, path: str) -> Budget:
        """That of a file or a folder."""
        return cls(sum(info.size for info in files_below(*resolve(path))))

    def take(self, count: int, place: str) -> None:
        """Count bytes; an InputError names the place whose bytes are too many."""
        self._left -= max(count, 0)
        if self._left < 0:
            raise InputError(
                f"{place}: would unpack to more than {self._limit >> 20:,} MiB, too much for "
                f"{self._size:,} bytes on disk: damaged, or made to fill the memory: "
                "fetch it again; if it is meant, split it into several"
            )


def unzip(path: str, content: bytes, budget: Budget) -> dict[str, bytes]:
    """The files in a zip, by name; a ValueError, or zipfile's own, if they are damaged."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename!r} is packed in an unusual way")
            budget.take(member.file_size + RECORD_BYTES, path)
        return {member.filename: archive.read(member) for member in archive.infolist()}


def unpack_npz(path: str, content: bytes) -> dict[str, Any]:
    """The arrays in an .npz file, by name; a ValueError, or zipfile's own, if they are damaged."""
    files = unzip(path, content, Budget(len(content)))
    return {
        name.removesuffix(".npy"): npy.read_array(io.BytesIO(its), allow_pickle=False)
        for name, its in files.items()
    }


def write_file(path: str, content: bytes) -> None:
    """Write the file at a path or URI, whole or not at all, in a folder that is made for it.

    What was there before stays until then. A pipe or a device is no file: it is written into.
    """
    filesystem, name = resolve(path)
    is_special = filesystem.get_file_info(name).type == fs.FileType.Unknown
    if is_special or path.startswith(DEVICES):  # /dev/stdout is what it leads to
        with open(name, "ab") as special:
            special.write(content)
        return
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
    found: dict[str, set[str]] = {}
    everything = fs.FileSelector(root, allow_not_found=True, recursive=True)
    for info in filesystem.get_file_info(everything):
        match info.path.removeprefix(root.rstrip("/")).split("/"):
            case ["", inner, name] if info.type == fs.FileType.File:
                found.setdefault(inner, set()).add(name)
    return dict(sorted(found.items(), key=lambda item: _numbers(item[0])))


def sealed(folder: str) -> list[str]:
    """Paths or URIs of the sealed folders in one, 9 before 10."""
    return [f"{folder}/{name}" for name, files in subfolders(folder).items() if MANIFEST in files]


def read_sealed(path: str) -> bytes:
    """A file, which is as it was written if its folder is sealed.

    An InputError says that it is damaged, or its folder's manifest is.
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
