"""Nobody waits blindly: the driver takes no answer that the event loop has not seen come."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running import make_driver, small_config, write_demonstrations

from awac_dist.config import RunConfig
from awac_dist.learner.checkpoint import load_progress, newest_whole
from awac_dist.learner.learner import Learner
from awac_dist.messages import Future
from awac_dist.runs import event_loop
from awac_dist.runs.runtime import InlineFuture, InlineHandle, InlineRuntime, Resources

HUNG_AT = (1, 3, 5, 7, 10, 13, 16, 20, 25, 31, 38, 50, 66)  # calls of the driver, of some 80


class Answer:
    """The answer to a call of the driver, which may be taken once it was seen to have come."""

    def __init__(self, value: Any, *, comes: bool) -> None:
        self._value, self._comes, self.seen = value, comes, False
        self.ready_s = 0.0

    @property
    def comes(self) -> bool:
        return self._comes and time.monotonic() >= self.ready_s

    def result(self) -> Any:
        assert self.seen, "the driver waited outside the event loop"
        return self._value


class WatchedHandle(InlineHandle):
    """Tells calls of the driver from those of components; the n-th of the driver's hangs."""

    def __init__(self, component: Any, runtime: "WatchedRuntime") -> None:
        super().__init__(component)
        self._runtime, self._hangs, self._ready_s = runtime, False, 0.0

    def post(self, method: str, *arguments: Any, **named: Any) -> Any:
        runtime = self._runtime
        if runtime.depth:
            return super().post(method, *arguments, **named)
        runtime.calls += 1
        self._hangs = self._hangs or runtime.calls == runtime.hung_at
        if self._hangs:
            runtime.hangs = True
            return Answer(None, comes=False)
        runtime.depth += 1
        try:
            answer = Answer(super().post(method, *arguments, **named).result(), comes=True)
            if isinstance(self.component, Learner):  # it does one after the other
                self._ready_s = max(self._ready_s, time.monotonic()) + runtime.learner_s
                answer.ready_s = self._ready_s
            return answer
        finally:
            runtime.depth -= 1


class WatchedRuntime(InlineRuntime):
    """Sees who waits how. `hung_at`: the call of the driver after which its component is stuck."""

    def __init__(self, hung_at: int = 0, learner_s: float = 0.0) -> None:
        super().__init__(Resources((2.0,), gpus=0))
        self.learner_s = learner_s  # that each of its calls takes
        self.hung_at, self.calls, self.depth, self.hangs = hung_at, 0, 0, False
        self.turns = 0  # of waiting, since something hangs

    def start(self, component: type, *arguments: Any, **named: Any) -> InlineHandle:
        for option in ("cpus", "gpus"):
            named.pop(option, None)
        return WatchedHandle(component(*arguments, **named), self)

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        done = [f for f in futures if isinstance(f, InlineFuture) or getattr(f, "comes", False)]
        for future in done:
            if isinstance(future, Answer):
                future.seen = True
        self.turns += self.hangs
        time.sleep(0 if done or not timeout_s else 0.001)
        return done


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    path = tmp_path_factory.mktemp("data") / "demonstrations.parquet"
    return small_config(write_demonstrations(path, episodes=5))


class Killed(Exception):  # noqa: N818 - says what happened
    """The whole run was killed."""


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_every_answer_is_seen_to_come_before_it_is_taken(
    config: RunConfig, tmp_path: Path, mode: str
) -> None:
    def kill(driver: Any) -> None:
        if driver.progress.grad_steps >= 75:
            raise Killed

    changed, folder = replace(config, mode=mode, shards=2), tmp_path / "run"
    _, driver = make_driver(changed, WatchedRuntime(), folder, look=kill)
    with pytest.raises(Killed):
        driver.run()
    runtime = WatchedRuntime()
    _, driver = make_driver(changed, runtime, folder, session=1)
    assert driver.run() is None
    assert runtime.calls > 50


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("hung_at", HUNG_AT)
def test_a_stop_is_heard_whatever_is_waited_for(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hung_at: int, mode: str
) -> None:
    monkeypatch.setattr(event_loop, "LAST_WORDS_S", 0.2)
    runtime = WatchedRuntime(hung_at)
    changed = replace(config, mode=mode)
    began = time.monotonic()
    _, driver = make_driver(changed, runtime, tmp_path, stop=lambda: runtime.turns > 20)
    reason = driver.run()  # ends, and raises nothing
    assert runtime.hangs
    assert reason in (None, "asked to stop")
    assert time.monotonic() - began < 60


def test_the_last_checkpoint_waits_for_a_slow_learner(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls are before it, each of which takes as long as the last words may."""
    monkeypatch.setattr(event_loop, "LAST_WORDS_S", 0.1)
    changed, runtime = replace(config, mode="async"), WatchedRuntime(learner_s=0.1)
    witness, driver = make_driver(changed, runtime, tmp_path)
    driver.loop.stop_asked = lambda: len(witness.updates) > 3
    assert driver.run() == "asked to stop"
    assert not [note for note in witness.notes if "is kept" in note]
    newest = newest_whole(f"{tmp_path}/checkpoints")
    assert newest is not None
    assert load_progress(newest)["grad_steps"] >= sum(its.updates for its in witness.updates)


def test_the_walk_sees_a_blind_wait(config: RunConfig, tmp_path: Path) -> None:
    _, driver = make_driver(config, WatchedRuntime(), tmp_path)
    driver.loop.wait = lambda it: it.result()  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="outside the event loop"):
        driver.run()
