"""The evaluator, whichever process it is in, and the evaluation that it is busy with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from awac_dist.errors import ComponentDied, RunFailed
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Future, Handle

ATTEMPTS = 3


class EvaluatorSupervisor:
    """Runs one evaluation at a time, again if the evaluator dies over it.

    Args:
        start: Starts an evaluator.
        died: Is told why one died.
        wait: Gives the answer to a call, and lets the rest of the run go on meanwhile.
        publish: Has the policy published again, where the weight store lost it.
    """

    def __init__(
        self,
        start: Callable[[], Handle],
        died: Callable[[str, str], None],
        wait: Callable[[Future], Any],
        publish: Callable[[], object],
    ) -> None:
        self._start, self._died = start, died
        self._wait, self._publish = wait, publish
        self._handle = start()
        self._asked: tuple[str, int] | None = None
        self._attempts = 0
        self.answer: Future | None = None  # of the evaluation that goes on

    def begin(self, label: str, episodes: int) -> None:
        """Evaluate the newest policy.

        The policy is fixed when this returns; the episodes take their time.
        """
        self._asked, self._attempts = (label, episodes), 0
        self._post()

    def result(
        self, label: str, episodes: int, look: Callable[[list[Future]], list[Future]]
    ) -> Evaluation:
        """Evaluate the newest policy, and wait for it; after the one that goes on.

        Args:
            label: Of the evaluation.
            episodes: How many.
            look: One turn of waiting.
        """
        while self.answer is not None:
            look([])
        self.begin(label, episodes)
        while True:
            if look([self.current]):
                evaluation = self.finish()
                if evaluation is not None:
                    return evaluation

    def drop(self) -> None:
        """Forget what goes on; nobody will hear of it."""
        self.answer = self._asked = None

    @property
    def current(self) -> Future:
        """The answer that will come."""
        assert self.answer is not None, "begin comes first"
        return self.answer

    def finish(self) -> Evaluation | None:
        """The evaluation whose `answer` is there, None if it has to be done again.

        Raises:
            RunFailed: It was tried often enough.
        """
        answer, self.answer = self.current, None
        try:
            evaluation: Evaluation = answer.result()
        except ComponentDied as death:
            self._replace(death)
            self._post()
            return None
        self._asked = None
        return evaluation

    def _post(self) -> None:
        assert self._asked is not None
        while not self._has_loaded():
            self._publish()
        self.answer = self._handle.post("run", *self._asked)

    def _has_loaded(self) -> bool:
        """Whether the evaluator, another one if it dies over it, found a policy."""
        while True:
            try:
                return self._wait(self._handle.post("load")) is not None
            except ComponentDied as death:
                self._replace(death)

    def _replace(self, death: ComponentDied) -> None:
        self._attempts += 1
        if self._attempts == ATTEMPTS:
            raise RunFailed(f"the evaluator died {ATTEMPTS} times in a row: {death}")
        self._died("evaluator", str(death))
        self._handle = self._start()
