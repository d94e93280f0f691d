"""A task that cannot be learned from says so at once, in one line, whatever it does."""

import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments import GOALS, TERMINATES, TRUNCATES, Counting, CountingGoals
from gymnasium.spaces import Box

from awac_dist.envs.config import EnvConfig
from awac_dist.envs.guard import MAX_FAULTS
from awac_dist.envs.make import GOAL_KEYS, GoalAsInput, space_spec
from awac_dist.envs.trial import API, trial
from awac_dist.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Gymnasium's own checks
ODD, STARTED = "tests/Odd-v0", list[Any]()
CALLS = multiprocessing.get_context("fork").SimpleQueue()  # of the process that tries it


class Mute(RuntimeError):  # noqa: N818 - says what it is
    """Cannot say what is wrong, nor travel to another process."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())

    def __str__(self) -> str:
        raise ValueError("no words")


class Panic(BaseException):
    """As compiled code raises it."""


def fail(error: BaseException) -> Any:
    raise error


class Odd(Counting):
    """Does something else where the named method would have answered."""

    def __init__(self, **ways: Callable[[Any], Any]) -> None:
        super().__init__(terminates_at=5)
        self._ways = ways
        STARTED.append(self)
        CALLS.put("made")
        ways.get("made", id)(self)

    def reset(self, **options: Any) -> Any:
        CALLS.put("reset")
        return self._ways.get("reset", lambda given: given)(super().reset(**options))

    def step(self, action: Any) -> Any:
        CALLS.put("step")
        return self._ways.get("step", lambda given: given)(super().step(action))

    def close(self) -> None:
        CALLS.put("close")


class Unseeded(Odd):
    def reset(self, options: Any = None) -> Any:  # type: ignore[override]
        return super().reset()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    calls()
    gymnasium.register(ODD, Odd, max_episode_steps=100)
    yield
    del gymnasium.registry[ODD]


def calls() -> Counter[str]:
    """Of an odd task's methods, how often each was called since somebody asked."""
    found = Counter[str]()
    while not CALLS.empty():
        found[CALLS.get()] += 1
    return found


def replaced(place: int, value: Any) -> Callable[[Any], Any]:
    return lambda answer: (*answer[:place], value, *answer[place + 1 :])


def tried(limit_s: float | None = 5.0, **ways: Callable[[Any], Any]) -> Any:
    return trial(EnvConfig(ODD, ways), limit_s)


