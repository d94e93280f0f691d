"""Workers and environments that fail: nothing that was accepted is lost, nothing counts twice."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from environments import BURNS, FAILS, STEP, TAG, TERMINATES, VARIES, Failing

from awac_dist.config import OnlineConfig, RunConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.envs.make import env_spec
from awac_dist.errors import ComponentDied, InputError, RunFailed
from awac_dist.floats import all_usable, flaw
from awac_dist.messages import (
    Future,
    Handle,
    Placement,
    RolloutReport,
    StreamState,
    UpdateReport,
    Weights,
)
from awac_dist.policies.policy import UnitPolicy
from awac_dist.policies.spec import PolicySpec
from awac_dist.replay.books import Books
from awac_dist.replay.sampler import ONLINE, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout import collector as collector_module
from awac_dist.rollout.collector import Collected, Collector
from awac_dist.rollout.config import RolloutConfig
from awac_dist.rollout.worker import FixedPolicy, PublishedPolicy, RolloutWorker
from awac_dist.runs.collecting import Collecting, Counts, Order
from awac_dist.runs.pool import MAX_DEATHS, WorkerPool
from awac_dist.runs.runtime import InlineFuture, InlineHandle
from awac_dist.runs.schedule import FROZEN, RateLimiter
from awac_dist.types import Array, Episode

# Environments.


def make_collector(env_id: str, num_envs: int = 1, **stream: int) -> Collector:
    parts = {"seed": 5, "worker": 3, "incarnation": 0, **stream}
    return Collector(env_spec(env_id), num_envs, tuple(parts.values()))


def policy_for(env_id: str) -> UnitPolicy:
    return UnitPolicy(env_spec(env_id))


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "MAX_FAULTS", 1000)


def check_true_to_the_task(fragments: Sequence[Episode]) -> None:
    for fragment in fragments:
        steps = np.arange(len(fragment) + 1) + fragment.origin.start
        np.testing.assert_array_equal(fragment.observations[:, STEP], steps)
        assert len(set(fragment.observations[:, TAG])) == 1
        np.testing.assert_array_equal(fragment.rewards, steps[1:])


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("way", Failing.WAYS)
def test_a_failed_episode_is_dropped_and_counted_and_the_next_one_begun(
    way: str, num_envs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch)
    env_id = FAILS.format(way)
    collector = make_collector(env_id, num_envs)
    collected = collector.collect_steps(policy_for(env_id), 50, "online")
    fragments, finished = collected.fragments, collected.finished
    check_true_to_the_task(fragments)
    assert sum(map(len, fragments)) == 50 * num_envs
    assert finished == [(15.0, 5, 2, True)] * len(finished)
    under_way = [fragment for fragment in fragments if not fragment.terminated]
    assert all(fragment.origin.start == 0 for fragment in fragments)
    dealt = collector.next_episode
    assert len({fragment.origin.episode for fragment in fragments}) == len(fragments)
    assert dealt - len(fragments) - len(collected.faults) in range(
        num_envs + 1
    )  # begun, no step yet
    assert len(under_way) <= num_envs
    assert len(collected.faults) > 5 * num_envs
    says = {
        "Raises": BURNS,
        "NoReset": BURNS,
        "NaN": "ValueError: column 1 of the observation is NaN",
        "Infinite": "ValueError: column 1 of the observation is infinite in float32",
        "NaNReward": "ValueError: the reward is NaN",
        "OtherShape": "ValueError: the observation has shape (3,), not (4,)",
    }
    (told,) = set(collected.faults)
    assert told == says[way] or re.fullmatch(says[way], told)
    assert collected.trace.startswith("Traceback (most recent call last):\n")
    assert re.search(r"^ValueError: ", collected.trace, re.MULTILINE)


def test_faults_repeat_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    env_id = FAILS.format("Raises")

    def collect() -> list[Collected]:
        collector = make_collector(env_id, 2)
        return [collector.collect_steps(policy_for(env_id), 7, "online") for _ in range(5)]

    for ours, theirs in zip(collect(), collect(), strict=True):
        assert ours.faults == theirs.faults
        for fragment, twin in zip(ours.fragments, theirs.fragments, strict=True):
            assert fragment.origin == twin.origin
            np.testing.assert_array_equal(fragment.observations, twin.observations)
            np.testing.assert_array_equal(fragment.actions, twin.actions)


def test_what_was_handed_over_before_the_fault_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    env_id = FAILS.format("NaN")
    collector, policy = make_collector(env_id), policy_for(env_id)
    calls = [collector.collect_steps(policy, 2, "online") for _ in range(40)]
    fragments = [fragment for call in calls for fragment in call.fragments]
    check_true_to_the_task(fragments)
    assert [sum(map(len, call.fragments)) for call in calls] == [2] * 40
    reached: dict[int, int] = {}
    for fragment in fragments:  # no gap in any episode
        assert fragment.origin.start == reached.get(fragment.origin.episode, 0)
        reached[fragment.origin.episode] = fragment.origin.start + len(fragment)
    assert {1, 2} & set(reached.values())  # of episodes that failed in their third step


@pytest.mark.parametrize("num_envs", [1, 3])
def test_whole_episodes_are_recorded_in_spite_of_faults(
    num_envs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch)
    env_id = FAILS.format("Raises")
    collected = make_collector(env_id, num_envs).collect_episodes(policy_for(env_id), 7, "prior")
    check_true_to_the_task(collected.fragments)
    assert [(len(fragment), fragment.terminated) for fragment in collected.fragments] == [
        (5, True)
    ] * 7
    assert len(collected.finished) == 7
    assert collected.faults


class Never(Failing):
    """Fails in every episode."""

    def __init__(self) -> None:
        super().__init__("Raises", share=1.0)


@pytest.mark.parametrize("method", ["collect_steps", "collect_episodes"])
def test_an_environment_that_always_fails_ends_the_run_with_one_line(
    method: str,
) -> None:
    made: list[Never] = []
    make = lambda _: made.append(Never()) or made[-1]  # noqa: E731
    collector = Collector(env_spec(TERMINATES), 1, (0, 0, 0), make_env=make)
    with pytest.raises(RunFailed) as caught:
        getattr(collector, method)(policy_for(TERMINATES), 50, "online")
    start = f"environment {TERMINATES} failed in 5 episodes in a row; the last: "
    assert re.fullmatch(re.escape(start) + BURNS, str(caught.value))
    assert len(made) == 5


class BadPolicy(UnitPolicy):
    """Forgets how to act after some calls."""

    version = 345

    def __init__(self, env_id: str, good: int) -> None:
        super().__init__(env_spec(env_id))
        self._good = good

    def sample(self, observations: Array, noise: Array, *memory: Array) -> Array:
        self._good -= 1
        actions = super().sample(observations, noise)
        if self._good < 0:
            actions[-1, 0] = np.nan
        return actions


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        (0.0, True),
        (-1e19, True),
        (-3e38, False),
        (np.nan, False),
        (np.inf, False),
        (-np.inf, False),
    ],
)
def test_a_vector_is_finite_if_all_of_it_is(value: float, finite: bool) -> None:
    vector = np.ones(17, np.float32)
    vector[5] = value
    assert all_usable(vector) is finite


def test_an_action_that_is_no_number_is_the_policys_fault_and_never_acted_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acted: list[np.ndarray] = []
    step = Failing.step
    monkeypatch.setattr(Failing, "step", lambda env, a: acted.append(a) or step(env, a))
    collector = make_collector(FAILS.format("Raises"), 2)
    with pytest.raises(RunFailed, match="policy version 345 gives NaN"):
        collector.collect_steps(BadPolicy(TERMINATES, good=2), 50, "online")
    assert len(acted) == 4
    assert np.isfinite(acted).all()


HANGS = {
    "sleeps": "time.sleep(60)",
    "loops": "while True: pass",
    "sleeps with the lock held": "ctypes.PyDLL(None).sleep(60)",
}


def watched(limit_s: float, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own with a watchdog."""
    lines = f"import ctypes, time\nfrom awac_dist.rollout.watchdog import Watchdog\n{program}"
    return subprocess.run(
        [sys.executable, "-c", lines.replace("LIMIT", str(limit_s))],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("way", HANGS)
def test_a_step_that_hangs_ends_the_process_and_says_where(way: str) -> None:
    done = watched(
        0.4,
        f"""
def hanging_step():
    {HANGS[way]}
with Watchdog(LIMIT) as watchdog:
    print(time.time(), flush=True)
    hanging_step()
""",
    )
    assert done.returncode == 1
    assert "in hanging_step" in done.stderr
    assert time.time() - float(done.stdout) >= 0.5


def test_steps_in_time_are_not_taken_for_hung_and_nobody_watches_in_between() -> None:
    done = watched(
        0.8,
        """
watchdog = Watchdog(LIMIT)
with watchdog:
    for _ in range(4):
        watchdog.beat()
        time.sleep(0.4)
time.sleep(1.2)
""",
    )
    assert (done.returncode, done.stderr) == (0, "")


SLOW = """
import gymnasium
from awac_dist.envs.make import env_spec, make_task
from awac_dist.policies.policy import UnitPolicy
from awac_dist.rollout.collector import Collector
spec = env_spec("Pendulum-v1")
policy = UnitPolicy(spec)
slow, fails = set(), []
def wait(call):
    if call in slow:
        time.sleep(0.7)
class Slow(gymnasium.Wrapper):
    def __init__(self, env):
        wait("make")
        super().__init__(env)
    def reset(self, **options):
        wait("reset")
        return super().reset(**options)
    def step(self, action):
        wait("step")
        if fails:
            raise ValueError(fails.pop())
        return super().step(action)
    def close(self):
        wait("close")
        super().close()
def collector(num_envs=1):
    make = lambda spec: Slow(make_task(spec))
    return Collector(spec, num_envs, (0, 0, 0), make_env=make, watchdog=Watchdog(LIMIT))
"""
IN_TIME = {
    "environments that are made": """
slow.add("make")
collector(2)
""",
    "steps that are done again": """
first, again = collector(), collector()
fragments = first.collect_steps(policy, 3, "online").fragments
slow.add("step")
again.resume(first.state(), [fragments])
assert again.state() == first.state()
""",
    "an environment that is made anew": """
slow.update(["make", "reset", "step", "close"])
first = collector()
fails.append("once")
assert first.collect_steps(policy, 1, "online").faults
""",
    "a policy": """
first = collector()
slow.update(["step", "act"])
sample = policy.sample
policy.sample = lambda *seen: [wait("act"), sample(*seen)][1]
first.collect_steps(policy, 2, "online")
""",
}


@pytest.mark.parametrize("what", IN_TIME)
def test_calls_in_time_that_follow_each_other_are_not_taken_for_hung(what: str) -> None:
    done = watched(1.0, SLOW + IN_TIME[what])  # two of 0.7 s are over the limit
    assert (done.returncode, done.stderr) == (0, "")


# Workers.


class Killed(BaseException):
    """The process is gone."""


class DeadFuture:
    """The answer of a process that is gone."""

    def result(self) -> Any:
        raise ComponentDied("it was killed")


class NoFuture:
    """An answer that does not come."""

    def result(self) -> Any:
        raise AssertionError("it was not done")


class Mortal:
    """A worker that dies once so many of its inserts were accepted: its answers do not come."""

    def __init__(self, number: int, incarnation: int, lives: float, bench: "Bench") -> None:
        self._left = lives
        shards = [InlineHandle(Passage(shard.component, self)) for shard in bench.shards]
        self._worker = RolloutWorker(
            bench.spec,
            bench.config.rollout.envs_per_worker,
            shards,
            FixedPolicy(UnitPolicy(bench.spec)),
            seed=0,
            worker=number,
            incarnation=incarnation,
        )

    def pass_on(self) -> None:
        if self._left <= 0:
            raise Killed
        self._left -= 1

    def post(self, method: str, *arguments: Any) -> Future:
        try:
            if method == "ready" and self._left < 0:
                raise Killed
            return InlineFuture(getattr(self._worker, method)(*arguments))
        except Killed:
            self._left = -1
            return DeadFuture()


class Passage:
    """The way to a shard, on which a worker can die."""

    def __init__(self, shard: ReplayShard, worker: Mortal) -> None:
        self._shard, self._worker = shard, worker

    def insert(self, fragment: Episode, source: str) -> bool:
        self._worker.pass_on()
        return self._shard.insert(fragment, source)


class Bench:
    """A run's online phase with real workers, shards and sampler, and a learner that counts.

    What is done comes in a drawn order.
    """

    def __init__(
        self, config: RunConfig, lives: Callable[[int, int], float], *, env: str = VARIES
    ) -> None:
        self.config, self.spec = config, env_spec(env)
        self.limiter = RateLimiter(config.online.updates_per_step, config.online.error_buffer or 0)
        self.shards = [InlineHandle(make_shard(i, 2, env)) for i in range(2)]
        self.sampler = Sampler(0, 10**9)
        self.books = Books(self.sampler, self.shards, ())
        self.reports: list[RolloutReport] = []
        self.deaths: list[tuple[str, str]] = []
        self.steps = self.grad_steps = 0
        self._rng = np.random.default_rng(0)
        self.workers = WorkerPool(
            lambda number, life: Mortal(number, life, lives(number, life), self),
            config.workers or 1,
            self.shards,
        )
        self.workers.died = lambda *death: self.deaths.append(death)
        self.order = Order(
            "env_steps",
            config.online.env_steps,
            "online",
            ONLINE,
            config.rollout.fragment_steps,
            config.rollout.envs_per_worker,
        )

    def loop(self) -> Collecting:
        return Collecting(
            self,
            self.workers,
            self.order,
            self.limiter,
            together=self.config.mode == "sync",
            updates_per_call=self.config.learner.updates_per_call,
        )

    def run(self) -> None:
        self.loop().run()
        self.books.register()

    def counts(self) -> Counts:
        if self.order.unit == "episodes":
            return Counts(sum(report.fragments for report in self.reports), 0, 0)
        return Counts(self.steps, self.steps, self.grad_steps)

    def round_over(self) -> None:
        """The bench's learner registers all that there is."""

    def look(self, futures: Sequence[Future]) -> list[Future]:
        able = [future for future in futures if not isinstance(future, NoFuture)]
        chosen = self._rng.random(len(able)) < 0.5
        return [future for future, is_chosen in zip(able, chosen, strict=True) if is_chosen]

    def update(self, count: int, pause: int = 0) -> Future:
        self.books.register()
        done = self.grad_steps + count
        return InlineFuture(UpdateReport(done, count, {}, 1.0, 0.0))

    def learned(self, report: UpdateReport) -> None:
        self.grad_steps += report.updates
        assert self.grad_steps <= self.limiter.ratio * self.steps + 1e-9

    def collected(self, report: RolloutReport) -> None:
        self.steps += report.env_steps
        self.reports.append(report)

    def held(self) -> list[Placement]:
        """Every fragment that some shard accepted."""
        return [place for shard in self.shards for place in shard.component.since(None).placements]

    def check(self, env_steps: int) -> None:
        """Every accepted step is registered once and counted once, and every update done."""
        held = self.held()
        keys = self.sampler.keys()[ONLINE].tolist()
        assert sorted(map(tuple, keys)) == sorted(place.key for place in held)
        assert sum(place.length for place in held) == env_steps
        assert self.sampler.sizes() == {ONLINE: env_steps}
        assert self.books.holdings().steps(ONLINE) == env_steps
        assert sum(report.env_steps for report in self.reports) == self.steps == env_steps
        assert self.grad_steps == int(self.limiter.ratio * env_steps + 1e-9)


def make_shard(
    index: int, num_shards: int, env: str = VARIES, log: ExperienceLog | None = None
) -> ReplayShard:
    return ReplayShard(index, num_shards, env_spec(env), discount=0.9, log=log)


def make_config(mode: str = "async", envs: int = 1, steps: int = 300) -> RunConfig:
    return RunConfig(
        env=VARIES,
        workers=3,
        mode="sync" if mode == "sync" else "async",
        online=OnlineConfig(
            env_steps=steps,
            updates_per_step=0.7,
            error_buffer=None if mode == "sync" else 40,
        ),
        rollout=RolloutConfig(envs_per_worker=envs, fragment_steps=11),
    )


def for_ever(number: int, incarnation: int) -> float:
    return np.inf


def drawn_lives(seed: int) -> Callable[[int, int], float]:
    """Draw how many inserts each incarnation lives through; now and then none, or no start."""

    def lives(number: int, incarnation: int) -> float:
        rng = np.random.default_rng((seed, number, incarnation))
        return int(rng.integers(-1, 3)) if rng.random() < 0.4 else int(rng.integers(1, 30))

    return lives


@pytest.mark.parametrize("envs", [1, 3])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nothing_is_lost_or_doubled_however_workers_die(mode: str, envs: int) -> None:
    deaths = 0
    for seed in range(6):
        bench = Bench(make_config(mode, envs), drawn_lives(seed))
        bench.run()
        bench.check(300)
        deaths += len(bench.deaths)
        assert sum(incarnations(bench.workers)) == len(bench.deaths)
    assert deaths > 40


def test_an_undisturbed_sync_phase_repeats() -> None:
    twins = [Bench(make_config("sync"), for_ever) for _ in range(2)]
    for twin in twins:
        twin.run()
        twin.check(300)
    first, second = (twin.sampler.keys()[ONLINE] for twin in twins)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("lives", [2, 3, 4])
def test_what_a_dying_worker_had_sent_counts_at_once(lives: int) -> None:
    config = replace(make_config(steps=55), workers=1)
    bench = Bench(config, lambda _, life: np.inf if life else lives, env=TERMINATES)
    bench.run()
    bench.check(55)
    # 11 steps a call: fragments of 5, 5, 1, then 4, 5, 2; each call is one report
    assert [r.env_steps for r in bench.reports][:3] == {
        2: [10, 11, 11],
        3: [11, 0, 11],
        4: [11, 4, 11],
    }[lives]
    assert bench.deaths == [("rollout worker 0", "it was killed")]


def test_a_worker_that_never_starts_keeps_nobody_waiting_in_async_mode() -> None:
    bench = Bench(make_config(), lambda number, life: 4 if (number, life) == (1, 0) else np.inf)
    bench.workers.start = lambda number, life: Pending()
    bench.run()
    bench.check(300)
    assert not bench.workers.is_ready(1)


class Pending:
    """A worker that has no place in the cluster yet."""

    def post(self, method: str, *arguments: Any) -> Future:
        assert method == "ready"
        return NoFuture()


def test_a_worker_that_dies_again_and_again_ends_the_run() -> None:
    bench = Bench(make_config(), lambda number, _: 0 if number == 2 else np.inf)
    with pytest.raises(RunFailed, match=r"^rollout worker 2 died 5 times in a row before it brou"):
        bench.run()
    assert len(bench.deaths) == MAX_DEATHS


def test_reports_in_between_let_a_worker_die_often() -> None:
    config = replace(make_config(), workers=1)
    bench = Bench(config, lambda number, _: 5)
    bench.run()
    bench.check(300)
    assert len(bench.deaths) > MAX_DEATHS


def test_a_worker_that_cannot_be_built_ends_the_run_at_once() -> None:
    class Unbuilt:
        def post(self, method: str, *arguments: Any) -> Future:
            return self

        def result(self) -> Any:
            raise InputError("no environment 'Nowhere-v0'")

    bench = Bench(make_config(), for_ever)
    bench.workers = WorkerPool(lambda number, life: Unbuilt(), 2, bench.shards)
    with pytest.raises(InputError, match="Nowhere-v0"):
        bench.run()


def test_a_loop_goes_on_with_a_new_learner() -> None:
    bench = Bench(make_config(), drawn_lives(1))
    update, calls = bench.update, iter(range(100))

    def dies(count: int, pause: int = 0) -> Future:
        return DeadFuture() if next(calls) == 3 else update(count)

    bench.update = dies  # type: ignore[method-assign]
    loop = bench.loop()
    with pytest.raises(ComponentDied):
        loop.run()
    loop.run()
    bench.books.register()
    bench.check(300)


def test_a_resumed_phase_takes_the_steps_that_are_missing() -> None:
    bench = Bench(make_config(), for_ever)
    bench.steps, bench.grad_steps = 250, 175
    bench.run()
    assert (bench.steps, bench.grad_steps) == (300, 210)
    assert bench.sampler.sizes() == {ONLINE: 50}


def test_a_resumed_phase_that_owes_less_than_was_done_ends() -> None:
    bench = Bench(make_config(), for_ever)
    bench.steps, bench.grad_steps = 250, 220
    bench.run()
    assert (bench.steps, bench.grad_steps) == (300, 220)


def test_a_shard_that_dies_over_the_question_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("awac_dist.runs.pool.POLL_S", 0.0)
    bench = Bench(make_config(), drawn_lives(3))
    post, asked = bench.shards[1].post, Counter[tuple[int, int]]()

    def dying(method: str, *arguments: Any, **named: Any) -> Future:
        if method == "close_stream":
            asked[arguments] += 1
            if asked[arguments] < 3:
                return DeadFuture()
        return post(method, *arguments, **named)

    monkeypatch.setattr(bench.shards[1], "post", dying)
    bench.run()
    bench.check(300)
    assert set(asked.values()) == {3}


def test_a_closed_stream_takes_nothing_more() -> None:
    shard = make_shard(0, 1)
    collector = make_collector(VARIES)
    first, second = (
        collector.collect_steps(policy_for(VARIES), 1, "online").fragments[0] for _ in range(2)
    )
    shard.insert(first, ONLINE)
    assert shard.close_stream(StreamState(3, 1)) == (0, 0)
    assert shard.close_stream(StreamState(3, 0)) == (1, 1)
    assert not shard.insert(second, ONLINE)
    other = make_collector(VARIES, incarnation=2).collect_steps(policy_for(VARIES), 1, "online")
    shard.insert(other.fragments[0], ONLINE)


@pytest.mark.parametrize("seed", range(4))
def test_all_the_episodes_that_were_asked_for_in_spite_of_deaths(seed: int) -> None:
    bench = Bench(make_config(envs=2), drawn_lives(seed))
    bench.order, bench.limiter = Order("episodes", 25, "prior", "clone"), FROZEN
    bench.run()
    assert sum(report.fragments for report in bench.reports) == len(bench.held()) == 25
    assert bench.steps == sum(place.length for place in bench.held())
    assert bench.deaths


def test_others_take_over_the_episodes_of_a_worker_without_a_successor() -> None:
    bench = Bench(make_config(), lambda number, _: 3 if number == 1 else np.inf)
    bench.workers.start = lambda number, life: Pending()
    bench.order, bench.limiter = Order("episodes", 24, "prior", "clone"), FROZEN
    bench.run()
    by_worker = Counter(place.key[0] for place in bench.held())
    assert by_worker[1] == 3
    assert by_worker.total() == 24


# What workers need of others.

SPEC = PolicySpec("gaussian", (4, 8, 2), (-0.5, -1.0), (0.5, 2.0), state_dependent_std=True)


class Store:
    """Answers pulls from a list: weights, nothing, or a death."""

    def __init__(self, *answers: Weights | ComponentDied | None) -> None:
        self._answers = list(answers)

    def pull(self, newer_than: int) -> Weights | None:
        answer = self._answers.pop(0)
        if isinstance(answer, ComponentDied):
            raise answer
        return answer


def test_a_fresh_worker_waits_for_the_first_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_dist.rollout.worker.POLL_S", 0.0)
    weights = Weights(0, 70, SPEC, np.zeros(SPEC.size, np.float32))
    policy = PublishedPolicy(Store(None, ComponentDied(), None, weights)).newest()
    assert policy.version == 70


def test_a_worker_acts_on_with_its_policy_while_nobody_keeps_the_newest() -> None:
    first, second = (Weights(n, 70 + n, SPEC, np.zeros(SPEC.size, np.float32)) for n in range(2))
    policies = PublishedPolicy(Store(first, ComponentDied(), None, second))
    assert [policies.newest().version for _ in range(4)] == [70, 70, 70, 71]


@dataclass
class Dying(InlineHandle):
    """A shard that is there, or not, as drawn."""

    component: ReplayShard
    dead: Iterator[bool] = field(default_factory=lambda: iter(()))

    def post(self, method: str, *arguments: Any, **named: Any) -> Any:
        gone = next(self.dead, False)
        return DeadFuture() if gone else super().post(method, *arguments, **named)


def test_a_fragment_is_sent_again_until_its_shard_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_dist.rollout.worker.POLL_S", 0.0)
    shard = Dying(make_shard(0, 1), iter([True, True, True, False, True]))
    spec = env_spec(VARIES)
    policies = FixedPolicy(UnitPolicy(spec))
    worker = RolloutWorker(spec, 1, [shard], policies, seed=0, worker=0)
    report = worker.collect_steps(30, "online", ONLINE)
    held = shard.component.since(None).placements
    assert report.fragments == len(held)
    assert report.env_steps == sum(place.length for place in held) == 30


def test_a_worker_goes_on_with_its_stream_once_its_shard_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("awac_dist.rollout.worker.POLL_S", 0.0)
    spec = env_spec(VARIES)
    shard = Dying(make_shard(0, 1, log=ExperienceLog(str(tmp_path), 0, spec, 0)))
    begun, later = (
        RolloutWorker(spec, 1, [shard], FixedPolicy(UnitPolicy(spec)), seed=0, worker=0)
        for _ in range(2)
    )
    stream = begun.collect_steps(3, "online", ONLINE).stream
    assert stream is not None
    assert stream.under_way
    shard.dead = iter([True, True])
    later.resume(stream)
    assert later.collect_steps(4, "online", ONLINE).stream == (
        begun.collect_steps(4, "online", ONLINE).stream
    )


# Processes.


@pytest.fixture
def crew(ray_session: None, tmp_path: Path) -> Iterator[tuple[WorkerPool, list[Any], Any]]:
    from awac_dist.distributed.ray_runtime import RayRuntime

    yield from make_crew(RayRuntime(), env="Pendulum-v1", step_timeout_s=2.0)


def make_crew(
    runtime: Any, *, env: str, step_timeout_s: float | None
) -> Iterator[tuple[WorkerPool, list[Any], Any]]:
    """Two workers and a shard on Ray."""
    spec = env_spec(env)
    options = {"discount": 0.9, "log": None}
    shard = runtime.start(ReplayShard, 0, 1, spec, **options)
    handles: list[Any] = []

    def start(number: int, incarnation: int) -> Handle:
        handles.append(
            runtime.start(
                RolloutWorker,
                spec,
                1,
                [shard],
                FixedPolicy(UnitPolicy(spec)),
                seed=0,
                worker=number,
                incarnation=incarnation,
                step_timeout_s=step_timeout_s,
            )
        )
        return handles[-1]

    yield WorkerPool(start, 2, [shard], end=runtime.end), handles, runtime
    runtime.close()


def collect_until(
    workers: WorkerPool, runtime: Any, is_over: Callable[[list[tuple[int, RolloutReport]]], bool]
) -> list[tuple[int, RolloutReport]]:
    """Keep every worker busy until something has come."""
    reports: list[tuple[int, RolloutReport]] = []
    deadline = time.monotonic() + 120
    while not is_over(reports):
        assert time.monotonic() < deadline
        for number in range(len(workers)):
            if workers.is_ready(number):
                workers.post(number, "collect_steps", 50, "online", ONLINE)
        reports += workers.reports(runtime.wait(workers.answers(), 0.25))
    return reports


def pid_of(handle: Any) -> int:
    pid: int = ray.get(handle.actor.__ray_call__.remote(lambda _: os.getpid()))
    return pid


def check_once(reports: list[tuple[int, RolloutReport]], workers: WorkerPool) -> None:
    """What was reported is what the shard holds, but for the calls that still go on."""
    held = workers.shards[0].post("since", None).result().placements
    positions = workers.positions
    over = [place for place in held if positions[place.key[0]].covers(place.key, place.length)]
    assert len(over) == sum(report.fragments for _, report in reports)
    assert sum(place.length for place in over) == sum(r.env_steps for _, r in reports)


def incarnations(workers: WorkerPool) -> list[int]:
    return [position.incarnation for position in workers.positions]


def has_reported(number: int, life: int) -> Callable[[list[tuple[int, RolloutReport]]], bool]:
    """Whether an incarnation of a worker brought something."""
    return lambda had: any(
        report.stream is not None and report.stream[:2] == (number, life) and report.act_s > 0
        for _, report in had
    )


@pytest.mark.ray
def test_a_killed_process_is_replaced(crew: tuple[WorkerPool, list[Any], Any]) -> None:
    workers, handles, runtime = crew
    deaths: list[str] = []
    workers.died = lambda component, reason: deaths.append(component)
    reports = collect_until(workers, runtime, lambda had: {n for n, _ in had} == {0, 1})
    os.kill(pid_of(handles[1]), signal.SIGKILL)
    reports += collect_until(
        workers,
        runtime,
        has_reported(1, 1),
    )
    assert deaths == ["rollout worker 1"]
    assert incarnations(workers) == [0, 1]
    check_once(reports, workers)


@pytest.mark.ray
def test_a_hanging_process_is_replaced(crew: tuple[WorkerPool, list[Any], Any]) -> None:
    workers, handles, runtime = crew
    collect_until(workers, runtime, lambda had: {n for n, _ in had} == {0, 1})

    def hang(worker: Any) -> None:
        from awac_dist.rollout.slot import Slot

        Slot.step = lambda *arguments: time.sleep(1000)  # type: ignore[method-assign]

    ray.get(handles[0].actor.__ray_call__.remote(hang))
    began = time.monotonic()
    collect_until(
        workers,
        runtime,
        has_reported(0, 1),
    )
    assert time.monotonic() - began > 2.0
    assert incarnations(workers) == [1, 0]


@pytest.mark.ray
def test_a_process_that_cannot_be_built_says_why(ray_session: None) -> None:
    from awac_dist.distributed.ray_runtime import RayRuntime

    runtime = RayRuntime()
    spec = replace(env_spec("Pendulum-v1"), env_id="Nowhere-v0")
    policies = FixedPolicy(UnitPolicy(spec))
    workers = WorkerPool(
        lambda n, life: runtime.start(RolloutWorker, spec, 1, [], policies, seed=0, worker=n),
        1,
        [],
    )
    with pytest.raises(InputError, match="Nowhere-v0"):
        collect_until(workers, runtime, bool)
    runtime.close()


@pytest.mark.faults
@pytest.mark.ray
def test_twenty_kills_and_how_long_they_hurt(ray_session: None) -> None:
    """SIGKILL at drawn moments; prints seconds from the kill to the replacement's first report."""
    from awac_dist.distributed.ray_runtime import RayRuntime

    rng, seconds, reports = np.random.default_rng(0), [], []
    crew = make_crew(RayRuntime(), env="HalfCheetah-v5", step_timeout_s=60.0)
    workers, _, runtime = next(crew)
    reports += collect_until(workers, runtime, lambda had: {n for n, _ in had} == {0, 1})
    for kill in range(20):
        number = int(rng.integers(2))
        life = incarnations(workers)[number] + 1
        pid, wait_s = pid_of(workers._workers[number].handle), float(rng.uniform(0, 0.3))
        timer = threading.Timer(wait_s, os.kill, (pid, signal.SIGKILL))
        began = time.monotonic() + wait_s
        timer.start()
        reports += collect_until(
            workers,
            runtime,
            has_reported(number, life),
        )
        seconds.append(time.monotonic() - began)
        print(f"kill {kill}: worker {number}, {seconds[-1]:.1f} s")
    check_once(reports, workers)
    next(crew, None)
    print(f"20 kills: median {np.median(seconds):.1f} s, worst {max(seconds):.1f} s")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.bool_])
def test_numbers_of_any_type_are_looked_at_without_a_warning(dtype: Any) -> None:
    numbers = np.ones((2, 3), dtype)
    assert flaw(numbers) is None
    if numbers.dtype.kind == "f":
        numbers[1, 2] = np.inf
        assert flaw(numbers) == ((1, 2), "infinite in float32")
