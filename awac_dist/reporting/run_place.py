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

import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from awac_dist.data.experience import list_files
from awac_dist.data.sources import EXPERIENCE
from awac_dist.errors import InputError, RunFailed, UnknownPlace, needed, reason, writable
from awac_dist.files import create_exclusively, read_file, resolve

LOCK_FILE = ".lock"
SESSIONS = "sessions"
REMOTE_ONLY = ("checkpoints", EXPERIENCE, SESSIONS)  # what never comes to the driver's machine


def default_run_name(env_id: str, seed: int, now: datetime) -> str:
    """Name a run that the user gave no folder for: HalfCheetah-v5-20261121-113000-seed0."""
    return f"{safe_name(env_id)}-{now:%Y%m%d-%H%M%S}-seed{seed}"


def safe_name(words: str) -> str:
    """The words as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-.")


def create_folder(path: str, option: str = "--run-dir") -> None:
    """Make the folder of something new, at a path or URI that is given by an option.

    Raises InputError where something is there already, or it cannot be made or written to.
    """
    with _reached(path, f"; choose another one with {option}") as (filesystem, name):
        filesystem.create_dir(name, recursive=True)
        if "://" not in path and not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, path)
    refuse_taken(path, option)


@contextmanager
def new_folder_alone(path: str, option: str) -> Iterator[None]:
    """Make the folder of something new, and keep other processes from filling it meanwhile.

    Raises InputError as `create_folder`, or where another process fills it just now.
    """
    create_folder(path, option)
    filesystem, name = resolve(path)
    if isinstance(filesystem, fs.LocalFileSystem):
        with only_one_at_a_time(Path(name), "another process fills it just now"):
            refuse_taken(path, option)  # by one that is done by now
            yield
    elif create_exclusively(f"{path.rstrip('/')}/{LOCK_FILE}", _words()):
        yield
    else:
        raise _already_there(path, option)


def refuse_taken(path: str, option: str = "--run-dir") -> None:
    """Refuse a place, given by an option, where something is already that is no empty folder."""
    with _reached(path, f"; choose another one with {option}") as (filesystem, name):
        found = filesystem.get_file_info(fs.FileSelector(name, allow_not_found=True))
    if any(entry.base_name != LOCK_FILE for entry in found):
        raise _already_there(path, option)


def _already_there(path: str, option: str = "--run-dir") -> InputError:
    told = "exists already and is not empty"
    return InputError(f"the folder {path} {told}; choose another one with {option}")


def _words() -> bytes:
    """Who takes a place, for a person who wonders."""
    return f"{socket.gethostname()} process {os.getpid()}\n".encode()


@contextmanager
def _reached(path: str, remedy: str = "") -> Iterator[tuple[Any, str]]:
    """File system and name of a folder; what goes wrong with them inside is one line.

    A URI's query is refused: names are written behind the folder's.
    """
    if "://" in path and "?" in path:
        told = "leave them out, and set them in the environment, such as AWS_REGION"
        raise InputError(f"the folder {path} has options where names are to follow: {told}")
    try:
        yield resolve(path)
    except (OSError, UnknownPlace) as error:
        why = reason(error) if isinstance(error, OSError) else error
        raise InputError(f"the folder {path} cannot be reached: {why}{remedy}") from error


@contextmanager
def only_one_at_a_time(
    folder: Path, what: str = "this run is still going on in another process"
) -> Iterator[None]:
    """Keep other processes of this machine from going on with the same run meanwhile.

    Or with what else is done in a folder.

    Raises InputError where one does already, or the folder cannot be written.
    """
    with writable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: {what}") from None
        yield


@dataclass
class RunPlace:
    """The folders of one run."""

    local: Path  # what only the driver writes
    shared: str  # path or URI of what every process of the run writes; `local` unless it is a URI
    session: int = -1  # how often the run was started before, once it has a number
    _made_local: bool = False
    _kept: dict[Path, tuple[int, int]] = field(default_factory=dict)  # size, time of what is there

    @classmethod
    def at(cls, name: str) -> RunPlace:
        """The place that a path or URI names; a URI has a local folder of its own below runs/."""
        if "://" not in name:
            path = Path(name).resolve()
            return cls(path, str(path))
        shared = name.rstrip("/")
        digest = hashlib.sha256(shared.encode()).hexdigest()[:8]
        local = Path("runs", f"{safe_name(shared.rsplit('/', 1)[-1])}-{digest}")
        return cls(local.resolve(), shared)

    @property
    def is_remote(self) -> bool:
        return self.shared != str(self.local)

    def holds(self, name: str) -> bool:
        """Whether the run has a file of that name; InputError where its place is out of reach."""
        with _reached(self.shared) as (filesystem, root):
            return bool(filesystem.get_file_info(f"{root}/{name}").type == fs.FileType.File)

    def claim(self) -> bool:
        """Take a name that nobody was asked for; False where somebody has it."""
        try:
            self.local.mkdir(parents=True)
            self._made_local = True
        except FileExistsError:
            return False
        except OSError:  # `create` says why
            pass
        return True

    def read(self, name: str) -> str | None:
        """What is in a file of the run; None if there is none of that name."""
        return read_file(f"{self.shared}/{name}").decode() if self.holds(name) else None

    def create(self) -> None:
        """Make the folders of a new run, which is whoever's takes the first session."""
        self._made_local = self._made_local or not os.path.exists(self.local)
        for folder in dict.fromkeys((self.shared, str(self.local))):
            create_folder(folder)

    def begin_session(self, *, new: bool) -> None:
        """Take the number of a session, the first one of a new run, which nobody else then has.

        Raises InputError where another process takes it at the same moment.
        """
        logged = [file.session for file in list_files(f"{self.shared}/{EXPERIENCE}")]
        number = max([*self._sessions(), *logged], default=-1) + 1
        if new and number:
            raise _already_there(self.shared)
        if not create_exclusively(f"{self.shared}/{SESSIONS}/{number:03d}", _words()):
            raise InputError(f"{self.shared}: another process begins or resumes this run just now")
        self.session = number

    def _sessions(self) -> list[int]:
        names = _files(*resolve(f"{self.shared}/{SESSIONS}"))
        return [int(number[0]) for name in names if (number := re.match(r"\d+", name))]

    def keep(self) -> None:
        """Copy the driver's files that have changed to the URI.

        Raises RunFailed where another process goes on with the run by now, or they cannot be
        written.
        """
        if not self.is_remote:
            return
        with needed(self.shared):
            if 0 <= self.session < max(self._sessions(), default=0):
                told = "another process goes on with this run: this one stops"
                raise RunFailed(f"{self.shared}: {told}")
            filesystem, name = resolve(self.shared)
            for path in sorted(self.local.rglob("*")):
                with suppress(FileNotFoundError):  # a tracker's, which is gone by now
                    self._keep(path, f"{name}/{path.relative_to(self.local)}", filesystem)

    def _keep(self, path: Path, there: str, filesystem: fs.FileSystem) -> None:
        state = path.stat().st_size, path.stat().st_mtime_ns
        if path.is_file() and path.name != LOCK_FILE and self._kept.get(path) != state:
            filesystem.create_dir(there.rsplit("/", 1)[0], recursive=True)
            fs.copy_files(str(path), there, fs.LocalFileSystem(), filesystem)
            self._kept[path] = state

    def fetch(self) -> None:
        """Copy the driver's files from the URI, for a run that goes on.

        Raises InputError where they cannot be read, or want to leave the local folder.
        """
        if not self.is_remote:
            return
        with _reached(self.shared) as (filesystem, root):
            for name in _files(filesystem, root):
                if name.split("/")[0] not in REMOTE_ONLY:
                    here = self.local / _safe(self.shared, name)
                    here.parent.mkdir(parents=True, exist_ok=True)
                    fs.copy_files(f"{root}/{name}", str(here), filesystem, fs.LocalFileSystem())

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


def _files(filesystem: Any, folder: str) -> list[str]:
    """Names of all files below a folder; none where there is no folder."""
    everything = fs.FileSelector(folder, allow_not_found=True, recursive=True)
    found = filesystem.get_file_info(everything)
    return [i.path.removeprefix(f"{folder}/") for i in found if i.type == fs.FileType.File]


def _safe(uri: str, name: str) -> PurePosixPath:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or str(inside) != name:
        raise InputError(f"{uri}: holds {name!r}, which is no name of a file below it: remove it")
    return inside
