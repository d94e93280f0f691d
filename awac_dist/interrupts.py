"""Ctrl-C while a program starts: nothing has begun yet that could be ended in order."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = "awac-dist"


def came_by() -> str:
    """The name by which this process was started, "" where it has none."""
    return "".join(sys.argv[:1]).rpartition("/")[2]


IS_PROGRAM = came_by() in ("-m", PROGRAM)  # else a library


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Around imports, in which libraries swallow a KeyboardInterrupt, or tell where they were.

    A library leaves Ctrl-C to its program, of which only the main thread hears of it.
    """
    if not IS_PROGRAM or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
