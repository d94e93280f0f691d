"""The terminal: what this project says goes there as safe text, all else to the run's log."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Self, TextIO

from awac_dist.errors import writable

STDOUT, STDERR = 1, 2
WIDEST, WIDTH_OF_A_PIPE, NARROWEST = 100, 80, 40


class UnheardError(OSError):
    """What was said cannot be written, as where a disk is full."""


def say(text: str, stream: TextIO | None = None) -> None:
    """Print lines, to stdout by default: the one place that does, so that all of it is safe."""
    stream = sys.stdout if stream is None else stream
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(safe(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as error:
        raise UnheardError(error.errno, error.strerror) from error


def safe(text: str) -> str:
    """The text, with the code in place of whatever a terminal would not print but obey."""
    shown = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return "".join(shown)


def width_of(stream: TextIO) -> int:
    """Columns to write: the terminal's, up to what reads well; a fixed number in a pipe."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return WIDTH_OF_A_PIPE
    return max(min(columns, WIDEST), NARROWEST)


class _Output(io.FileIO):
    """A file that a run does not stumble over: what it cannot take is lost."""

    is_gone = False  # whether nobody reads any more: the pipe, or the terminal, was closed

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.is_gone = self.is_gone or error.errno in (errno.EPIPE, errno.EIO)
            return len(data)


def _log(path: Path) -> TextIO:
    """A run's log, to which lines are added."""
    return io.TextIOWrapper(io.BufferedWriter(_Output(path, "a")), "utf-8", line_buffering=True)


class Screen:
    """Takes descriptors 1 and 2 away from everybody, C libraries and child processes included.

    Inside the `with` they lead to a spool file, from `divert` on to a log; `stream` leads to the
    original stdout. `__exit__` puts the descriptors back, so that the traceback of an exception
    that passes through appears on the real stderr. What was spooled and never diverted is
    discarded.

    A child process that started before `divert` goes on writing to the spool: divert first.
    """

    stream: TextIO  # open inside the `with`
    log: TextIO | None = None  # that which is diverted to, for lines of ours

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._output.is_gone

    def __enter__(self) -> Self:
        _flush()
        with writable("a temporary file (in TMPDIR)"):
            self._spool = tempfile.NamedTemporaryFile(prefix="awac_dist-", suffix=".log")
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        self._output = _Output(os.dup(STDOUT), "w")
        buffer = io.BufferedWriter(self._output)
        self.stream = io.TextIOWrapper(buffer, encoding, "replace", line_buffering=True)
        self._stderr, self._streams = os.dup(STDERR), (sys.stdout, sys.stderr)
        _point_to(self._spool.fileno())
        return self

    def last_word(self, line: str) -> None:
        """Say a line on the real stderr, and end this process at once, whatever it waits for."""
        os.write(self._stderr, f"{line}\n".encode())
        os._exit(1)

    def divert(self, path: Path) -> None:
        """Move what was spooled to the end of the file at `path`, and go on there."""
        _flush()
        # The spool's own descriptor is shared with every writer: reading by it moves their place.
        with open(self._spool.name, "rb") as spooled, path.open("ab") as log:
            _point_to(log.fileno())  # first, so that nothing is spooled behind the copy's back
            shutil.copyfileobj(spooled, log)
        self._spool.close()
        self.log = _log(path)

    def __exit__(self, *exception: object) -> None:
        sys.stdout, sys.stderr = self._streams  # whatever somebody else put there
        try:
            _flush()
        finally:  # also when the log's disk is full: somebody has to see that traceback
            os.dup2(self.stream.fileno(), STDOUT)
            os.dup2(self._stderr, STDERR)
            os.close(self._stderr)
            self._spool.close()
            self.stream.close()
            if self.log is not None:
                self.log.close()
            _open_again()


class Caller:
    """In place of a `Screen` where a program calls: its output stays its own.

    Lines are printed as the program itself prints, if it wants them; they go to the log, too.
    """

    is_gone, last_word = False, None
    log: TextIO | None = None

    def __init__(self, *, verbose: bool) -> None:
        self._verbose, self.stream = verbose, sys.stdout

    def __enter__(self) -> Self:
        return self

    def divert(self, path: Path) -> None:
        """Write to the end of the file at `path` from now on; there alone, if nobody reads."""
        self.log = _log(path)
        if not self._verbose:
            self.stream = self.log

    def __exit__(self, *exception: object) -> None:
        if self.log is not None:
            self.log.close()


def _point_to(descriptor: int) -> None:
    os.dup2(descriptor, STDOUT)
    os.dup2(descriptor, STDERR)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()


def _open_again() -> None:
    """Open what somebody else's code closed: there is more to be said."""
    for name, descriptor in (("stdout", STDOUT), ("stderr", STDERR)):
        if getattr(sys, name).closed:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
