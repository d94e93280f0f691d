"""The evaluator, whichever process it is in, and the evaluation that it is busy with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from awac_dist.errors import ComponentDied, RunFailed
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Future, Handle
from awac_dist.rollout.watchdog import HUNG
from awac_dist.runs.event_loop import EventLoop

ATTEMPTS = 3


@dataclass
class EvaluatorSupervisor:
    """Runs one evaluation at a time, again if the evaluator dies over it; `start` comes first.

    Where the weight store lost the policy, it has it published again.
    """

    new: Callable[[], Handle]  # starts an evaluator
    died: Callable[[str, str], None]
    loop: EventLoop
    publish: Callable[[], object]
    is_busy: bool = False  # an evaluation was begun, and nobody was told what came of it
    _attempts: int = 0
    _answer: Future | None = None

    def start(self) -> None:
        """Start an evaluator, which takes its time."""
        self._handle = self.new()

    def check(self) -> None:
        """Wait until it is there: what it cannot make, it says before anything is learned."""
        answer = self.loop.until(self._handle.post("ready"))
        with suppress(ComponentDied):  # it is replaced once it has work
            answer.result()

    def begin(self, label: str, episodes: int, told: Callable[[Evaluation], object]) -> None:
        """Evaluate the newest policy; `told` is told what came of it.

        The policy is fixed when this returns; the episodes take their time.

        Raises:
            RunFailed: It was tried often enough; turns of the event loop may raise it, too.
        """
        self._attempts, self.is_busy = 0, True
        self._wanted, self._told = (label, episodes), told
        self._post()

    def result(self, label: str, episodes: int) -> Evaluation:
        """Evaluate the newest policy, and wait for it; after the one that goes on."""
        self.wait()
        found: list[Evaluation] = []
        self.begin(label, episodes, found.append)
        while not found:
            self.loop.look()
        return found[0]

    def wait(self) -> None:
        """Wait for the one that goes on, if one does."""
        while self._answer is not None:  # one that a stop kept from being asked for never comes
            self.loop.look()

    def drop(self) -> None:
        """Forget what goes on; nobody will hear of it."""
        self._answer, self.is_busy = None, False

    def _post(self) -> None:
        while not self._has_loaded():
            self.publish()
        self._play()

    def _play(self) -> None:
        self._answer = self._handle.post("run", *self._wanted)
        self.loop.when_done(self._answer, self._finish)

    def _has_loaded(self) -> bool:
        """Whether the evaluator, another one if it dies over it, found a policy."""
        while True:
            answer = self.loop.until(self._handle.post("load"))
            try:
                return answer.result() is not None
            except ComponentDied as death:
                self._replace(death)

    def _finish(self, answer: Future) -> None:
        if answer is not self._answer:  # it was dropped
            return
        self._answer = None
        try:
            evaluation: Evaluation | None = answer.result()
        except ComponentDied as death:
            self._replace(death)
            self._post()
            return
        if evaluation is None:  # there are episodes left
            self._play()
        else:
            self.is_busy = False
            self._told(evaluation)

    def _replace(self, death: ComponentDied) -> None:
        self._attempts += 1
        if self._attempts == ATTEMPTS:
            raise RunFailed(f"the evaluator died {ATTEMPTS} times in a row: {death} {HUNG}")
        self.died("evaluator", str(death))
        self.loop.runtime.end(self._handle)  # it lives where what it asked has died
        self.start()
