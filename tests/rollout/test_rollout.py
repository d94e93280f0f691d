"""Collecting on counting tasks: whole truths in fragments, and randomness tied to the data."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from environments import FAILS, RECEIVED, STEP, TAG, TERMINATES, TRUNCATES, VARIES, Counting

from awac_dist.data.fragments import join_fragments
from awac_dist.envs.make import env_spec
from awac_dist.messages import Placement, StreamState, Weights
from awac_dist.policies import noise
from awac_dist.policies.deterministic import DeterministicPolicy
from awac_dist.policies.gaussian import GaussianPolicy
from awac_dist.policies.noise import UniformNoise, WhiteNoise
from awac_dist.policies.spec import PolicySpec
from awac_dist.rollout import collector, slot, worker
from awac_dist.rollout.collector import Collector
from awac_dist.rollout.worker import FixedPolicy, PublishedPolicy, RolloutWorker
from awac_dist.runs.runtime import InlineFuture
from awac_dist.types import Array, Episode

BOUNDS = (-0.5, -1.0), (0.5, 2.0)
POLICY_SPEC = PolicySpec("gaussian", (4, 8, 2), *BOUNDS, state_dependent_std=True)


def make_vector(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.3, POLICY_SPEC.size).astype(np.float32)


def make_policy() -> GaussianPolicy:
    """Build a policy whose samples often leave the bounds."""
    spec = PolicySpec("gaussian", (4, 8, 2), *BOUNDS, state_dependent_std=True, log_std_min=-1.0)
    return GaussianPolicy(spec, make_vector(), version=12)


def make_collector(env_id: str = VARIES, num_envs: int = 1, **stream: int) -> Collector:
    parts = {"seed": 5, "worker": 3, "incarnation": 0, **stream}
    return Collector(env_spec(env_id), num_envs, tuple(parts.values()))


def collect(collector: Collector, fragments: Sequence[int]) -> list[Episode]:
    policy = make_policy()
    return [
        fragment
        for steps in fragments
        for fragment in collector.collect_steps(policy, steps, "online").fragments
    ]


def whole_episodes(fragments: Sequence[Episode]) -> list[Episode]:
    """Join fragments and leave out what is unfinished, in order of the episode's number."""
    ended = [e for e in join_fragments(fragments) if e.terminated or e.truncated]
    return sorted(ended, key=lambda episode: episode.origin.episode)


