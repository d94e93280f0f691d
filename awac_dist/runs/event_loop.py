"""The one place where the driver waits: whoever has something to say is heard meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Future
from awac_dist.runs.evaluating import EvaluatorSupervisor
from awac_dist.runs.progress import Observer
from awac_dist.runs.runtime import Runtime
from awac_dist.runs.stopping import StopConditions
from awac_dist.runs.weights import StoreWatch

POLL_S = 0.25
LOOK_EVERY_S = 5.0


class PlaceWatch:
    """Says what finds no room in the cluster.

    Args:
        waits_for: What that is, empty if everything runs.
        note: Takes lines for the screen.
    """

    def __init__(self, waits_for: Callable[[], str], note: Callable[[str], None]) -> None:
        self._waits_for, self._note = waits_for, note
        self._seen = self._told = ""
        self._looked = time.monotonic()

    def tick(self) -> None:
        """Look now and then; to be called often. What starts within two looks is not told."""
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        missing = self._waits_for()
        if missing == self._seen and missing != self._told:
            self._note(f"no room yet for {missing}" if missing else "everything has found room")
            self._told = missing
        self._seen, self._looked = missing, time.monotonic()


class EventLoop:
    """Waits for answers, and sees to everything else meanwhile.

    Args:
        runtime: Waits for answers.
        observer: Keeps the screen alive.
        stop: Says whether the run ends.
    """

    def __init__(self, runtime: Runtime, observer: Observer, stop: StopConditions) -> None:
        self._runtime, self._observer, self._stop = runtime, observer, stop
        self._places = PlaceWatch(runtime.waits_for, observer.note)
        self._store: StoreWatch | None = None
        self._evaluator: EvaluatorSupervisor | None = None
        self._evaluated: Callable[[Evaluation], None] = observer.evaluated

    def see_to(
        self,
        store: StoreWatch,
        evaluator: EvaluatorSupervisor,
        evaluated: Callable[[Evaluation], None],
    ) -> None:
        """Look after these from now on, too.

        Args:
            store: Of the weights.
            evaluator: May come to the end of an evaluation that nobody waits for.
            evaluated: Is told what came of that.
        """
        self._store, self._evaluator, self._evaluated = store, evaluator, evaluated

    def wait(self, future: Future) -> Any:
        """The answer.

        Raises:
            Stopped: Somebody asked, or a condition was met.
        """
        while not self.look([future]):
            pass
        return future.result()

    def wait_alone(self, future: Future) -> Any:
        """The answer, at the end of a run, when nothing else is seen to any more.

        Raises:
            Stopped: It does not come.
        """
        while not self._runtime.wait([future], POLL_S):
            self._observer.tick()
            self._stop.check()
        return future.result()

    def look(self, futures: Sequence[Future] = ()) -> list[Future]:
        """One turn of waiting: those of `futures` that are done, none if time ran out.

        Raises:
            Stopped: Somebody asked, or a condition was met.
        """
        evaluation = self._evaluator.answer if self._evaluator else None
        aside = [] if evaluation is None or evaluation in futures else [evaluation]
        done = self._runtime.wait([*futures, *aside], POLL_S)
        self._observer.tick()
        if self._store is not None:
            self._store.tick()
        self._places.tick()
        if self._evaluator is not None and aside and evaluation in done:
            result = self._evaluator.finish()
            if result is not None:  # else the evaluator died, and does it again
                self._evaluated(result)
        self._stop.check()
        return [future for future in done if future in futures]
