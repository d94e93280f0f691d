"""The event loop: a death that becomes known while somebody waits is nobody else's."""

from typing import Any

import pytest
from running import Witness

from awac_dist.errors import ComponentDied
from awac_dist.messages import StreamState
from awac_dist.runs.evaluating import EvaluatorSupervisor
from awac_dist.runs.event_loop import EventLoop
from awac_dist.runs.learning import LearnerSupervisor
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.runtime import InlineFuture, InlineRuntime, Resources


class Gone:
    """The answer of a process that is no more."""

    def result(self) -> Any:
        raise ComponentDied("the learner was killed")


class Ready:
    """A component that answers everything."""

    def post(self, method: str, *arguments: Any, **named: Any) -> InlineFuture:
        return InlineFuture(0)


class Dead:
    """A component whose answers do not come."""

    def post(self, method: str, *arguments: Any, **named: Any) -> Gone:
        return Gone()


def loop_with_a_death() -> EventLoop:
    """One that will find out at its first turn that the learner is dead."""
    loop = EventLoop(InlineRuntime(Resources((2.0,), gpus=0)), Witness(), None, lambda: False)
    loop.when_done(Gone(), lambda answer: answer.result())
    return loop


def test_a_learners_death_is_not_taken_for_the_evaluators() -> None:
    loop, deaths = loop_with_a_death(), []
    evaluator = EvaluatorSupervisor(Ready, lambda *death: deaths.append(death), loop, lambda: None)
    evaluator.start()
    with pytest.raises(ComponentDied, match="the learner was killed"):
        evaluator.begin("online", 1, lambda evaluation: None)
    assert not deaths


def test_a_learners_death_is_not_lost_where_workers_are_put_on_streams() -> None:
    loop = loop_with_a_death()
    workers = WorkerPool(lambda number, incarnation: Ready(), 2, [])
    with pytest.raises(ComponentDied, match="the learner was killed"):
        workers.go_on([StreamState(number, 1) for number in range(2)], loop.until)


def test_a_worker_that_dies_over_its_stream_is_replaced_once_it_has_work() -> None:
    loop = EventLoop(InlineRuntime(Resources((2.0,), gpus=0)), Witness(), None, lambda: False)
    workers = WorkerPool(lambda number, incarnation: Dead(), 2, [])
    workers.go_on([StreamState(number, 1) for number in range(2)], loop.until)
    assert [position.incarnation for position in workers.positions] == [1, 1]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_death_over_what_nobody_waits_for_is_told_once(replaced: bool) -> None:
    loop = EventLoop(InlineRuntime(Resources((2.0,), gpus=0)), Witness(), None, lambda: False)
    learner = LearnerSupervisor(Dead, "", loop, in_rounds=False)
    learner.call_aside("publish")
    if replaced:
        learner.begin_anew()
        loop.look()  # the new one is not blamed
    else:
        with pytest.raises(ComponentDied):
            loop.look()
