"""How components in other processes are called through Ray."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray

from awac_dist.errors import ComponentDied, InputError, NotFinite, RunFailed
from awac_dist.messages import Weights
from awac_dist.runs.weights import WeightStore
from awac_dist.types import Array

NO_ROOM = (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError)

logger = logging.getLogger(__name__)


class RayFuture:
    """The answer to a call that was posted to an actor."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def result(self) -> Any:
        with _clear_errors():
            return ray.get(self.reference)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Around a call of Ray: what it raises, told in our words.

    Raises:
        InputError: A component cannot be built, or read what it was given.
        RunFailed: Ray has no room left, or a component says that the run cannot go on.
        ComponentDied: The component's process is gone.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from None
    except ray.exceptions.RayActorError as error:
        raise _reason_of_death(error) from None
    except NO_ROOM as error:
        raise _no_room(error) from None


def _cause(error: Any) -> Exception:
    """What a method raised: our own errors as they are, others with Ray's traceback."""
    cause = error.cause
    if isinstance(cause, NO_ROOM):
        return _no_room(cause)
    return cause if isinstance(cause, InputError | RunFailed | ComponentDied | NotFinite) else error


def _no_room(error: Exception) -> RunFailed:
    store = "Ray's object store is full"
    if isinstance(error, ray.exceptions.OutOfDiskError):
        store += ", and so is the disk that it spills to"
    return RunFailed(
        f"{store}: make room in /dev/shm and in Ray's folder, /tmp/ray unless RAY_TMPDIR names "
        "another one, then go on with --resume"
    )


def _reason_of_death(error: Any) -> Exception:
    """Why an actor cannot answer: it could not be built, or it died."""
    lines = str(error).strip().splitlines()
    if not error.actor_init_failed:
        return ComponentDied(lines[0])
    logger.error("%s", error)
    return InputError(f"a process of the run cannot start: {lines[-1].strip()}")


class RayHandle:
    """A component in another process: posting returns at once."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def post(self, method: str, *arguments: Any, **named: Any) -> RayFuture:
        with _clear_errors():
            return RayFuture(getattr(self.actor, method).remote(*arguments, **named))


class SharedWeightStore:
    """A `WeightStore` whose vector lies in the object store once, however many workers read it."""

    def __init__(self) -> None:
        self._store = WeightStore()
        self._reference: Any = None

    def publish(self, version: int, vector: Array) -> int:
        self._reference = ray.put(vector)
        return self._store.publish(version, vector[:0])

    def pull(self, newer_than: int) -> tuple[int, int, list[Any]] | None:
        """Serial, version and reference; the reference is boxed so that Ray leaves it alone."""
        newest = self._store.pull(newer_than)
        if newest is None:
            return None
        return newest.serial, newest.version, [self._reference]


class SharedWeightsReader:
    """Reads a `SharedWeightStore` from a worker's process."""

    def __init__(self, store: RayHandle) -> None:
        self._store = store

    def pull(self, newer_than: int) -> Weights | None:
        while True:
            answer = self._store.post("pull", newer_than).result()
            if answer is None:
                return None
            serial, version, (reference,) = answer
            with suppress(ray.exceptions.ObjectLostError):  # the store died with what it held
                return Weights(serial, version, ray.get(reference))
