"""Around code of an environment: whatever it raises is one kind of fault, told in one line."""

from __future__ import annotations

from contextlib import AbstractContextManager

from awac_dist.errors import InputError, told

MAX_FAULTS = 5  # in a row that an environment is forgiven


class EnvironmentFault(Exception):  # noqa: N818 - no error of ours: the episode cannot go on
    """It cannot be made, raised, or answered what nothing can be learned from; says which."""


PASSING = (InputError, EnvironmentFault, KeyboardInterrupt)  # what is not the environment's


class _Guard(AbstractContextManager["_Guard"]):
    """A context whose body is not ours: SystemExit, too, is a fault; Ctrl-C is not."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, PASSING):
            raise EnvironmentFault(told(error)) from error


GUARD = _Guard()
