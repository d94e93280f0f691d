"""When runs that learn get where, and the picture of it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from awac_dist.bench import whole_curves
from awac_dist.bench.curves import Plan, draw, learned, mean_curve, reached_at
from awac_dist.bench.rllib_curves import evaluated, last_returns
from awac_dist.bench.whole_curves import OURS, THEIRS, Watch, curve_of, told_apart
from awac_dist.cli.main import told as run_told
from awac_dist.cli.parser import read


def test_the_mean_is_of_the_seeds_evaluations_in_order() -> None:
    one = np.array([[10, 100], [20, 200], [30, 900]], np.float32)
    other = np.array([[14, 300], [28, 400]], np.float32)
    assert mean_curve([one, other]).tolist() == [[12, 200], [24, 300]]


def test_a_return_is_reached_on_the_line_between_evaluations() -> None:
    curve = np.array([[10, 100], [20, 200], [30, 150], [40, 450]], np.float32)
    assert reached_at(curve, 50) == 10  # at the first
    assert reached_at(curve, 175) == 17.5
    assert reached_at(curve, 200) == 20
    assert reached_at(curve, 350) == pytest.approx(30 + 10 * 200 / 300)
    with pytest.raises(ValueError, match="a return of 451 is never reached"):
        reached_at(curve, 451)


def test_ways_take_turns_seed_by_seed(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(picture="", seeds=2, online=1, every=1)

    def way(step: float) -> Callable[[Plan, int], np.ndarray]:
        return lambda plan, seed: np.array([[10, seed], [20, step]], np.float32)

    curves = learned(plan, {"one": way(1.0), "other": way(2_000.0)}, "s")
    assert [curve.tolist() for curve in curves["other"]] == [
        [[10, 0], [20, 2_000]],
        [[10, 1], [20, 2_000]],
    ]
    assert capsys.readouterr().out.splitlines() == [
        "one, seed 0: 10 s 0; 20 s 1",
        "other, seed 0: 10 s 0; 20 s 2,000",
        "one, seed 1: 10 s 1; 20 s 1",
        "other, seed 1: 10 s 1; 20 s 2,000",
    ]


def test_both_are_asked_for_what_both_reach() -> None:
    fast = np.array([[10, 0], [20, 1_000]], np.float32)
    slow = np.array([[20, 0], [60, 500]], np.float32)
    told = told_apart({OURS: [fast], THEIRS: [slow]})
    assert told[:2] == [f"{OURS}: 500 after 15 s", f"{THEIRS}: 500 after 60 s"]
    assert told[2] == "4.00 times sooner"


def test_an_evaluation_stands_where_its_policy_was_done() -> None:
    rows = [
        {"phase": "offline", "grad_steps": 100, "elapsed_s": 12.0, "critic/loss": 1.0},
        {"phase": "offline", "grad_steps": 200, "elapsed_s": 13.0, "critic/loss": 1.0},
        {"phase": "offline", "grad_steps": 300, "elapsed_s": 14.5, "critic/loss": 1.0},
        {"phase": "offline", "grad_steps": 200, "elapsed_s": 15.0, "eval/return": 7.0},
        {"phase": "online", "grad_steps": 300, "elapsed_s": 19.0, "eval/return": 9.0},
    ]
    assert curve_of(rows).tolist() == [[1.0, 7.0], [2.5, 9.0]]


def test_seconds_count_from_where_the_first_hundred_updates_are_done() -> None:
    rows = [
        {"phase": "online", "grad_steps": done, "elapsed_s": float(done), "critic/loss": 1.0}
        for done in (40, 90, 130, 180)
    ]
    evaluated = {"phase": "online", "grad_steps": 180, "elapsed_s": 999.0, "eval/return": 7.0}
    assert curve_of([*rows, evaluated]).tolist() == [[50.0, 7.0]]


class Trained:
    """Stands for RLlib: 200 updates a training step offline, 250 online; returns its updates."""

    def __init__(self, offline: int) -> None:
        self.offline, self.grad_steps = offline, 0

    def train(self) -> None:
        left = self.offline - self.grad_steps
        self.grad_steps += min(left, 200) if left > 0 else 250

    def evaluate(self) -> dict[str, Any]:
        return {"env_runners": {"episode_return_mean": float(self.grad_steps)}}


@pytest.mark.parametrize(
    ("offline", "online", "every", "at"),
    [
        (2_000, 1_000, 500, [600, 1_200, 1_800, 2_000, 2_500, 3_000]),
        (500, 600, 400, [400, 500, 1_000, 1_250]),
        (500, 0, 9_000, [500]),
        (0, 700, 300, [500, 750]),
    ],
)
def test_rllib_is_evaluated_when_due_and_at_the_end_of_each_phase(
    offline: int, online: int, every: int, at: list[int]
) -> None:
    plan = Plan(picture="", offline=offline, online=online, every=every)
    assert evaluated(Trained(offline), plan).tolist() == [[done, done] for done in at]


def test_the_last_return_of_each_phase_is_told_where_it_has_one() -> None:
    one = np.array([[400, 1], [500, 1_000], [900, 2], [1_100, 40]], np.float32)
    other = np.array([[500, 3_000], [1_250, 60]], np.float32)
    assert list(last_returns({"a": [one, other], "b": [one[:2]]}, 500)) == [
        "a: offline 2,000 (1,000, 3,000)",
        "a: online 50 (40, 60)",
        "b: offline 1,000 (1,000)",
    ]
    assert list(last_returns({"a": [other]}, 0)) == ["a: online 60 (60)"]


def test_the_clock_stands_still_while_d3rlpy_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    now, actions = [100.0], []

    class Task:
        """Each step takes a second of the clock and gives 2."""

        def reset(self, *, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
            self._left = 3
            return np.zeros(2), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            now[0] += 1.0
            self._left -= 1
            actions.append(action)
            return np.zeros(2), 2.0, False, self._left == 0, {}

    monkeypatch.setattr(whole_curves.gymnasium, "make", lambda _: Task())
    monkeypatch.setattr(whole_curves, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(whole_curves, "FIRST", 2)
    watch = Watch(every=3)
    algorithm = SimpleNamespace(predict=lambda observations: observations[:, :1] + 0.25)
    for step in range(1, 7):
        now[0] += 10.0
        watch(algorithm, 0, step)
    assert watch.points == [(10.0, 6.0), (40.0, 6.0)]
    assert len(actions) == 2 * whole_curves.EPISODES * 3
    assert actions[0].tolist() == [0.25]


def test_a_picture_has_a_line_for_each_seed_and_each_mean(tmp_path: Path) -> None:
    curve = np.array([[1, 2], [3, 4]], np.float32)
    path = tmp_path / "picture.png"
    axes = draw(
        str(path),
        {"a": [curve, curve + np.array([0, 2])], "b": [curve]},
        title="t",
        where="x",
        what="y",
    )
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert [line.get_xydata().tolist() for line in axes.lines] == [
        [[1, 2], [3, 4]],
        [[1, 4], [3, 6]],
        [[1, 3], [3, 5]],
        [[1, 2], [3, 4]],
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "the following arguments are required: PICTURE"),
        (["picture.png"], "d3rlpy is not installed: see docs/speed.md"),
    ],
)
def test_wrong_words_and_a_missing_peer_are_one_line(
    words: list[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(whole_curves, "find_spec", lambda _: None)
    assert run_told(lambda: whole_curves.run(read(whole_curves.Curves, words, "x"))) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"awac_dist: {line}")
    assert told.count("\n") == 1
