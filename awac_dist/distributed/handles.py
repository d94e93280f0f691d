"""How components in other processes are called through Ray."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import ray

from awac_dist.distributed.weights import WeightStore
from awac_dist.errors import ComponentDied, InputError, RunFailed
from awac_dist.types import Array, Weights

logger = logging.getLogger(__name__)


class RayFuture:
    """The answer to a call that was posted to an actor."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def result(self) -> Any:
        try:
            return ray.get(self.reference)
        except ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except ray.exceptions.RayActorError as error:
            raise _reason_of_death(error) from None


def _cause(error: Any) -> Exception:
    """What a method raised: our own errors as they are, others with Ray's traceback."""
    cause = error.cause
    return cause if isinstance(cause, InputError | RunFailed | ComponentDied) else error


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
