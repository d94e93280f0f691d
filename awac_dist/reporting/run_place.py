"""Where a run lives: in a folder, or at a URI with a local folder for what grows line by line.

`shared` holds checkpoints, experience and sessions, which the processes of the run write,
wherever they are. `local` holds config, metrics, log and picture, which the driver writes; where
`shared` is a URI they are copied there each time before a checkpoint is asked for, and at the end.

Each time that the run is started is a session; a file in `sessions/` says that its number is
taken. On one machine a lock keeps two from going on at once. At a URI nobody can tell a process
that died from one that is slow: whoever goes on takes the next number, and the one before stops
when it next wants to write.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pyarrow import fs

from awac_dist.data.experience import list_files
from awac_dist.data.sources import EXPERIENCE
from awac_dist.errors import InputError, RunFailed, first_line
from awac_dist.files import create_exclusively, resolve
from awac_dist.reporting.run_folder import LOCK_FILE, already_there, create_run_folder

SESSIONS = "sessions"
REMOTE_ONLY = ("checkpoints", EXPERIENCE, SESSIONS)  # what never comes to the driver's machine


@dataclass
class RunPlace:
    """The folders of one run.

    Attributes:
        local: What only the driver writes.
        shared: Path or URI of what every process of the run writes; `local` unless it is a URI.
        session: How often the run was started before, once `begin_session` has taken a number.
    """

    local: Path
    shared: str
    session: int = -1
    _made_local: bool = False
    _kept: dict[Path, tuple[int, int]] = field(default_factory=dict)  # size, time of what is there

    @classmethod
    def at(cls, name: str) -> RunPlace:
        """The place that a path or URI names; a URI has a local folder of its own below runs/."""
        if "://" not in name:
            path = Path(name).resolve()
            return cls(path, str(path))
        shared = name.rstrip("/")
        last = re.sub(r"[^A-Za-z0-9._-]+", "-", shared.rsplit("/", 1)[-1]).strip("-.")
        digest = hashlib.sha256(shared.encode()).hexdigest()[:8]
        return cls(Path("runs", f"{last}-{digest}").resolve(), shared)

    @property
    def is_remote(self) -> bool:
        return self.shared != str(self.local)

    def holds(self, name: str) -> bool:
        """Whether the run has a file of that name.

        Raises:
            InputError: The place cannot be reached.
        """
        try:
            filesystem, root = resolve(self.shared)
            return bool(filesystem.get_file_info(f"{root}/{name}").type == fs.FileType.File)
        except (OSError, ValueError) as error:
            raise _no_access(self.shared, error) from error

    def create(self) -> None:
        """Make the folders of a new run, which is whoever's takes the first session.

        Raises:
            InputError: Something is there already, or they cannot be made.
        """
        if self.is_remote:
            self._create_shared()
        self._made_local = not self.local.exists()
        create_run_folder(self.local)

    def _create_shared(self) -> None:
        try:
            filesystem, name = resolve(self.shared)
            filesystem.create_dir(name, recursive=True)
            everything = fs.FileSelector(name, allow_not_found=True, recursive=True)
            found = filesystem.get_file_info(everything)
        except (OSError, ValueError) as error:
            raise _no_access(self.shared, error) from error
        if any(info.type == fs.FileType.File for info in found):
            raise already_there(self.shared)

    def begin_session(self, *, new: bool) -> None:
        """Take the number of a session, which nobody else then has.

        Args:
            new: It has to be the first one.

        Raises:
            InputError: Another process takes it at the same moment.
        """
        logged = [file.session for file in list_files(f"{self.shared}/{EXPERIENCE}")]
        number = max([*self._sessions(), *logged], default=-1) + 1
        if new and number:
            raise already_there(self.shared)
        words = f"{socket.gethostname()} process {os.getpid()}\n".encode()
        if not create_exclusively(f"{self.shared}/{SESSIONS}/{number:03d}", words):
            raise InputError(f"{self.shared}: another process begins or resumes this run just now")
        self.session = number

    def _sessions(self) -> list[int]:
        filesystem, name = resolve(self.shared)
        folder = fs.FileSelector(f"{name}/{SESSIONS}", allow_not_found=True)
        return [int(info.base_name.partition("-")[0]) for info in filesystem.get_file_info(folder)]

    def keep(self) -> None:
        """Copy the driver's files that have changed to the URI.

        Raises:
            RunFailed: Another process goes on with the run by now.
        """
        if not self.is_remote:
            return
        if 0 <= self.session < max(self._sessions(), default=0):
            raise RunFailed(f"{self.shared}: another process goes on with this run: this one stops")
        filesystem, name = resolve(self.shared)
        for path in sorted(self.local.rglob("*")):
            if not path.is_file() or path.name == LOCK_FILE:
                continue
            state = path.stat().st_size, path.stat().st_mtime_ns
            if self._kept.get(path) != state:
                there = f"{name}/{path.relative_to(self.local)}"
                filesystem.create_dir(there.rsplit("/", 1)[0], recursive=True)
                with path.open("rb") as here, filesystem.open_output_stream(there) as copy:
                    shutil.copyfileobj(here, copy)
                self._kept[path] = state

    def fetch(self) -> None:
        """Copy the driver's files from the URI, for a run that goes on.

        Raises:
            InputError: They cannot be read, or want to leave the local folder.
        """
        if not self.is_remote:
            return
        try:
            filesystem, name = resolve(self.shared)
            everything = fs.FileSelector(name, recursive=True, allow_not_found=True)
            for info in filesystem.get_file_info(everything):
                inside = info.path.removeprefix(f"{name}/")
                if info.type == fs.FileType.File and inside.split("/")[0] not in REMOTE_ONLY:
                    here = self.local / _safe(self.shared, inside)
                    here.parent.mkdir(parents=True, exist_ok=True)
                    with filesystem.open_input_stream(info.path) as there, here.open("wb") as copy:
                        shutil.copyfileobj(there, copy)
        except (OSError, ValueError) as error:
            raise _no_access(self.shared, error) from error

    def discard(self) -> None:
        """Leave nothing of a run that never ran, so that its name stays free.

        What another process made stays: only the one that took the first session owns the rest.
        """
        if self.session != 0:
            return
        if self.is_remote:
            filesystem, name = resolve(self.shared)
            filesystem.delete_dir(name)
        for entry in sorted(self.local.iterdir(), key=lambda entry: entry.name == SESSIONS):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if self._made_local:
            with suppress(OSError):  # somebody else's by now
                self.local.rmdir()


def _safe(uri: str, name: str) -> PurePosixPath:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or str(inside) != name:
        raise InputError(f"{uri}: holds {name!r}, which is no name of a file below it: remove it")
    return inside


def _no_access(uri: str, error: Exception) -> InputError:
    return InputError(f"the run folder {uri} cannot be reached: {first_line(error)}")
