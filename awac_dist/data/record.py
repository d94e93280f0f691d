"""Which data a run learns from: looked at when it begins, and the same whenever it goes on.

A file's digest is of its length and content: all of it up to 4 MiB, else 256 blocks of 16 KiB that
lie evenly over it, the first and the last among them. So it costs about as much for 10 GB as for
4 MB, here and in object stores. A file that is written anew is another one to it; a change within a
larger file that leaves its length, and what is between the blocks, can escape it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from awac_dist.data import arguments
from awac_dist.data.format import Keys
from awac_dist.data.sources import FORMATS, Source, SourceFile, find, opened, with_options
from awac_dist.errors import InputError, naming
from awac_dist.files import files_below, resolve
from awac_dist.types import EnvSpec

RECORD = "sources.json"  # of a run's folder
WHOLE_BYTES, BLOCKS, BLOCK_BYTES = 4 << 20, 256, 16 << 10
READERS = 16  # files that are read at once
KEPT = ("name", "place", "folder", "options", "joined")


def begin(data: Sequence[str], spec: EnvSpec, folder: str = "") -> list[Source]:
    """Open the sources of a run that begins.

    An InputError names one that cannot be read, is of another task, or holds what another one does.
    """
    found = [opened(_digested(find(argument, folder)), spec) for argument in data]
    _check_copies(found)
    return found


def go_on(record: str, data: Sequence[str], spec: EnvSpec) -> list[Source]:
    """Open the sources of a run that goes on, as it began: as `record_of` wrote them.

    The `data` that the user gives now tells where some of it is by now, or is new. An InputError is
    as of `begin`; or it names data that is gone, or is not what it was.
    """
    given, found = [_digested(find(argument)) for argument in data], list[Source]()
    for known in _recorded(record):
        there = next((its for its in given if _holds(its, known)), None)
        if there is None:
            there = _at_its_place(known)
        else:
            given.remove(there)
        found.append(opened(_as_recorded(known, there), spec))
    names = {source.name for source in found}
    for source in given:
        if source.name in names:
            raise InputError(
                f"{source.name}: is not what it was when the run began: bring that back, or give "
                "new data another name"
            )
    found += [replace(opened(source, spec), joined=True) for source in given]
    _check_copies(found)
    return found


def record_of(sources: Sequence[Source]) -> str:
    """What `go_on` needs to know of the sources of a run, as JSON."""
    entries = [
        {name: getattr(source, name) for name in KEPT}
        | {"files": [asdict(file) for file in source.files]}
        for source in sources
    ]
    return f"{json.dumps(entries, indent=1)}\n"


def _recorded(record: str) -> list[Source]:
    with naming(f"{RECORD} of the run cannot be read", "bring back a copy"):
        return [
            with_options(
                Source(
                    files=tuple(SourceFile(**file) for file in entry["files"]),
                    **{name: entry[name] for name in KEPT},
                )
            )
            for entry in json.loads(record)
        ]


def _holds(source: Source, known: Source) -> bool:
    return {file.digest for file in known.files} <= {file.digest for file in source.files}


def _at_its_place(known: Source) -> Source:
    """A source of a run where it was found before, if that still holds the same."""
    files: tuple[SourceFile, ...] = ()
    with suppress(InputError):
        found = _digested(find(known.place + known.options, known.folder))
        if _holds(found, known):
            return found
        files = found.files
    there = {file.digest for file in files}
    path = next(file.path for file in known.files if file.digest not in there)
    if arguments.exists(path) or path in {file.path for file in files}:
        raise InputError(
            f"{path}: is not what it was when the run began: bring that back, or start a new run"
        )
    raise InputError(
        f"{path}: is not there any more: bring it back, or say with --data where {known.name} is"
    )


def _as_recorded(known: Source, there: Source) -> Source:
    """A source of a run in the order of its record, wherever it lies by now."""
    if there.options not in ("", known.options):
        raise InputError(
            f"{there.argument}: is this run's {known.argument}, which keeps its options: "
            f"leave {there.options[1:]} out"
        )
    by_digest = {file.digest: file for file in there.files}
    files = tuple(by_digest[file.digest] for file in known.files)
    new = sorted(file.path for file in by_digest.values() if file not in files)
    told = (
        f"{known.name}: {len(new):,} of its files are new since the run began, and not read: give "
        f"them as --data: {', '.join(new[:3])}"
    )
    remarks = (told,) if new else ()
    return replace(known, files=files, place=there.place, folder=there.folder, remarks=remarks)


def check_copy(file: SourceFile, keys: Keys, known: dict[str, SourceFile]) -> None:
    """Refuse a file, whose digest is known, that holds what one of others does, by their digests.

    One that holds something else is added to them.
    """
    first = known.setdefault(file.digest, file)
    if first is file or not FORMATS[file.format].describe(file.path, keys).episodes:
        return
    why = "named twice" if file.path == first.path else f"{first.path} holds the same"
    raise InputError(f"{file.path}: would be drawn twice: {why}: leave one of them out")


def _check_copies(sources: Sequence[Source]) -> None:
    known: dict[str, SourceFile] = {}
    for source in sources:
        for file in source.files:
            check_copy(file, source.keys, known)


def _digested(source: Source) -> Source:
    with ThreadPoolExecutor(READERS) as pool:
        digests = list(pool.map(digest, source.files))
    pairs = zip(source.files, digests, strict=True)
    return replace(source, files=tuple(replace(file, digest=its) for file, its in pairs))


def digest(file: SourceFile) -> str:
    """A short hash of what is in a file, or in all files of a folder and their names."""
    place = FORMATS[file.format].place(file.path)
    content = hashlib.blake2b(digest_size=16)
    with naming(f"{file.path}: cannot be read", "look whether it is still there"):
        filesystem, root = resolve(place)
        for info in files_below(filesystem, root):
            content.update(info.path.removeprefix(root).encode())
            with filesystem.open_input_file(info.path) as opened_file:
                for block in _blocks(opened_file):
                    content.update(block)
    return content.hexdigest()


def _blocks(file: Any) -> Iterator[bytes]:
    """The length of a file and its content, or blocks of that."""
    size = file.size()
    yield str(size).encode()
    if size <= WHOLE_BYTES:
        yield file.read_at(size, 0)
        return
    for block in range(BLOCKS):
        yield file.read_at(BLOCK_BYTES, block * (size - BLOCK_BYTES) // (BLOCKS - 1))
