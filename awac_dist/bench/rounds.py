"""Contestants in turn, round after round: what slows the machine down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, TypeAlias

from awac_dist.bench.report import Row
from awac_dist.errors import InputError, told

Measure: TypeAlias = Callable[[], float]
PEER = "d3rlpy"  # takes part where it is installed
ROUND_S = 1.0
_prepared: list[Measure] = []  # in the process of a contestant, its own


def rate(call: Callable[[], object], seconds: float = ROUND_S) -> float:
    """Calls a second, over at least so many seconds."""
    began, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        call()
        count += 1
    return count / elapsed


def _measure(prepare: Callable[[], Measure]) -> float:
    """Measure once in the process of a contestant, which prepares itself the first time."""
    if not _prepared:
        _prepared.append(prepare())
    return _prepared[0]()


@dataclass(frozen=True)
class Rounds:
    """Figures of contestants that were measured in turn."""

    figures: Mapping[str, Sequence[float]]  # one a round, by contestant

    def median(self, name: str) -> float:
        """Of the rounds."""
        return statistics.median(self.figures[name])

    def ratio(self, name: str, peer: str) -> float:
        """Median over the rounds of one's figure over the other's of the same round."""
        pairs = zip(self.figures[name], self.figures[peer], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def row(
        self,
        what: str,
        unit: str,
        name: str,
        peer: str = "",
        *,
        told: str = "",
        by: float = 1.0,
        **more: Any,
    ) -> Row:
        """The figure of `name` times `by`, beside its peer's of the same rounds if that took part.

        A peer may be told of by another name than that of the contestant.
        """
        if peer in self.figures:
            more |= {"peer_value": self.median(peer), "ratio": by * self.ratio(name, peer)}
        return Row(what, by * self.median(name), unit, peer=told or peer, **more)


def _figure(name: str, answer: Future[float]) -> float:
    try:
        return answer.result()
    except Exception as error:
        raise InputError(
            f"{name} cannot be measured: {told(error)}: install what it needs, or leave it out"
        ) from error


def in_turn(contestants: Mapping[str, Callable[[], Measure]], repeats: int) -> Rounds:
    """Measure each once, then each again; a first round is thrown away.

    Each has a process of its own, and so its own allocator and threads. Where one fails, an
    InputError says so, with its traceback as the cause.

    Args:
        contestants: Functions of a module, called in the process: each returns its measurement.
            The one of `PEER` is left out where that is not installed.
        repeats: Rounds.
    """
    with ExitStack() as started:
        processes = {
            name: started.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            for name in contestants
            if name != PEER or find_spec(PEER)
        }
        turns = [
            [
                _figure(name, process.submit(_measure, contestants[name]))
                for name, process in processes.items()
            ]
            for _ in range(repeats + 1)
        ]
    return Rounds(dict(zip(processes, zip(*turns[1:], strict=True), strict=True)))