NOT_USABLE = np.array([0, 0, 3e38, 0], np.float32)
WAYS: dict[str, tuple[dict[str, Callable[[Any], Any]], str]] = {
    "step of four": ({"step": lambda a: (*a[:2], False, {})}, API),
    "reset without info": ({"reset": lambda a: a[0]}, API),
    "no tuple": ({"step": lambda a: a[0]}, "AssertionError: Expects step result to be a tuple"),
    "reward [1]": ({"step": replaced(1, np.ones(1))}, "ValueError: the reward has shape (1,)"),
    "no reward": ({"step": replaced(1, None)}, "TypeError: "),
    "reward NaN": ({"step": replaced(1, np.nan)}, "ValueError: the reward is NaN"),
    "reward 1e39": (
        {"step": replaced(1, 1e39)},
        "the reward is 1e+39, whose square is infinite in float32",
    ),
    "observation 3e38": (
        {"step": replaced(0, NOT_USABLE)},
        "column 2 of the observation is 3e+38, whose square is infinite in float32",
    ),
    "observation 1e300": ({"reset": replaced(0, [0, 1e300, 0, 0])}, "column 1 of the observation"),
    "other width": ({"reset": replaced(0, np.zeros(3))}, "observation has shape (3,), not (4,)"),
    "raises": ({"step": lambda _: fail(KeyError("arm"))}, "KeyError: 'arm'"),
    "exits": ({"step": lambda _: fail(SystemExit(3))}, "SystemExit: 3"),
    "panics": ({"reset": lambda _: fail(Panic("lost"))}, "Panic: lost"),
    "mute": ({"step": lambda _: fail(Mute())}, "Mute"),
    "cannot be made": ({"made": lambda _: fail(OSError("port is busy"))}, "OSError: port is busy"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_learned_from_is_one_line(way: str) -> None:
    ways, told = WAYS[way]
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        tried(**ways)
    assert str(caught.value).startswith(f"environment {ODD} fails when it is tried: ")
    assert "\n" not in str(caught.value)
    called = calls()
    assert called["made"] == MAX_FAULTS
    if way != "cannot be made":
        assert called["close"] == MAX_FAULTS  # or the next could not have its port


@pytest.mark.parametrize(
    ("ways", "where"),
    [
        ({"step": lambda _: fail(OSError("no power"))}, "OSError: no power (@, in fail)"),
        ({"step": lambda _: json.loads("{")}, "column 2 (char 1) (@, in <lambda>)"),  # a library's
        ({"made": lambda _: fail(TypeError("an arm"))}, "}) (@, in fail)"),  # as Gymnasium says
        ({"step": lambda _: 4}, "to be a tuple, actual type: <class 'int'>"),
    ],
)
def test_where_it_fails_is_told(ways: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as caught:
        tried(**ways)
    told = re.sub(r"test_trial\.py, line \d+", "@", str(caught.value)).removesuffix(f"; {API}")
    assert told.endswith(where)


def test_a_reset_without_a_seed_is_told_how_it_should_be() -> None:
    gymnasium.registry[ODD].entry_point = Unseeded
    with pytest.raises(InputError, match=re.escape(API)):
        tried()


@pytest.mark.parametrize("method", ["made", "reset", "step"])
def test_what_hangs_is_told_once(method: str) -> None:
    with pytest.raises(InputError, match=r"tried: TimeoutError: no answer within 0\.1 s$"):
        tried(limit_s=0.1, **{method: lambda _: time.sleep(20)})
    assert calls()["made"] == 1


def after(wait_s: float, does: Callable[[Any], Any] = lambda answer: answer) -> Any:
    def late(given: Any) -> Any:
        time.sleep(wait_s)
        return does(given)

    return late


def test_the_limit_is_of_each_call_and_not_of_all_together() -> None:
    late = after(0.5)
    assert len(tried(limit_s=1.0, made=late, reset=late, step=late).rewards) == 3
    assert calls()["made"] == 1


def test_late_faults_are_counted_and_told() -> None:
    dies = after(0.3, lambda _: fail(OSError("no power")))
    with pytest.raises(InputError, match="tried: OSError: no power"):
        tried(limit_s=0.5, reset=after(0.3), step=dies)
    assert calls()["made"] == MAX_FAULTS


def test_an_end_that_hangs_is_told_too() -> None:
    class Endless(Odd):
        def close(self) -> None:
            time.sleep(20)

    gymnasium.registry[ODD].entry_point = Endless
    with pytest.raises(InputError, match=r"tried: TimeoutError: no answer within 0\.2 s$"):
        tried(limit_s=0.2)


def swallow(_: Any) -> Any:
    while True:
        with suppress(BaseException):
            time.sleep(20)


ENDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "exits at once": (lambda _: os._exit(3), "its process died: exit code 3"),
    "crashes": (lambda _: os.kill(os.getpid(), signal.SIGKILL), "its process died: SIGKILL"),
    "interrupts": (lambda _: fail(KeyboardInterrupt()), "its process died: exit code 1"),
    "swallows what ends it": (swallow, "TimeoutError: no answer within 0.5 s"),
}


@pytest.mark.parametrize("way", ENDS)
def test_what_ends_a_process_ends_another_one(way: str) -> None:
    does, told = ENDS[way]
    with pytest.raises(InputError, match=f"fails when it is tried: {told}$"):
        tried(limit_s=0.5, step=does)


def test_a_trial_outlives_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "kill", lambda _: None)
    began = time.monotonic()
    with pytest.raises(InputError, match="no answer within"):
        tried(limit_s=0.2, step=swallow)
    assert time.monotonic() - began < 10


def test_what_goes_on_in_the_background_keeps_nobody() -> None:
    sleeps = threading.Thread(target=time.sleep, args=[20])
    assert len(tried(limit_s=5.0, made=lambda _: sleeps.start()).rewards) == 3
    assert sleeps not in threading.enumerate()


def test_what_fails_now_and_then_is_forgiven() -> None:
    def once(answer: Any) -> Any:
        return fail(ValueError()) if len(STARTED) < MAX_FAULTS else answer

    assert len(tried(step=once).rewards) == 3


@pytest.mark.parametrize(("env_id", "width"), [(TERMINATES, 4), (TRUNCATES, 4), (GOALS, 2)])
def test_a_trial_says_what_was_seen(env_id: str, width: int) -> None:
    found = trial(EnvConfig(env_id), None)
    assert found.spec.observation_size == width
    assert found.observations.shape == (4, width)
    assert found.observations[:, 1].tolist() == [0, *([1, 2, 3] if width == 4 else [100, 200, 300])]
    assert found.rewards.shape == (3,)


def test_hardware_is_reset_once_and_closed_and_never_moved() -> None:
    gymnasium.registry[ODD].nondeterministic = True
    found = tried()
    assert found.observations.shape == (1, 4)
    assert len(found.rewards) == 0
    assert calls() == {"made": 1, "reset": 1, "close": 1}


LARGE = np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("low", "high", "dtype", "told"),
    [
        (
            -1e20,
            1e20,
            np.float64,
            r"action 1 has bounds -1e\+20 and 1e\+20",
        ),
        (-LARGE, LARGE, np.float32, r"action 1 has bounds -3.40282e.38 and 3"),
        (0, 0, np.float32, "action 1 has bounds 0 and 0"),
        (1e9, 1e9 + 1, np.float64, "action 1 has bounds 1e.09 and 1e.09"),
        (-1, np.inf, np.float32, "action 1 has bounds -1 and inf"),
    ],
)
def test_bounds_are_looked_at_first(low: float, high: float, dtype: Any, told: str) -> None:
    box = Box(np.array([-1, low], dtype), np.array([1, high], dtype), dtype=dtype)
    with pytest.raises(InputError, match=f"^Mine-v0: {told}"):
        space_spec("Mine-v0", Box(-1, 1, (3,)), box)


