"""Options of the data: scaled rewards, normalised observations, steps taken together, columns."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import GAMMA
from running import run, small, small_config, write_demonstrations

import awac_dist
from awac_dist.algorithms import METHODS, config_class
from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import MethodConfig
from awac_dist.cli import export
from awac_dist.cli.commands import Export
from awac_dist.config import RunConfig
from awac_dist.data.parquet import read_episodes, write_episodes
from awac_dist.data.sources import open_source
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.learner.config import LearnerConfig
from awac_dist.learner.learner import Learner
from awac_dist.policies import make_policy
from awac_dist.replay.config import NOTHING_CHANGED, ReplayConfig
from awac_dist.replay.layout import Layout
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.plan import local_resources
from awac_dist.runs.runtime import InlineHandle, InlineRuntime
from awac_dist.runs.weights import WeightStore
from awac_dist.tensors import Batch
from awac_dist.types import Array, Episode

SPEC = env_spec("Pendulum-v1")
Change = Callable[[Episode], Episode]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "demonstrations.parquet")


def changed(data: str, tmp_path: Path, change: Change) -> str:
    """The same data with every episode changed."""
    path = str(tmp_path / "changed.parquet")
    write_episodes(path, [change(episode) for _, episode in read_episodes(data)], SPEC)
    return path


def learner_of(
    data: str,
    replay: ReplayConfig = NOTHING_CHANGED,
    shards: int = 1,
    method: MethodConfig = AWACConfig(),  # noqa: B008
) -> Learner:
    """A learner that is about to train on a file."""
    source = open_source(data, SPEC)
    handles = [
        InlineHandle(
            ReplayShard(n, shards, SPEC, discount=GAMMA, log=None, sources=[source], config=replay)
        )
        for n in range(shards)
    ]
    learner = Learner(
        SPEC,
        LearnerConfig(batch_size=32, threads=1, discount=GAMMA),
        handles,
        InlineHandle(WeightStore()),
        online_capacity=100,
        seed=0,
        device="cpu",
        replay=replay,
        sources={source.name: 1.0},
    )
    learner.register()
    learner.begin(small(method), 32)
    return learner


def trained(data: str, *options: Any, updates: int = 20, **named: Any) -> Learner:
    """The same after some updates."""
    learner = learner_of(data, *options, **named)
    learner.update(updates)
    return learner


def parameters(learner: Learner) -> Array:
    """Of all networks [P]."""
    networks = learner.method.networks.values()
    return torch.cat([p.detach().ravel() for n in networks for p in n.parameters()]).numpy()


def test_rewards_are_scaled_then_shifted_as_if_the_data_had_them_so(
    data: str, tmp_path: Path
) -> None:
    rescaled = changed(data, tmp_path, lambda e: replace(e, rewards=2 * e.rewards + np.float32(1)))
    learner = trained(data, replace(NOTHING_CHANGED, reward_scale=2, reward_shift=1))
    np.testing.assert_array_equal(parameters(learner), parameters(trained(rescaled)))
    assert not np.array_equal(parameters(learner), parameters(trained(data)))


def normalised(data: str) -> Change:
    seen = [e.observations[:-1] for _, e in read_episodes(data)]
    values = np.concatenate(seen).astype(np.float64)
    shift = values.mean(axis=0).astype(np.float32)
    scale = values.std(axis=0).astype(np.float32)
    return lambda e: replace(e, observations=(e.observations - shift) / scale)


UNITS = np.float32([2**13, 2**-7, 2**-40])  # powers of two scale float32 without rounding


@pytest.fixture(scope="module")
def in_other_units(data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return changed(
        data,
        tmp_path_factory.mktemp("units"),
        lambda e: replace(e, observations=e.observations * UNITS),
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_the_same_in_any_unit(
    method: str, data: str, in_other_units: str, tmp_path: Path
) -> None:
    """To the bit."""
    replay, config = ReplayConfig(normalize_observations=True), config_class(method)()
    learners = [trained(path, replay, method=config, updates=5) for path in (data, in_other_units)]
    np.testing.assert_array_equal(*map(parameters, learners))
    _, episode = next(iter(read_episodes(data)))
    exported = str(tmp_path / "policy.npz")
    export.run(Export(policy=learners[1].save(str(tmp_path / "run"), {}), out=exported))
    spec = learners[0].method.acting().spec
    pulled = make_policy(replace(spec, normalize_observations=True), learners[0].policy_vector(), 0)
    actions = np.clip(pulled.mean(episode.observations), pulled.low, pulled.high)
    np.testing.assert_array_equal(
        awac_dist.load_policy(exported)(episode.observations * UNITS), actions
    )
    assert np.ptp(actions) > 0


def test_what_is_far_from_the_prior_data_is_as_far_for_the_learner_as_for_the_policy(
    data: str,
) -> None:
    learner = learner_of(data, ReplayConfig(normalize_observations=True))
    layout = Layout.of(SPEC)
    block = torch.full((1, layout.width), 1e6)
    learner._fetcher.normalize(block)
    views = block[0, layout.observations], block[0, layout.next_observations]
    assert all((view == 10).all() for view in views)
    assert block[0, layout.rewards] == block[0, layout.actions] == 1e6


@pytest.mark.parametrize("shards", [1, 3])
def test_observations_are_normalised_as_if_the_data_were_and_the_policy_knows(
    shards: int, data: str, tmp_path: Path
) -> None:
    change = normalised(data)
    learner = trained(data, ReplayConfig(normalize_observations=True), shards)
    other = trained(changed(data, tmp_path, change))
    np.testing.assert_array_equal(parameters(learner), parameters(other))
    paths = [each.save(str(tmp_path / str(n)), {}) for n, each in enumerate((learner, other))]
    ours, theirs = (awac_dist.load_policy(path) for path in paths)
    _, episode = next(iter(read_episodes(data)))
    actions = theirs(change(episode).observations)
    np.testing.assert_allclose(ours(episode.observations), actions, rtol=1e-6)


class Recorder(AWAC):
    """Keeps the batches, and needs everything that there is."""

    needs = frozenset({"segments", "initial_observations", "returns", "is_online"})
    segment_length = 3
    seen: list[Batch]

    def update(self, batches: Sequence[Batch]) -> Any:
        self.seen = [*getattr(self, "seen", []), *batches]
        return super().update(batches)


def test_a_method_gets_what_it_needs_and_steps_are_taken_together(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AWACConfig, "method", Recorder)
    replay = ReplayConfig(n_steps=3, normalize_observations=True)
    learner = trained(data, replay, shards=2)
    change = normalised(data)
    episodes = [change(episode) for _, episode in read_episodes(data)]
    assert isinstance(learner.method, Recorder)
    for batch in learner.method.seen[:3]:
        for row in range(0, 32, 5):
            check_row(batch, row, episodes)


def check_row(batch: Batch, row: int, episodes: Sequence[Episode]) -> None:
    ((episode, t),) = [
        (e, t)
        for e in episodes
        for t in range(len(e))
        if np.allclose(e.observations[t], batch.observations[row], atol=1e-6)
        and np.allclose(e.actions[t], batch.actions[row])
    ]
    steps, length = min(3, len(episode) - t), len(episode)
    columns = {name: column[row].numpy() for name, column in batch.columns.items()}
    rewards = episode.rewards[t:]
    folded = sum(GAMMA**k * rewards[k] for k in range(steps))
    assert batch.rewards[row].item() == pytest.approx(folded, rel=1e-5)
    assert batch.discounts[row].item() == pytest.approx(GAMMA**steps)
    np.testing.assert_allclose(
        batch.next_observations[row], episode.observations[t + steps], atol=1e-6
    )
    np.testing.assert_allclose(columns["initial_observations"], episode.observations[0], atol=1e-6)
    segment = columns["segment_observations"][:steps]
    np.testing.assert_allclose(segment, episode.observations[t : t + steps], atol=1e-6)
    np.testing.assert_array_equal(columns["segment_mask"], [k < length - t for k in range(3)])
    total = sum(GAMMA**k * reward for k, reward in enumerate(rewards))
    assert columns["returns"].item() == pytest.approx(total, rel=1e-5)
    assert columns["is_online"] == 0


def test_goals_in_hindsight_are_refused_where_returns_are_needed(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AWACConfig, "method", Recorder)
    with pytest.raises(InputError, match=r"leave replay\.goals out"):
        learner_of(data).begin(small(AWACConfig()), 32, goals={"future": 1.0})


@pytest.fixture(scope="module")
def config(data: str) -> RunConfig:
    replay = ReplayConfig(n_steps=60, reward_scale=0.5, reward_shift=1, normalize_observations=True)
    return replace(small_config(data), replay=replay)


@pytest.fixture(scope="module")
def undisturbed(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Array, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(config, InlineRuntime(local_resources()), folder)[0], folder


def test_a_run_with_all_of_them_logs_what_the_task_gave(undisturbed: tuple[Array, Path]) -> None:
    files = sorted((undisturbed[1] / "experience").glob("*.parquet"))
    logged = [episode for file in files for _, episode in read_episodes(str(file))]
    assert sum(map(len, logged)) == 3 * 200 + 300
    for episode in logged:
        cosine, sine, speed = episode.observations[:-1].T
        torque = np.clip(episode.actions[:, 0], -2, 2)
        cost = np.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
        np.testing.assert_allclose(episode.rewards, -cost, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("killed", "shards"), [(10, 2), (65, 1), (85, 3)])
def test_it_goes_on_as_if_it_had_not_been_killed_for_any_number_of_shards(
    killed: int, shards: int, config: RunConfig, undisturbed: tuple[Array, Path], tmp_path: Path
) -> None:
    """The shards then hold more of their episodes than was known when it was killed."""

    def look(driver: Any) -> None:
        if driver.progress.grad_steps >= killed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, InlineRuntime(local_resources()), tmp_path, look=look)
    resumed = replace(config, shards=shards)
    vector = run(resumed, InlineRuntime(local_resources()), tmp_path, session=1)[0]
    np.testing.assert_array_equal(vector, undisturbed[0])
