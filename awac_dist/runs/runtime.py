"""What the driver needs of whatever runs the components, and the runtime with no processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from awac_dist.messages import Future, Handle, WeightsReader
from awac_dist.runs.weights import WeightStore


@dataclass(frozen=True)
class Resources:
    """What there is to run on.

    Attributes:
        node_cpus: Cores of each node that rollout workers may run on.
        gpus: GPUs of all nodes that there are, or may be.
        grows: Whether nodes are added for processes that find no room.
    """

    node_cpus: tuple[float, ...]
    gpus: float
    grows: bool = False


class Runtime(Protocol):
    """Starts components and waits for their answers."""

    @property
    def resources(self) -> Resources: ...

    def reserve(self, gpus: int) -> None:
        """Take a place for the learner, before anything starts."""
        ...

    @property
    def placement(self) -> str:
        """What goes where, empty if there is no choice."""
        ...

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> Handle:
        """Build a component; arguments may hold other handles.

        What books cores goes where workers go, everything else beside the learner.
        """
        ...

    def waits_for(self) -> str:
        """What has found no room yet, and what there is; empty if everything runs."""
        ...

    def gauges(self, run: str) -> Callable[[Mapping[str, float]], None]:
        """What shows a run's newest metrics beside those of its cluster."""
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
        self.placement = ""

    def reserve(self, gpus: int) -> None:
        """There is room."""

    def waits_for(self) -> str:
        return ""

    def gauges(self, run: str) -> Callable[[Mapping[str, float]], None]:
        return lambda values: None

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