def test_whole_numbers_are_no_actions() -> None:
    with pytest.raises(InputError, match=r"^Mine-v0: actions must be real numbers, but are Box\("):
        space_spec("Mine-v0", Box(-1, 1, (3,)), Box(0, 9, (2,), np.int64))


@pytest.mark.parametrize(("observations", "actions"), [(0, 2), (3, 0), (0, 0)])
def test_spaces_of_no_numbers_are_refused(observations: int, actions: int) -> None:
    what = "actions" if observations else "observations"
    with pytest.raises(InputError, match=f"^Mine-v0: {what} are Box.* one number at least"):
        space_spec("Mine-v0", Box(-1, 1, (observations,)), Box(-1, 1, (actions,)))


@pytest.mark.parametrize("empty", GOAL_KEYS)
def test_goals_of_no_numbers_are_refused(empty: str) -> None:
    env = CountingGoals()
    env.observation_space[empty] = Box(-1, 1, (0,))  # type: ignore[index]
    with pytest.raises(InputError, match=f": {empty}s are Box.* one number at least"):
        GoalAsInput(env)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_clipped_action_is_within_the_box_as_the_task_sees_it(dtype: Any) -> None:
    edges = np.array([[-0.1, -2 / 3, 1 / 3], [0.1, 0.7, 0.9]], dtype)
    box = Box(*edges, dtype=dtype)
    spec = space_spec("Mine-v0", Box(-1, 1, (3,)), box)
    for actions in (np.full((2, 3), 9, np.float32), np.full((2, 3), -9, np.float32), edges):
        for action in spec.bounded(actions.astype(np.float32)):
            assert box.contains(action)
    np.testing.assert_array_equal(spec.bounded(np.float32([0.0, 0.25, 0.5])), [0.0, 0.25, 0.5])
