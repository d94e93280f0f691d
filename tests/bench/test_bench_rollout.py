"""What the bench says of acting, replay and many workers, on small amounts and a scripted clock."""

from collections.abc import Callable
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from awac_dist.bench import acting, replay, whole_curves, workers
from awac_dist.bench.acting import BareLoop
from awac_dist.distributed import handles
from awac_dist.distributed.handles import SharedWeightStore
from awac_dist.envs.make import env_spec
from awac_dist.messages import RolloutReport
from awac_dist.policies.spec import PolicySpec
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.collector import Collector
from awac_dist.runs.runtime import InlineFuture, InlineHandle, InlineRuntime, Resources

PENDULUM = "Pendulum-v1"  # episodes of 200 steps


def script_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Have every look at the clock of a module be a second after the one before."""
    looks = map(float, count())
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(looks)))


def test_the_bare_loop_does_the_very_same_steps() -> None:
    loop, seen = BareLoop(PENDULUM, 2), []

    def noting(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noted(action: Any) -> Any:
            result = step(action)
            seen.append(result[0])
            return result

        return noted

    for env in loop._free:
        env.step = noting(env.step)  # type: ignore[method-assign]
    spec = env_spec(PENDULUM)
    collector, policy = Collector(spec, 2, (1, 0, 0)), acting.random_policy(spec)
    for _ in range(4):  # over the ends of three episodes
        fragments = collector.collect_steps(policy, 150, "online").fragments
        seen.clear()
        loop.repeat(fragments)
        recorded = np.concatenate([fragment.observations[1:] for fragment in fragments])
        np.testing.assert_array_equal(np.array(seen, np.float32), recorded)


def test_steps_a_second_are_those_of_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "STEPS", 40)
    monkeypatch.setattr(acting, "rate", lambda call: 2.0 if sum(map(len, call())) == 40 else 0.0)
    assert acting.worker(PENDULUM, 4)() == 2.0 * 40


def test_a_worker_s_share_is_the_median_of_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "STEPS", 40)
    measure = acting.beside_bare(PENDULUM, 4)
    # the worker takes 4, 5 and 8 seconds, the loop 3, 1 and 4
    looks = iter([0.0, 4.0, 7.0, 10.0, 15.0, 16.0, 20.0, 28.0, 32.0])
    monkeypatch.setattr(acting, "time", SimpleNamespace(perf_counter=lambda: next(looks)))
    assert measure() == 4 / 8


def test_processes_of_a_worker_multiply_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with acting.one_thread():
        assert acting.os.environ["OMP_NUM_THREADS"] == "1"
    assert acting.os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    with acting.one_thread():
        pass
    assert "OMP_NUM_THREADS" not in acting.os.environ


@pytest.mark.parametrize("shards", [1, 2])
def test_batches_a_second_are_those_that_arrive(
    shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Counting(ReplayShard):
        def take(self, rows: np.ndarray, *wishes: Any) -> Any:
            asked.append(len(rows))
            return super().take(rows, *wishes)

    def once(call: Callable[[], object]) -> float:
        call()
        return 1.0

    monkeypatch.setattr(replay, "EPISODES", 2)
    monkeypatch.setattr(replay, "BATCH", 8)
    monkeypatch.setattr(replay, "rate", once)
    options = {"discount": 0.99, "log": None}
    kept = [Counting(index, shards, replay.HALF_CHEETAH, **options) for index in range(shards)]
    measure = replay._fetched([InlineHandle(shard) for shard in kept])
    assert measure() == sum(asked) / 8 == 400  # 8 requests of 50 batches


class Tireless:
    """A worker that takes 10 steps a call, at once, and counts its calls."""

    calls = 0

    def post(self, method: str, *arguments: Any) -> InlineFuture:
        self.calls += 1
        return InlineFuture(RolloutReport(1, [], 10, 0, act_s=1.0, send_s=0.0))


def test_steps_of_many_workers_count_while_the_clock_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    script_clock(monkeypatch, workers)
    tireless = [Tireless(), Tireless()]
    rounds = workers.rounds(InlineRuntime(Resources((2.0,), 0)), tireless, 10, seconds=3)
    for turns in (2, 4):
        # looks at 0, 1, 2 and 3 seconds: two turns of two workers before the end
        assert next(rounds) == 40 / 3
        assert [worker.calls for worker in tireless] == [turns + 1, turns + 1]  # one is under way


def test_a_slow_run_is_told_by_its_online_rows() -> None:
    shares = {"rollout/wait_share": 0.2, "rollout/lag_mean": 10.0}
    more = {"rollout/wait_share": 0.4, "rollout/lag_mean": 30.0}
    rows = [
        {"phase": "offline", "env_steps": 0, "elapsed_s": 1.0} | shares,
        {"phase": "online", "env_steps": 100, "elapsed_s": 3.0} | shares,
        {"phase": "online", "env_steps": 200, "elapsed_s": 3.5},
        {"phase": "online", "env_steps": 500, "elapsed_s": 5.0} | more,
    ]
    row = workers._slow_row(4, 40.0, rows)
    assert row.value == (500 - 100) / (5.0 - 3.0)
    assert row.peer_value == 4 * 40.0
    assert row.note == "workers wait 30%, policies are 20 updates old"


def test_a_publication_is_serialised_once_for_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[np.ndarray] = []
    monkeypatch.setattr(handles.ray, "put", lambda vector: put.append(vector) or "reference")
    store, vector = SharedWeightStore(), np.zeros(3, np.float32)
    spec = PolicySpec("deterministic", (2, 1), (-1.0,), (1.0,))
    serial = store.publish(7, spec, vector)
    assert [store.pull(-1) for _ in range(32)] == [(serial, 7, spec, ["reference"])] * 32
    assert store.pull(serial) is None
    assert len(put) == 1
    assert put[0] is vector


def test_a_run_s_rate_is_that_after_its_first_third() -> None:
    def row(grad_steps: int, elapsed_s: float, phase: str = "online") -> dict[str, object]:
        loss = {"phase": phase, "critic/loss": 1.0}
        return loss | {"grad_steps": grad_steps, "elapsed_s": elapsed_s}

    third = whole_curves.STEPS // 3
    online = [row(100, 1.0), row(third, 50.0), row(2 * third, 60.0), row(3 * third, 90.0)]
    evaluated = {"phase": "online", "grad_steps": 3 * third, "elapsed_s": 99.0, "eval/return": 1.0}
    found = whole_curves.online_rate([row(5 * third, 0.0, phase="offline"), *online, evaluated])
    assert found == 2 * third / (90.0 - 50.0)
