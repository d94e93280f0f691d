"""What a person can mend, told apart from what they cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

FETCH_AGAIN = "is the file whole? fetch it again"
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
}


class InputError(Exception):
    """Wrong input: its message is one line that names the place and the remedy.

    The command line prints the line and exits with code 2. Any other exception is a
    fault of ours and keeps its traceback.
    """


class UnknownPlace(InputError):  # noqa: N818 - says what was given
    """A URI of no kind that is known here, or of a place that cannot be reached."""


class RunFailed(Exception):  # noqa: N818 - reads as what happened
    """A run that had begun cannot go on: one line says why, and what is left of it.

    The command line prints the line and exits with code 1; the run folder stays.
    """


class RuntimeLost(RunFailed):
    """What the components run on is gone, and they with it; what they logged is not."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again  # whether another one can be started in its place


class ComponentDied(Exception):  # noqa: N818 - says what happened, to whoever can mend it
    """The process of a component is gone; its answers will not come."""


class NotFinite(LookupError):  # noqa: N818 - says what was found
    """Transitions that were drawn hold NaN or infinity."""

    def __init__(self, message: str, block: Any) -> None:
        super().__init__(message, block)  # both, or it could not go to another process
        self.block = block  # the transitions [n, width]

    def __str__(self) -> str:
        return str(self.args[0])


def did_you_mean(
    name: str, names: Iterable[str], otherwise: str = "see --help", count: int = 1
) -> str:
    """The remedy for a name that nobody knows: the nearest of those that there are, if any is."""
    known = {its.casefold(): its for its in names}
    near = [known[its] for its in get_close_matches(name.casefold(), known, n=count)]
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def nearest(name: str, options: Iterable[str]) -> str:
    """The remedy for an option that nobody knows: the nearest, whose own name is near, too.

    The own name is the last part: who wants learner.device does not mean learner.discount. Or it is
    an option of which the name says a part, as env.ids of env.
    """
    own = {its: its.lstrip("-").rpartition(".")[2] for its in (name, *options)}
    near = get_close_matches(own[name], own.values(), n=len(own))
    return did_you_mean(
        name, [its for its in options if own[its] in near or name.startswith(f"{its}.")]
    )


def first_line(error: Exception) -> str:
    """What an error says, short enough for one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def told(error: BaseException) -> str:
    """The kind of somebody else's error and the first line of what it says, if it can say it."""
    try:
        text = str(error).strip()
    except Exception:  # its own __str__ fails
        text = ""
    return ": ".join([type(error).__name__, *text.splitlines()[:1]])


def reason(error: OSError) -> str:
    """Why the system refused, in its own words, whichever library passes them on."""
    return os.strerror(error.errno) if error.errno else first_line(error)


def cannot_write(path: str, error: OSError) -> str:
    """One line that says which file cannot be written, why, and what helps."""
    remedy = REMEDIES.get(error.errno or 0, "mend that")
    return f"{path}: cannot be written: {reason(error)}: {remedy}"


@contextmanager
def within_memory() -> Iterator[None]:
    """Around what takes as much memory as options ask for; an InputError if there is less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's is of the second kind
        why = str(error).strip().rpartition("\n")[2]
        if not isinstance(error, MemoryError) and "allocate" not in why:
            raise
        raise InputError(f"not enough memory: {why}: take smaller networks or batches") from error


@contextmanager
def naming(place: str, remedy: str = FETCH_AGAIN) -> Iterator[None]:
    """Turn whatever a library raises over damaged input into an InputError that names the place."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{place}: {words}: {remedy}") from error


@contextmanager
def writable(place: str, refused: type[Exception] = InputError) -> Iterator[None]:
    """Around the writing of files that a person named, by a path or an option and its value.

    Raises:
        InputError, or what is `refused`: The system refuses to write them.
    """
    try:
        yield
    except OSError as error:
        raise refused(cannot_write(place, error)) from error


needed = partial(writable, refused=RunFailed)  # around what a run cannot go on without
