"""How the driver waits: the screen stays alive, and whoever has something to say is heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from awac_dist.distributed.evaluating import EvaluatorKeeper
from awac_dist.distributed.progress import Observer
from awac_dist.distributed.runtime import Runtime
from awac_dist.distributed.stopping import StopConditions
from awac_dist.distributed.weights import StoreWatch
from awac_dist.evaluation.result import Evaluation
from awac_dist.types import Future

POLL_S = 0.25


class Lookout:
    """Waits for answers, and sees to everything else meanwhile.

    Args:
        runtime: Waits for answers.
        observer: Keeps the screen alive.
        store: Is looked after.
        stop: Says whether the run ends.
        evaluator: May come to the end of an evaluation that nobody waits for.
        evaluated: Is told what came of that.
    """

    def __init__(
        self,
        runtime: Runtime,
        observer: Observer,
        store: StoreWatch,
        stop: StopConditions,
        evaluator: EvaluatorKeeper,
        evaluated: Callable[[Evaluation], None],
    ) -> None:
        self._runtime, self._observer, self._store = runtime, observer, store
        self._stop, self._evaluator, self._evaluated = stop, evaluator, evaluated

    def wait(self, future: Future) -> Any:
        """The answer.

        Raises:
            Stopped: Somebody asked, or a condition was met.
        """
        while not self.look([future]):
            pass
        return future.result()

    def look(self, futures: Sequence[Future] = ()) -> list[Future]:
        """One turn of waiting: those of `futures` that are done, none if time ran out.

        Raises:
            Stopped: Somebody asked, or a condition was met.
        """
        evaluation = self._evaluator.answer
        aside = [] if evaluation is None or evaluation in futures else [evaluation]
        done = self._runtime.wait([*futures, *aside], POLL_S)
        self._observer.tick()
        self._store.tick()
        if aside and evaluation in done:
            result = self._evaluator.finish()
            if result is not None:  # else the evaluator died, and does it again
                self._evaluated(result)
        self._stop.check()
        return [future for future in done if future in futures]
