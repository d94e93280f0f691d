"""Contestants in turn, round after round: what slows the machine down slows all of them."""

from __future__ import annotations

import multiprocessing
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from awac_dist.bench.report import Row

Measure = Callable[[], float]
ROUND_S = 1.0


def rate(call: Callable[[], object], seconds: float = ROUND_S) -> float:
    """Calls a second, over at least so many seconds."""
    began, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        call()
        count += 1
    return count / elapsed


class Contestant:
    """A measurement with a process of its own: its allocator and its threads are its own.

    Args:
        prepare: A function of a module, called in the process; returns the measurement.
        arguments: Of `prepare`.
    """

    def __init__(self, prepare: Callable[..., Measure], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, prepare, arguments))
        self._process.start()
        other.close()
        self._receive()

    def measure(self) -> float:
        """One round.

        Raises:
            RuntimeError: It failed; holds its traceback.
        """
        self._pipe.send("measure")
        return self._receive()

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _receive(self) -> float:
        answer: float | str = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


def _serve(pipe: Connection, prepare: Callable[..., Measure], arguments: tuple[Any, ...]) -> None:
    try:
        measure = prepare(*arguments)
        pipe.send(0.0)
        while pipe.poll(None):
            pipe.recv()
            pipe.send(measure())
    except EOFError:
        return
    except Exception:
        pipe.send(traceback.format_exc())


class Rounds:
    """Figures of contestants that were measured in turn.

    Args:
        figures: One a round, by contestant.
    """

    def __init__(self, figures: Mapping[str, list[float]]) -> None:
        self.figures = figures

    def median(self, name: str) -> float:
        """Of the rounds."""
        return statistics.median(self.figures[name])

    def ratio(self, name: str, peer: str) -> float:
        """Median over the rounds of one's figure over the other's of the same round."""
        pairs = zip(self.figures[name], self.figures[peer], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def row(
        self, what: str, unit: str, name: str, peer: str, *, by: float = 1.0, **more: Any
    ) -> Row:
        """One's figure, times `by`, beside a peer's of the same rounds, where it is installed.

        Args:
            what: Was measured.
            unit: Of the figure.
            name: Of the contestant.
            peer: Of the other.
            by: Turns the contestant's unit into the row's.
            more: Of the row; `told` is what to call the peer.
        """
        beside: dict[str, Any] = {"peer": more.pop("told", peer)}
        if peer in self.figures:
            beside |= {"peer_value": self.median(peer), "ratio": by * self.ratio(name, peer)}
        return Row(what, by * self.median(name), unit, **beside, **more)


def in_turn(contestants: Mapping[str, Contestant], repeats: int) -> Rounds:
    """Measure each once, then each again, and stop them; a first round is thrown away."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    try:
        for number in range(repeats + 1):
            for name, contestant in contestants.items():
                figure = contestant.measure()
                if number:
                    figures[name].append(figure)
    finally:
        for contestant in contestants.values():
            contestant.stop()
    return Rounds(figures)
