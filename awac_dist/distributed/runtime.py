"""What the driver needs of whatever runs the components, and the runtime with no processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from awac_dist.distributed.weights import WeightStore
from awac_dist.types import Future, Handle, WeightsReader


@dataclass(frozen=True)
class Resources:
    """What there is to run on."""

    node_cpus: tuple[float, ...]  # cores of each node
    gpus: float


class Runtime(Protocol):
    """Starts components and waits for their answers."""

    @property
    def resources(self) -> Resources: ...

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> Handle:
        """Build a component where it belongs; arguments may hold other handles."""
        ...

    def weights_reader(self, store: Handle) -> WeightsReader:
        """How workers read the weight store."""
        ...

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        """Those that are done, at least one unless the time runs out."""
        ...

    def close(self) -> None:
        """End every component."""
        ...


class InlineFuture:
    """An answer that is already there."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self) -> Any:
        return self._value


class InlineHandle:
    """A component in this process: posting is calling."""

    def __init__(self, component: Any) -> None:
        self.component = component

    def post(self, method: str, *arguments: Any, **named: Any) -> InlineFuture:
        return InlineFuture(getattr(self.component, method)(*arguments, **named))


class InlineRuntime:
    """Every component in this process, one call at a time."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> InlineHandle:
        return InlineHandle(component(*arguments, **named))

    def weights_reader(self, store: Handle) -> WeightStore:
        assert isinstance(store, InlineHandle)
        component: WeightStore = store.component
        return component

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        return list(futures)

    def close(self) -> None:
        """There is nothing to end."""
