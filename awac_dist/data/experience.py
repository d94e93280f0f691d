"""The experience log: every fragment that a shard accepted, on disk for this run and the next.

    insert -> shard-003-s002-000001.journal    one record a fragment, on disk once `insert` returns
    flush  -> shard-003-s002-000001.parquet    one row an episode; the journal is removed

Names tell shard, session and a running number. A Parquet file is whole or absent, and while both
are there the journal no longer counts. Where files cannot grow (object stores), every fragment
becomes a Parquet file of its own: slower, and just as safe. A `shard-003-s002.released` says how
many of the shard's rows nobody asks for any more, in this session; without it, none.
"""

from __future__ import annotations

import heapq
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, compress, groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import fs

from awac_dist.data import journal, parquet
from awac_dist.data.fragments import LoggedFragment, Mark, join_logged, split
from awac_dist.data.rows import to_episode
from awac_dist.errors import InputError, naming, writable
from awac_dist.files import head, resolve, written_aside
from awac_dist.types import EnvSpec, Episode

STEPS_PER_FILE = 20_000
LONGEST_NOTE = 20  # digits
NAME = re.compile(r"shard-(\d+)-s(\d+)-(\d+)\.(parquet|journal)")
STREAM_COLUMNS = ("worker", "incarnation", "episode")
MARKS = pa.list_(pa.struct([(name, pa.int64()) for name in Mark._fields]))
Stream = tuple[int, int, int]


class LogFile(NamedTuple):
    """One file of a log, in the order in which files were begun."""

    session: int
    shard: int
    number: int
    path: str


class ExperienceLog:
    """What one shard accepted in one session, and what earlier sessions did.

    It lies in the run's `experience` folder, a path or URI, which is made; `session` is how often
    the run was started before. It may travel to another process until it is first used.
    """

    def __init__(self, folder: str, shard: int, spec: EnvSpec, session: int = 0) -> None:
        self._own, self._spec = (session, shard), spec
        filesystem, name = resolve(folder)
        self._can_grow = _can_grow(filesystem)
        self._folder = str(Path(name).absolute()) if self._can_grow else folder
        self._number = -1  # of the next file; not known before the folder was looked at
        self._journal: journal.Journal | None = None
        self._time = self._noted = 0
        with writable(folder):
            filesystem.create_dir(name, recursive=True)

    def insert(self, fragment: Episode, source: str, row: int = -1) -> None:
        """Keep a fragment, which the shard keeps in `row` (-1: nowhere); then it is on disk."""
        self._open()
        if self._journal is not None and self._journal.steps >= STEPS_PER_FILE:
            self.flush()
        self._time = max(self._time + 1, time.time_ns())
        logged = LoggedFragment(fragment, source, row, self._time)
        if not self._can_grow:
            self._write([logged])
            return
        if self._journal is None:
            self._journal = journal.Journal(self._path(journal.SUFFIX), self._spec)
        self._journal.append(logged)

    def flush(self) -> None:
        """Turn the journal into a Parquet file; if it cannot be written, the journal stays."""
        if self._journal is not None:
            self._write(self._journal.fragments)
            self._journal.remove()
            self._journal = None

    def release(self, rows: int) -> None:
        """Note that nobody asks for the shard's first so many rows any more.

        Only once a file's worth is new; if it cannot be written, the shard loads more one day.
        """
        if rows - self._noted < STEPS_PER_FILE:
            return
        with (
            suppress(OSError, InputError),
            written_aside(self._note) as (filesystem, aside),
            filesystem.open_output_stream(aside) as file,
        ):
            file.write(b"%d" % rows)
            self._noted = rows

    def released(self) -> int:
        """How many rows `release` noted last in this session."""
        noted = head(self._note, LONGEST_NOTE)
        return int(noted) if noted.isdigit() else 0

    def own(self) -> Iterator[LoggedFragment]:
        """What this shard logged in this session, in the order of acceptance."""
        self._open()
        for file in self._own_files():
            for fragment in read_fragments(file.path):
                self._time = max(self._time, fragment.time)
                yield fragment

    def earlier(self, belongs: Callable[[Stream], bool]) -> Iterator[LoggedFragment]:
        """What all shards of earlier sessions logged of some streams, oldest first.

        Holds a file of each of those shards in memory at a time.
        """
        files = [file for file in list_files(self._folder) if file.session < self._own[0]]
        for _, of_session in groupby(files, lambda file: file.session):
            by_shard = [list(its) for _, its in groupby(of_session, lambda file: file.shard)]
            logs = [
                chain.from_iterable(read_fragments(file.path, belongs) for file in of_shard)
                for of_shard in by_shard
            ]
            yield from heapq.merge(*logs, key=lambda fragment: fragment.time)

    def fragments_of(self, stream: Stream) -> list[Episode]:
        """Every fragment of one episode that any session logged, in the order of its steps."""
        by_start = {
            fragment.episode.origin.start: fragment.episode
            for file in list_files(self._folder)
            for fragment in read_fragments(file.path, lambda its: its == stream)
        }
        return [by_start[start] for start in sorted(by_start)]

    def _open(self) -> None:
        """Look at what is there; journals that nobody finished become Parquet files."""
        if self._number >= 0:
            return
        filesystem, name = resolve(self._folder)
        if filesystem.get_file_info(name).type != fs.FileType.Directory:
            raise InputError(
                f"{self._folder}: is not on {socket.gethostname()}: on several machines a run "
                "needs a folder that all of them share, or a URI"
            )
        files = self._own_files()
        finish_journals(files, self._spec, logging.getLogger(__name__).warning)
        self._number = files[-1].number + 1 if files else 0

    def _own_files(self) -> list[LogFile]:
        return [file for file in list_files(self._folder) if file[:2] == self._own]

    @property
    def _note(self) -> str:
        return f"{self._stem}.released"

    @property
    def _stem(self) -> str:
        session, shard = self._own
        return f"{self._folder}/shard-{shard:03d}-s{session:03d}"

    def _path(self, suffix: str) -> str:
        return f"{self._stem}-{self._number:06d}{suffix}"

    def _write(self, fragments: list[LoggedFragment]) -> None:
        write_fragments(self._path(".parquet"), fragments, self._spec)
        self._number += 1


