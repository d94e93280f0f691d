"""Around code of an environment: whatever it raises is one kind of fault, told in one line."""

from __future__ import annotations

import os
import sysconfig
from contextlib import AbstractContextManager
from pathlib import Path
from traceback import FrameSummary, extract_tb

import gymnasium

from awac_dist.errors import InputError, told

MAX_FAULTS = 5  # in a row that an environment is forgiven
WAYS_THERE = (str(Path(__file__).parents[1]), *gymnasium.__path__)  # to an environment's code
LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")})


class EnvironmentFault(Exception):  # noqa: N818 - no error of ours: the episode cannot go on
    """It cannot be made, raised, or answered what nothing can be learned from; says which."""


PASSING = (InputError, EnvironmentFault, KeyboardInterrupt)  # what is not the environment's


def fault_of(error: BaseException) -> EnvironmentFault:
    """An error of an environment's: what it is, and where a person may look for it."""
    return EnvironmentFault(told(error) + _place(error))


def _place(error: BaseException | None) -> str:
    """The innermost line of the environment's own code; of a library's where there is none.

    Empty where an answer alone was wrong, which is seen in code of ours.
    """
    while error is not None:
        lines = [its for its in extract_tb(error.__traceback__) if not _of(its, WAYS_THERE)]
        if lines:
            line = ([its for its in lines if not _of(its, LIBRARIES)] or lines)[-1]
            return f" ({os.path.basename(line.filename)}, line {line.lineno}, in {line.name})"
        error = error.__context__  # in whose place Gymnasium raised this one
    return ""


def _of(line: FrameSummary, folders: tuple[str, ...]) -> bool:
    return line.filename.startswith(("<frozen", *(f"{folder}{os.sep}" for folder in folders)))


class _Guard(AbstractContextManager["_Guard"]):
    """A context whose body is not ours: SystemExit, too, is a fault; Ctrl-C is not."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, PASSING):
            raise fault_of(error) from error


GUARD = _Guard()
