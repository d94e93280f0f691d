"""What the driver needs of whatever runs the components, and the runtime with no processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from awac_dist.messages import Future, Handle, WeightsReader
from awac_dist.runs.weights import WeightStore


@dataclass(frozen=True)
class Resources:
    """What there is to run on."""

    node_cpus: tuple[float, ...]  # cores of each node that rollout workers may run on
    gpus: float  # of all nodes that the learner may go to, those to come too
    grows: bool = False  # whether nodes are added for processes that find no room


class Runtime(ABC):
    """Starts components and waits for their answers."""

    resources: Resources

    def reserve(self, gpus: int) -> str:
        """Take a place for the learner; returns what goes where, empty if there is no choice."""
        return ""

    def waits_for(self) -> str:
        """What has found no room yet, and what there is; empty if everything runs."""
        return ""

    def end_stopped(self) -> list[str]:
        """End processes that somebody stopped, so that they are replaced; says which, a line each.

        To be called every few seconds.
        """
        return []

    def who(self, future: Future) -> str:
        """Whose answer it is, empty if it is not known."""
        return ""

    def gauges(self, run: str) -> Callable[[Mapping[str, float]], None]:
        """What shows a run's newest metrics beside those of its cluster."""
        return lambda values: None

    @abstractmethod
    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> Handle:
        """Build a component; arguments may hold other handles.

        What books cores goes where workers go, everything else beside the learner.
        """

    @abstractmethod
    def end(self, handle: Any) -> None:
        """End a component that another one takes the place of; it may be dead already."""

    @abstractmethod
    def weights_reader(self, store: Any) -> WeightsReader:
        """How workers read the weight store, whose handle this is."""

    @abstractmethod
    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        """Those that are done, at least one unless the time runs out.

        Raises:
            RuntimeLost: What all components run on is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """End every component."""


@dataclass(eq=False)
class InlineFuture:
    """An answer that is already there."""

    value: Any

    def result(self) -> Any:
        return self.value


@dataclass(eq=False)
class InlineHandle:
    """A component in this process: posting is calling."""

    component: Any

    def post(self, method: str, *arguments: Any, **named: Any) -> InlineFuture:
        return InlineFuture(getattr(self.component, method)(*arguments, **named))


class InlineRuntime(Runtime):
    """Every component in this process, one call at a time."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> InlineHandle:
        return InlineHandle(component(*arguments, **named))

    def end(self, handle: InlineHandle) -> None:
        close = getattr(handle.component, "close", None)
        if close is not None:
            close()

    def weights_reader(self, store: InlineHandle) -> WeightStore:
        return store.component

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        return list(futures)

    def close(self) -> None:
        """There is nothing to end."""
