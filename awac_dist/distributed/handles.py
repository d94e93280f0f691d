"""How components in other processes are called through Ray."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray

from awac_dist.errors import ComponentDied, InputError, NotFinite, RunFailed
from awac_dist.messages import Weights
from awac_dist.policies.spec import PolicySpec
from awac_dist.runs.weights import WeightStore
from awac_dist.types import Array

NO_ROOM = (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError)
OURS = (InputError, RunFailed, ComponentDied, NotFinite)  # told as they are, others by Ray

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class RayFuture:
    """The answer to a call that was posted to an actor, whose component has a name."""

    reference: Any
    name: str

    def result(self) -> Any:
        with _clear_errors():
            return ray.get(self.reference)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Around a call of Ray: what it raises, told in our words."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = _no_room(error.cause) if isinstance(error.cause, NO_ROOM) else error.cause
        raise cause if isinstance(cause, OURS) else error from None
    except ray.exceptions.RayActorError as error:
        raise _reason_of_death(error) from None
    except NO_ROOM as error:
        raise _no_room(error) from None


def _no_room(error: Exception) -> RunFailed:
    no_disk = isinstance(error, ray.exceptions.OutOfDiskError)
    return RunFailed(
        f"Ray's object store is full{', and so is the disk that it spills to' * no_disk}: make "
        "room in /dev/shm and in Ray's folder, /tmp/ray unless RAY_TMPDIR names another one"
    )


def _reason_of_death(error: Any) -> Exception:
    """Why an actor cannot answer: it could not be built, or it died."""
    lines = str(error).strip().splitlines()
    if not error.actor_init_failed:
        return ComponentDied(lines[0])
    logger.error("%s", error)
    why = lines[-1].strip().removeprefix("awac_dist.errors.InputError: ")
    return InputError(f"a process of the run cannot start: {why}")


@dataclass(eq=False)
class RayHandle:
    """A component in another process: posting returns at once."""

    actor: Any
    name: str

    def post(self, method: str, *arguments: Any, **named: Any) -> RayFuture:
        with _clear_errors():
            answer = getattr(self.actor, method).remote(*arguments, **named)
        return RayFuture(answer, self.name)


class SharedWeightStore(WeightStore):
    """One whose vector lies in the object store once, however many workers read it."""

    def publish(self, version: int, spec: PolicySpec, vector: Array) -> int:
        boxed: Any = [ray.put(vector)]  # or Ray would bring the vector to the store
        return super().publish(version, spec, boxed)


@dataclass
class SharedWeightsReader:
    """Reads a `SharedWeightStore` from a worker's process."""

    store: RayHandle

    def pull(self, known: int) -> Weights | None:
        while (answer := self.store.post("pull", known).result()) is not None:
            serial, version, spec, (reference,) = answer
            with suppress(ray.exceptions.ObjectLostError):  # the store died with what it held
                return Weights(serial, version, spec, ray.get(reference))
        return None