def assert_equal(found: Episode, wanted: Episode) -> None:
    for name in ("observations", "actions", "rewards", "successes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert (found.terminated, found.truncated) == (wanted.terminated, wanted.truncated)
    assert found.origin == wanted.origin


def check_true_to_the_task(episode: Episode) -> None:
    """Tell from the counts that no step is missing, doubled or of another episode."""
    steps = np.arange(len(episode) + 1) + episode.origin.start
    np.testing.assert_array_equal(episode.observations[:, STEP], steps)
    assert len(set(episode.observations[:, TAG])) == 1
    np.testing.assert_array_equal(episode.rewards, steps[1:])
    assert episode.successes is not None
    np.testing.assert_array_equal(episode.successes, steps[1:] >= 4)


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("fragment", [1, 3, 7, 30])
def test_fragments_join_to_the_true_episodes(fragment: int, num_envs: int) -> None:
    fragments = collect(make_collector(num_envs=num_envs), [fragment] * (60 // fragment))
    for fragment in fragments:
        check_true_to_the_task(fragment)
    joined = whole_episodes(fragments)
    assert len(joined) > 5
    for episode in joined:
        assert episode.origin.start == 0
        check_true_to_the_task(episode)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_call_takes_exactly_its_steps_in_each_environment(num_envs: int) -> None:
    collector = make_collector(num_envs=num_envs)
    for steps in (1, 4, 13):
        assert sum(map(len, collect(collector, [steps]))) == steps * num_envs


@pytest.mark.parametrize(
    ("env_id", "length", "terminated"), [(TERMINATES, 5, True), (TRUNCATES, 7, False)]
)
def test_true_ends_and_cuts_are_kept_apart(env_id: str, length: int, terminated: bool) -> None:
    collector = make_collector(env_id)
    collected = collector.collect_steps(make_policy(), 2 * length + 2, "online")
    fragments, finished = collected.fragments, collected.finished
    ends = [(fragment.terminated, fragment.truncated) for fragment in fragments]
    assert ends == [(terminated, not terminated)] * 2 + [(False, False)]
    assert [len(fragment) for fragment in fragments] == [length, length, 2]
    assert finished == [(sum(range(length + 1)), length, length - 3, True)] * 2


def test_an_episode_over_several_calls_is_totalled_once() -> None:
    collector, policy = make_collector(TERMINATES), make_policy()
    reports = [collector.collect_steps(policy, 2, "online").finished for _ in range(5)]
    whole = (15.0, 5, 2, True)  # its last two steps report success
    assert reports == [[], [], [whole], [], [whole]]


def test_the_action_is_kept_as_chosen_and_received_clipped() -> None:
    (low, high), fragments = np.float32(BOUNDS), collect(make_collector(), [200])
    actions = np.concatenate([fragment.actions for fragment in fragments])
    received = np.concatenate([fragment.observations[1:, RECEIVED] for fragment in fragments])
    assert np.mean((actions < low) | (actions > high)) > 0.1
    np.testing.assert_array_equal(received, np.clip(actions, low, high))


@pytest.mark.parametrize("num_envs", [1, 3])
def test_episodes_do_not_depend_on_how_they_are_cut(num_envs: int) -> None:
    threes, sevens = (
        whole_episodes(collect(make_collector(num_envs=num_envs), [length] * (63 // length)))
        for length in (3, 7)
    )
    assert len(threes) == len(sevens) > 10
    for ours, theirs in zip(threes, sevens, strict=True):
        assert_equal(ours, theirs)


@pytest.mark.parametrize("name", ["seed", "worker", "incarnation"])
def test_another_stream_is_another_world(name: str) -> None:
    collectors = make_collector(incarnation=0), make_collector(**{"incarnation": 0, name: 9})
    ours, theirs = (whole_episodes(collect(collector, [60])) for collector in collectors)
    tags = [{float(e.observations[0, TAG]) for e in episodes} for episodes in (ours, theirs)]
    assert tags[0].isdisjoint(tags[1])
    assert not np.array_equal(ours[0].actions[0], theirs[0].actions[0])


def test_every_episode_of_a_stream_is_another() -> None:
    episodes = whole_episodes(collect(make_collector(num_envs=3), [60]))
    assert [e.origin.episode for e in episodes] == list(range(len(episodes)))
    assert len({float(e.observations[0, TAG]) for e in episodes}) == len(episodes)
    assert len({e.origin.seed for e in episodes}) == len(episodes)


def test_an_episodes_seed_resets_the_task_to_its_start() -> None:
    environment = make_collector()._slots[0]._env
    assert environment is not None
    for episode in whole_episodes(collect(make_collector(), [30])):
        observation, _ = environment.reset(seed=episode.origin.seed)
        np.testing.assert_array_equal(observation, episode.observations[0])


def test_a_fragment_says_where_it_comes_from() -> None:
    collector = make_collector(TERMINATES, incarnation=2)
    first, second = collect(collector, [3, 2])
    for fragment, start in ((first, 0), (second, 3)):
        origin = fragment.origin
        assert (origin.kind, origin.policy_version) == ("online", 12)
        assert (origin.worker, origin.incarnation) == (3, 2)
        assert (origin.episode, origin.start) == (0, start)


@pytest.mark.parametrize(("num_envs", "count"), [(1, 4), (3, 3), (3, 7), (5, 2)])
def test_collecting_episodes_gives_whole_ones(num_envs: int, count: int) -> None:
    collector = make_collector(num_envs=num_envs)
    collected = collector.collect_episodes(make_policy(), count, "prior")
    episodes, finished = collected.fragments, collected.finished
    assert len(episodes) == len(finished) == count
    for episode, totals in zip(episodes, finished, strict=True):
        check_true_to_the_task(episode)
        assert episode.origin.start == 0
        assert episode.terminated != episode.truncated
        assert totals[:2] == (episode.total_reward, len(episode))


@pytest.mark.parametrize("num_envs", [1, 2])
def test_whole_episodes_and_steps_share_one_stream(num_envs: int) -> None:
    collector, policy = make_collector(num_envs=num_envs), make_policy()
    before = collector.collect_steps(policy, 13, "online").fragments
    episodes = collector.collect_episodes(policy, 3, "prior").fragments
    after = collector.collect_steps(policy, 20, "online").fragments
    streams = [
        {fragment.origin.episode for fragment in fragments}
        for fragments in (before, episodes, after)
    ]
    assert streams[0].isdisjoint(streams[1] | streams[2])
    assert streams[1].isdisjoint(streams[2])
    for fragment in (*before, *episodes, *after):
        check_true_to_the_task(fragment)
    assert after[0].origin.start == 0


class Answer(NamedTuple):
    """An answer that is there already."""

    placement: Placement

    def result(self) -> Placement:
        return self.placement


class RecordingShard:
    """Answers `insert` like a shard, and remembers what it was sent."""

    def __init__(self, index: int) -> None:
        self._index = index
        self.fragments: list[Episode] = []
        self.sources: list[str] = []

    def post(self, method: str, *arguments: Any) -> Answer:
        assert method == "insert"
        fragment, source = arguments
        self.fragments.append(fragment)
        self.sources.append(source)
        return Answer(Placement(source, self._index, 100 * len(self.fragments), len(fragment)))


class RecordingWeights:
    """Hands out what was published last, and remembers who asked for what."""

    def __init__(self) -> None:
        self.newest: Weights | None = None
        self.asked: list[int] = []

    def pull(self, newer_than: int) -> Weights | None:
        self.asked.append(newer_than)
        newer = self.newest is not None and self.newest.serial > newer_than
        return self.newest if newer else None


def make_worker(num_shards: int = 1, worker: int = 0) -> tuple[RolloutWorker, Any, Any]:
    shards = [RecordingShard(index) for index in range(num_shards)]
    weights = RecordingWeights()
    made = RolloutWorker(
        env_spec(TERMINATES),
        1,
        shards,
        PublishedPolicy(weights),
        seed=0,
        worker=worker,
    )
    return made, shards, weights


def test_a_worker_takes_only_newer_weights() -> None:
    worker, (shard,), weights = make_worker()
    versions = []
    for serial, version in ((4, 100), (4, 100), (7, 250), (7, 250)):
        weights.newest = Weights(serial, version, POLICY_SPEC, make_vector(version))
        versions.append(worker.collect_steps(1, "online", "online").policy_version)
    assert weights.asked == [-1, 4, 4, 7]
    assert versions == [100, 100, 250, 250]
    assert [fragment.origin.policy_version for fragment in shard.fragments] == versions


def test_newer_weights_change_how_a_worker_acts() -> None:
    actions = []
    for seed in (0, 0, 1):
        worker, (shard,), weights = make_worker()
        weights.newest = Weights(0, 0, POLICY_SPEC, make_vector(seed))
        worker.collect_steps(1, "online", "online")
        actions.append(shard.fragments[0].actions)
    assert np.array_equal(actions[0], actions[1])
    assert not np.array_equal(actions[0], actions[2])


def test_a_worker_that_waits_in_vain_for_a_policy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_dist.rollout.worker.FIRST_POLICY_S", 0.05)
    worker, _, _ = make_worker()
    with pytest.raises(RuntimeError, match="before any policy was published"):
        worker.collect_steps(1, "online", "online")


@pytest.mark.parametrize(("worker", "counts"), [(0, [2, 2, 1]), (1, [1, 2, 2]), (5, [2, 1, 2])])
def test_fragments_go_to_the_shards_in_turn(worker: int, counts: list[int]) -> None:
    made, shards, weights = make_worker(num_shards=3, worker=worker)
    weights.newest = Weights(0, 0, POLICY_SPEC, make_vector())
    for _ in range(5):
        made.collect_episodes(1, "prior", "halfway")
    assert [len(shard.fragments) for shard in shards] == counts
    assert {source for shard in shards for source in shard.sources} == {"halfway"}


def test_a_report_holds_totals() -> None:
    worker, (shard,), weights = make_worker()
    weights.newest = Weights(0, 0, POLICY_SPEC, make_vector())
    report = worker.collect_steps(12, "online", "online")
    assert [len(fragment) for fragment in shard.fragments] == [5, 5, 2]
    assert report.fragments == 3
    assert report.env_steps == 12
    assert report.finished == [(15.0, 5, 2, True)] * 2


@pytest.mark.parametrize(
    "module",
    [
        "awac_dist.rollout.worker",
        "awac_dist.replay.shard",
        "awac_dist.evaluation.evaluator",
        "awac_dist.runs.weights",
    ],
)
def test_what_a_worker_process_imports_needs_no_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("process", [WhiteNoise, UniformNoise])
def test_noise_that_is_drawn_ahead_is_the_same_as_step_by_step(
    process: type[WhiteNoise], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 3 * noise.AHEAD + 1
    ahead = list(islice(process(np.random.default_rng(7), 3), steps))
    monkeypatch.setattr(noise, "AHEAD", 1)
    by_step = list(islice(process(np.random.default_rng(7), 3), steps))
    np.testing.assert_array_equal(ahead, by_step)


def test_a_report_tells_where_the_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    class Slow(Remembering):
        def sample(self, observations: Array, noise: Array, memory: Array) -> Array:
            clock[0] += 2.0
            return super().sample(observations, noise, memory)

    def passing(step: Any) -> Any:
        def passed(*arguments: Any, **named: Any) -> Any:
            clock[0] += 0.25
            return step(*arguments, **named)

        return passed

    told = SimpleNamespace(perf_counter=lambda: clock[0], monotonic=lambda: clock[0])
    for module in (slot, collector, worker):
        monkeypatch.setattr(module, "time", told)
    policies = FixedPolicy(Slow())
    acting = RolloutWorker(env_spec(VARIES), 2, [Nowhere()], policies, seed=0, worker=0)
    for one in acting._collector._slots:
        one._env.reset, one._env.step = passing(one._env.reset), passing(one._env.step)
    clock[0] += 5.0
    report = acting.collect_steps(3, "online", "online")
    resets = 2 + len(report.finished)
    assert report.wait_s == 0.0  # nobody kept it from a call before
    assert report.env_s == 0.25 * (6 + resets)
    assert report.policy_s == 2.0 * 3
    assert report.act_s == report.env_s + report.policy_s
    clock[0] += 1.0
    assert acting.collect_steps(3, "online", "online").wait_s == 1.0


class Remembering:
    """Acts by the steps that it remembers of the episode, and by noise of three numbers."""

    version, noise_size, memory_size = 3, 3, 2

    def sample(self, observations: Array, noise: Array, memory: Array) -> Array:
        assert noise.shape == (len(observations), 3)
        return self.mean(observations, memory) + noise[:, :2]

    def mean(self, observations: Array, memory: Array) -> Array:
        assert memory.shape == (len(observations), 2)
        np.testing.assert_array_equal(memory[:, 0], observations[:, STEP])
        memory[:, 0] += 1
        memory[:, 1] += observations[:, TAG]
        return memory.copy()


@pytest.mark.parametrize("env_id", [VARIES, FAILS.format("Raises")])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_policy_remembers_from_step_to_step_and_forgets_at_a_reset(
    num_envs: int, env_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "MAX_FAULTS", 1000)
    acting = make_collector(env_id, num_envs)
    for steps, envs in ((5, None), (1, 1), (8, num_envs)):
        acting.collect_steps(Remembering(), steps, "online", envs)
    acting.collect_episodes(Remembering(), 3, "online")
    assert sum(map(len, acting.collect_steps(Remembering(), 4, "online").fragments)) > 0


def test_a_resumed_stream_has_the_memory_and_the_noise_that_it_had() -> None:
    acting, resumed = make_collector(num_envs=2), make_collector(num_envs=2)
    before = acting.collect_steps(Remembering(), 9, "online").fragments
    state = StreamState(*json.loads(json.dumps(acting.state())))
    recorded = [[f for f in before if f.origin.episode == number] for number, _ in state.under_way]
    assert all(steps > 0 for _, steps in state.under_way)
    resumed.resume(state, recorded)
    wanted, found = (one.collect_steps(Remembering(), 9, "online") for one in (acting, resumed))
    for ours, theirs in zip(found.fragments, wanted.fragments, strict=True):
        assert_equal(ours, theirs)
    assert found.finished == wanted.finished


def test_without_noise_a_policy_acts_by_its_mean() -> None:
    acting = Collector(env_spec(VARIES), 2, (5, 3, 0), noise=None)
    for fragment in acting.collect_steps(make_policy(), 30, "online").fragments:
        means = make_policy().mean(fragment.observations[:-1])
        np.testing.assert_allclose(fragment.actions, means, rtol=1e-5, atol=1e-6)


class Nowhere:
    """A shard that keeps nothing."""

    def post(self, method: str, fragment: Episode, source: str) -> InlineFuture:
        return InlineFuture(Placement(source, 0, 0, len(fragment)))


FLAGS: list[tuple[Any, float]] = [
    *((flag, 1.0) for flag in (True, 1, 1.0, np.True_, np.int8(1), np.array([[1.0]]), [True])),
    *((flag, 0.0) for flag in (False, 0, 0.0, np.False_, np.array(0), np.zeros(1, np.uint8))),
    *((flag, np.nan) for flag in (None, "yes", 0.5, np.nan, np.array([1, 0]), [], {}, [1, [2, 3]])),
]


@pytest.mark.parametrize("key", ["success", "is_success"])
@pytest.mark.parametrize(("flag", "wanted"), FLAGS, ids=repr)
def test_a_success_is_any_flag_and_all_else_is_unknown(
    flag: Any, wanted: float, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Counting.step
    monkeypatch.setattr(Counting, "step", lambda env, a: (*step(env, a)[:4], {key: flag}))
    found = make_collector(TERMINATES).collect_episodes(make_policy(), 1, "prior")
    if np.isnan(wanted):
        assert (found.fragments[0].successes, found.finished[0][2:]) == (None, (None, False))
    else:
        assert found.fragments[0].successes is not None
        np.testing.assert_array_equal(found.fragments[0].successes, [wanted] * 5)
        assert found.finished[0][2:] == (5 * wanted, bool(wanted))
    assert found.faults == []


def test_a_success_that_only_the_last_step_tells_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Counting.step

    def tells_at_the_end(env: Counting, action: Array) -> Any:
        *answer, info = step(env, action)
        return (*answer, info if answer[2] else {})

    monkeypatch.setattr(Counting, "step", tells_at_the_end)
    fragments = collect(make_collector(TERMINATES), [3, 2])
    assert fragments[0].successes is None
    (whole,) = join_fragments(fragments)
    np.testing.assert_array_equal(whole.successes, [*[np.nan] * 4, 1])


def test_a_worker_acts_by_the_kind_of_policy_that_comes() -> None:
    worker, (shard,), weights = make_worker()
    other = replace(POLICY_SPEC, kind="deterministic", layer_sizes=(4, 5, 2), exploration_std=0.0)
    for serial, spec in enumerate((POLICY_SPEC, other, POLICY_SPEC)):
        vector = np.random.default_rng(serial).normal(0, 0.3, spec.size).astype(np.float32)
        weights.newest = Weights(serial, serial, spec, vector)
        worker.collect_episodes(1, "prior", "halfway")
    fragment = shard.fragments[1]
    vector = np.random.default_rng(1).normal(0, 0.3, other.size).astype(np.float32)
    wanted = DeterministicPolicy(other, vector, 1).mean(fragment.observations[:-1])
    np.testing.assert_allclose(fragment.actions, wanted, rtol=1e-6)
