"""Goals in hindsight, on a task that tells its episode (tag) and step in every number."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environments import GOALS as ENV
from environments import CountingGoals
from logging_fragments import insert
from running import run, small_config
from scipy.stats import chisquare

from awac_dist.cli.main import main as awac_dist
from awac_dist.config import RunConfig
from awac_dist.data.fragments import join_fragments
from awac_dist.data.parquet import read_episodes, read_info, write_episodes
from awac_dist.data.sources import open_source
from awac_dist.envs.goal_rewards import TaskRewards, over_rows
from awac_dist.envs.make import env_spec, make_env
from awac_dist.errors import InputError
from awac_dist.policies.policy import UnitPolicy
from awac_dist.replay.layout import Layout
from awac_dist.replay.sampler import GOALS, ONLINE, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.collector import Collector
from awac_dist.runs.plan import local_resources
from awac_dist.runs.runtime import InlineRuntime
from awac_dist.types import Array, Episode, Origin


def main(words: Sequence[str]) -> int:
    return awac_dist(["launch", *words])


SPEC = env_spec(ENV)
LAYOUT = Layout.of(SPEC)
GAMMA = np.float32(0.9)
TAG, STEP = 0, 1


def collect(fragments: Sequence[int], num_envs: int = 2, seed: int = 0) -> list[Episode]:
    """Fragments of episodes of 1 to 9 steps, cut where a fragment ends."""
    collector = Collector(SPEC, num_envs, (seed, 1, 0))
    policy = UnitPolicy(SPEC)
    return [
        fragment
        for steps in fragments
        for fragment in collector.collect_steps(policy, steps, "online").fragments
    ]


class Memory:
    """Shards and the sampler that knows them, filled with fragments."""

    def __init__(self, fragments: Sequence[Episode], shards: int = 1, prior: int = 0) -> None:
        self.shards = [self._shard(index, shards) for index in range(shards)]
        self.sampler = Sampler(seed=3, online_capacity=100_000)
        for number, fragment in enumerate(fragments):
            shard = self.shards[fragment.origin.episode % shards]
            source = "prior" if number < prior else ONLINE
            self.sampler.add([insert(shard, fragment, source)])

    def _shard(self, index: int, of: int) -> ReplayShard:
        return ReplayShard(
            index,
            of,
            SPEC,
            discount=float(GAMMA),
            log=None,
            goal_rewards=TaskRewards(SPEC),
        )

    def block(self, number: int, size: int) -> Array:
        draw = self.sampler.draw(number, size)
        block = np.empty((size, LAYOUT.width), np.float32)
        for index, shard in enumerate(self.shards):
            positions = np.flatnonzero(draw.shards == index)
            block[positions] = shard.take(draw.rows[positions], draw.relabelling(positions))
        return block


def step_reference(
    episodes: Sequence[Episode], row: Array
) -> tuple[str, int, float, float, list[float]]:
    """Tell, slowly, which goal a transition has: its kind, steps ahead, reward, discount."""
    observation, goal = row[:2], row[2:4]
    (episode,) = [e for e in episodes if e.observations[0, TAG] == observation[TAG]]
    step = round(float(observation[STEP]) / 100)
    assert episode.desired_goals is not None
    assert episode.achieved_goals is not None
    task = CountingGoals()
    reached, last = episode.achieved_goals[step + 1], step == len(episode) - 1
    own = episode.desired_goals[0]
    kind, ahead = "unknown", 0
    if (goal == own).all():
        kind = "rollout"
    elif goal[TAG] == observation[TAG]:
        kind, ahead = "future", int(goal[STEP]) - step
        assert 1 <= ahead <= len(episode) - step
    elif any((goal == e.desired_goals[0]).all() for e in episodes):
        kind = "environment"
    reward = float(task.compute_reward(reached, goal, {}))
    by_goal = task.compute_terminated(reached, own, {})
    ends = task.compute_terminated(reached, goal, {}) or (
        last and episode.terminated and not by_goal
    )
    following = [*episode.observations[step + 1], *goal]
    return kind, ahead, reward, 0.0 if ends else float(GAMMA), following


def check_block(episodes: Sequence[Episode], block: Array) -> list[tuple[str, int]]:
    """Compare every transition with the reference; returns kinds and steps ahead."""
    found = []
    for row in block:
        kind, ahead, reward, discount, following = step_reference(episodes, row)
        assert row[LAYOUT.rewards] == pytest.approx(reward, abs=1e-5)
        assert row[LAYOUT.discounts] == pytest.approx(discount)
        np.testing.assert_array_equal(row[LAYOUT.next_observations], np.float32(following))
        found.append((kind, ahead))
    return found


SHARES = {"rollout": 0.2, "future": 0.3, "environment": 0.5}


@pytest.mark.parametrize(("shards", "prior"), [(1, 0), (3, 40), (2, 1000)])
def test_every_relabelled_transition_is_what_a_slow_reference_says(shards: int, prior: int) -> None:
    fragments = collect([4, 3, 5, 2, 7, 40])
    memory = Memory(fragments, shards, prior)
    memory.sampler.set_goals(SHARES)
    episodes = join_fragments(fragments)
    found = [seen for n in range(20) for seen in check_block(episodes, memory.block(n, 100))]
    counts = [sum(kind == name for kind, _ in found) for name in GOALS]
    assert sum(counts) == len(found) == 2000
    # Another episode's goal is one's own once in as many episodes as there are.
    doubled = 0.5 / len(episodes)
    wanted = 2000 * np.array([0.2 + doubled, 0.3, 0.5 - doubled])
    assert chisquare(counts, wanted).pvalue > 1e-3


def test_a_future_goal_is_any_later_outcome_with_equal_chance_also_across_fragments() -> None:
    fragments = [fragment for fragment in collect([2] * 60, num_envs=1) if len(fragment)]
    longest = max(join_fragments(fragments), key=len)
    mine = [p for p in fragments if p.origin.episode == longest.origin.episode]
    assert len(mine) > 2, "the episode must lie in several fragments"
    memory = Memory(fragments)
    memory.sampler.set_goals({"future": 1.0})
    blocks = np.concatenate([memory.block(n, 1000) for n in range(30)])
    start = blocks[(blocks[:, TAG] == longest.observations[0, TAG]) & (blocks[:, STEP] == 0)]
    ahead = start[:, 2 + STEP].astype(int)
    counts = np.bincount(ahead, minlength=len(longest) + 1)[1:]
    assert len(counts) == len(longest)
    assert chisquare(counts).pvalue > 1e-3


def test_no_goal_changes_unless_asked() -> None:
    fragments = collect([50])
    memory = Memory(fragments)
    kinds = {kind for kind, _ in check_block(join_fragments(fragments), memory.block(0, 300))}
    assert kinds == {"rollout"}


def test_draws_do_not_depend_on_the_number_of_shards() -> None:
    fragments = collect([3, 30])
    blocks = []
    for shards in (1, 2, 5):
        memory = Memory(fragments, shards)
        memory.sampler.set_goals(SHARES)
        blocks.append(memory.block(7, 200))
    np.testing.assert_array_equal(blocks[0], blocks[1])
    np.testing.assert_array_equal(blocks[0], blocks[2])


def test_an_end_without_a_goal_as_its_cause_stays_an_end() -> None:
    fallen = Episode(
        observations=np.float32([[0.5, 0], [0.5, 100]]),
        actions=np.zeros((1, 2), np.float32),
        rewards=np.float32([-1]),
        terminated=True,
        truncated=False,
        origin=Origin("online", episode=0),
        desired_goals=np.float32([[0.1, 8], [0.1, 8]]),
        achieved_goals=np.float32([[0.5, 0], [0.5, 1]]),
    )
    memory = Memory([fallen, replace(fallen, origin=Origin("online", episode=1))])
    memory.sampler.set_goals({"environment": 1.0})
    assert set(memory.block(0, 50)[:, LAYOUT.discounts]) == {0.0}


class TestRules:
    """A rule for one row must not be trusted with many."""

    ROWS = np.random.default_rng(0).normal(size=(2, 50, 3)).astype(np.float32)

    @pytest.mark.parametrize(
        "rule",
        [
            lambda a, d, info: -np.linalg.norm(a - d, axis=-1),
            lambda a, d, info: -np.linalg.norm(a - d),
            lambda a, d, info: -1.0 if np.linalg.norm(a - d) > 1 else 0.0,
            lambda a, d, info: float(a[0] > d[0]),
            lambda a, d, info: np.ones(len(a)) if a.ndim == 2 else 0.0,
            lambda a, d, info: -np.linalg.norm(a - d, axis=-1, keepdims=True),
            lambda a, d, info: np.array([-np.linalg.norm(a - d)]),
            lambda a, d, info: [float(a[0] > d[0])],
        ],
    )
    def test_rows_together_equal_rows_alone(self, rule: Any) -> None:
        achieved, desired = self.ROWS
        alone = [rule(a, d, {}) for a, d in zip(achieved, desired, strict=True)]
        found = over_rows(rule, achieved, desired)
        assert found.shape == (50,)
        np.testing.assert_allclose(found, np.ravel(alone), rtol=1e-6)

    @pytest.mark.parametrize("name", ["compute_reward", "compute_terminated"])
    @pytest.mark.parametrize(
        ("rule", "told"),
        [
            (lambda s, a, d, info: info["contact"], r"needs more .*\(KeyError\('contact'\)\)"),
            (lambda s, a, d, info: a - d, r"fails \(ValueError\('shape \(2,\) for one step, "),
            (lambda s, a, d, info: 1 // 0, r"fails \(ZeroDivisionError\("),
            (lambda s, a, d, info: None, r"needs more .*\(TypeError\("),
        ],
    )
    def test_a_rule_that_cannot_be_used_is_refused_with_the_remedy(
        self, rule: Any, told: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rule.__name__ = name
        monkeypatch.setattr(CountingGoals, name, rule)
        with pytest.raises(InputError, match=f"^{ENV}: {name} {told}") as caught:
            TaskRewards(SPEC)(*self.ROWS[:, :, :2])
        assert "leave replay.goals out" in str(caught.value)


def test_a_goal_task_is_flattened_for_policies() -> None:
    env = make_env(ENV)
    seen, info = env.reset(seed=1)
    assert (SPEC.observation_size, SPEC.goal_size, SPEC.input_size) == (2, 2, 4)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen[:2], np.float32([info["achieved_goal"][TAG], 0]))
    _, _, _, _, info = env.step(env.action_space.sample())
    assert info["achieved_goal"][STEP] == 1


def test_goals_survive_the_file_and_the_joining_of_fragments(tmp_path: Path) -> None:
    path = str(tmp_path / "goals.parquet")
    whole = join_fragments(collect([3, 4, 30]))
    write_episodes(path, whole, SPEC)
    assert read_info(path).goal_size == 2
    for (_, read), wrote in zip(read_episodes(path), whole, strict=True):
        assert wrote.desired_goals is not None
        for name in ("observations", "desired_goals", "achieved_goals", "successes"):
            np.testing.assert_array_equal(getattr(read, name), getattr(wrote, name))
            rows = len(wrote) + (name != "successes")
            assert len(getattr(wrote, name)) == rows
        steps = np.arange(len(wrote) + 1)
        np.testing.assert_array_equal(read.achieved_goals[:, STEP], steps)  # type: ignore[index]


def test_data_without_goals_is_refused_for_a_goal_task(tmp_path: Path) -> None:
    path = str(tmp_path / "flat.parquet")
    flat = [
        replace(e, desired_goals=None, achieved_goals=None) for e in join_fragments(collect([30]))
    ]
    write_episodes(path, flat, replace(SPEC, goal_size=0))
    with pytest.raises(InputError, match="needs desired_goals and achieved_goals"):
        open_source(path, SPEC)


def goal_config(tmp_path: Path, **replay: Any) -> RunConfig:
    path = str(tmp_path / "prior.parquet")
    write_episodes(path, join_fragments(collect([60], seed=5)), SPEC)
    config = small_config(path)
    return replace(config, env=ENV, replay=replace(config.replay, **replay))


def test_a_run_learns_with_hindsight_and_repeats_with_other_shards(tmp_path: Path) -> None:
    config = goal_config(tmp_path, goals=SHARES)
    runs = {
        name: run(changed, InlineRuntime(local_resources()), tmp_path / name)[0]
        for name, changed in {
            "one": config,
            "three": replace(config, shards=3),
            "plain": replace(config, replay=replace(config.replay, goals=None)),
        }.items()
    }
    np.testing.assert_array_equal(runs["one"], runs["three"])
    assert not np.array_equal(runs["one"], runs["plain"])
    logged = open_source(str(tmp_path / "one"), SPEC)
    assert all(file.path.endswith(".parquet") for file in logged.files)


def test_the_pushing_preset_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    preset = Path(__file__).parents[2] / "configs" / "release-push.yaml"
    small = shlex.split(
        f"--env {ENV} --runtime inline --workers 1 --offline.updates 3 --offline.batch_size 8 "
        "--learner.batch_size 8 --online.env_steps 5 --evaluation.episodes 1 --learner.threads 1"
    )
    data = goal_config(tmp_path).data[0]
    words = ["--config", str(preset), *small, "--data", data, "--run-dir", str(tmp_path / "run")]
    assert main(words) == 0
    assert "23 updates" in capfd.readouterr().out  # 3 offline, 4 for each of 5 steps


@pytest.mark.parametrize(
    ("goals", "problem"),
    [
        ({"future": 0.5}, "add up to 0.5"),
        ({"futur": 1.0}, "'futur' is not one of rollout, future, environment"),
        ({"future": 1.5, "rollout": -0.5}, "not between 0 and 1"),
    ],
)
def test_wrong_shares_are_refused(goals: dict[str, float], problem: str, tmp_path: Path) -> None:
    found = [f"{path}: {what}" for path, what in goal_config(tmp_path, goals=goals).problems()]
    assert any(line.startswith("replay.goals: ") and problem in line for line in found)


def test_goals_for_a_task_that_has_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay.goals", '{"future": 1.0}', "--dry-run"]) == 2
    assert "HalfCheetah-v5 has no goals to relabel" in capsys.readouterr().err


def test_gymnasium_robotics_goal_tasks_work_as_they_are() -> None:
    spec = env_spec("FetchReach-v4")
    rewards = TaskRewards(env_spec("FetchReach-v4"))
    goals = np.random.default_rng(1).normal(size=(2, 40, spec.goal_size)).astype(np.float32)
    found = rewards(goals[0], goals[1])
    distances = np.linalg.norm(goals[0] - goals[1], axis=1)
    np.testing.assert_array_equal(found.rewards, -(distances > 0.05).astype(np.float32))
    assert not found.terminated.any()