def list_files(folder: str) -> list[LogFile]:
    """The files of all logs in a folder, by session, shard and number.

    Left out are journals whose Parquet file is there.
    """
    filesystem, name = resolve(folder)
    files: dict[tuple[int, int, int], LogFile] = {}
    for info in filesystem.get_file_info(fs.FileSelector(name, allow_not_found=True)):
        if matched := NAME.fullmatch(info.base_name):
            shard, session, number = map(int, matched.groups()[:3])
            key = (session, shard, number)
            if key not in files or matched[4] == "parquet":
                files[key] = LogFile(*key, f"{folder}/{info.base_name}")
    return [files[key] for key in sorted(files)]


def finish_journals(files: Iterable[LogFile], spec: EnvSpec, note: Callable[[str], None]) -> None:
    """Turn journals to which nobody writes any more into Parquet files; set damaged ones aside."""
    for path in (file.path for file in files if file.path.endswith(journal.SUFFIX)):
        found = journal.read(path)
        if found.fragments:
            write_fragments(path.removesuffix(journal.SUFFIX) + ".parquet", found.fragments, spec)
        local = Path(resolve(path)[1])
        if not found.damaged:
            local.unlink()
            continue
        local.rename(f"{local}.damaged")
        note(
            f"{path}: is damaged, and kept as {local.name}.damaged: lost are "
            f"{', '.join(found.damaged)}; {len(found.fragments)} fragments go on"
        )


def write_fragments(path: str, fragments: Iterable[LoggedFragment], spec: EnvSpec) -> None:
    """Write fragments as episodes, and besides what takes them apart again."""
    rows = join_logged(fragments)
    sources = pa.array([source for source, _, _ in rows])
    pieces = pa.array([[mark._asdict() for mark in its] for _, _, its in rows], MARKS)
    episodes = [episode for _, episode, _ in rows]
    with writable(path):
        parquet.write_episodes(path, episodes, spec, source=sources, pieces=pieces)


def read_fragments(
    path: str, belongs: Callable[[Stream], bool] = lambda _: True
) -> list[LoggedFragment]:
    """Fragments of some streams in a file of a log, in the order of their acceptance.

    Of a journal that was finished in the meantime, those of its Parquet file.
    """
    if path.endswith(journal.SUFFIX):
        try:
            return [f for f in journal.read(path).fragments if belongs(f.episode.origin.stream)]
        except InputError:
            path = f"{path.removesuffix(journal.SUFFIX)}.parquet"
            if not head(path, 1):
                raise
    parquet.check_whole(path)
    with parquet.arrow_errors(path), parquet.open_file(path) as file:
        if "pieces" not in file.schema_arrow.names:
            raise InputError(f"{path}: does not tell its fragments: it was not written by a run")
        columns = file.read(STREAM_COLUMNS).select(STREAM_COLUMNS).to_pydict().values()
        wanted = [belongs(stream) for stream in zip(*columns, strict=True)]
    fragments: list[LoggedFragment] = []
    for number, row in compress(parquet.read_rows(path), wanted) if any(wanted) else ():
        episode = to_episode(path, number, row)
        with naming(f"{path}: row {number}: its fragments cannot be told apart"):
            marks = [Mark(**mark) for mark in row["pieces"][0].as_py()]
            fragments += split(row["source"][0].as_py(), episode, marks)
    return sorted(fragments, key=lambda fragment: fragment.time)


def _can_grow(filesystem: Any) -> bool:
    return isinstance(filesystem, fs.LocalFileSystem)
