"""The event loop: a death that becomes known while somebody waits is nobody else's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from running import Witness

from awac_dist.errors import ComponentDied
from awac_dist.messages import Future, StreamState
from awac_dist.policies.spec import PolicySpec
from awac_dist.runs import event_loop, weights
from awac_dist.runs.evaluating import EvaluatorSupervisor
from awac_dist.runs.event_loop import EventLoop, Stopped
from awac_dist.runs.learning import LearnerSupervisor
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.runtime import InlineFuture, InlineHandle, InlineRuntime, Resources
from awac_dist.runs.weights import WeightStore


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

    component = None

    def post(self, method: str, *arguments: Any, **named: Any) -> Gone:
        return Gone()


class Silent(InlineRuntime):
    """A runtime in which no answer comes."""

    def __init__(self) -> None:
        super().__init__(Resources((2.0,), gpus=0))

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        return []

    def who(self, future: Future) -> str:
        return "rollout worker 1 (process 7)"

    def end_stopped(self) -> list[str]:
        return ["learner (process 8) is ended"]


def test_a_store_that_begins_anew_has_news_whatever_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a machine whose clock was set back."""
    spec, serials = PolicySpec("gaussian", (2, 1), (-1.0,), (1.0,)), []
    for now in (2_000, 1_000):
        monkeypatch.setattr(weights.time, "time_ns", lambda now=now: now)
        store = WeightStore()
        serials.append(store.publish(7, spec, np.zeros(3, np.float32)))
        assert store.pull(serials[-1]) is None
        assert store.pull(serials[0] if now == 1_000 else -1) is not None


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


def test_who_does_not_answer_is_told_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "LOOK_FOR_SILENCE_EVERY_S", 0.0)
    now, witness = [0.0], Witness()
    monkeypatch.setattr(event_loop.time, "monotonic", lambda: now[0])
    loop, answer = EventLoop(Silent(), witness, None, lambda: False), InlineFuture(0)
    for second in range(2_000):
        now[0] = float(second)
        loop.look([answer])
    told = [line for line in witness.notes if line.startswith("no answer")]
    assert told == [
        f"no answer from rollout worker 1 (process 7) for {seconds} s"
        for seconds in (300, 600, 1200)
    ]
    assert witness.notes.count("learner (process 8) is ended") == 2_000


class LongEvaluation:
    """An evaluator that plays its episodes wave by wave."""

    waves = 0

    def load(self) -> int:
        return 1

    def run(self, label: str, episodes: int) -> None:
        self.waves += 1


def test_a_request_is_heard_in_the_midst_of_a_long_evaluation() -> None:
    played = LongEvaluation()
    runtime = InlineRuntime(Resources((2.0,), gpus=0))
    loop = EventLoop(runtime, Witness(), None, lambda: played.waves == 3)
    evaluator = EvaluatorSupervisor(
        lambda: InlineHandle(played), lambda *death: None, loop, lambda: None
    )
    evaluator.start()
    with pytest.raises(Stopped):
        evaluator.result("online", 1_000)
    assert played.waves == 3
