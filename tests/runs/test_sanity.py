"""Prior data beside the task: units, places of columns and rewards that cannot be its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import run, small_config, write_demonstrations

from awac_dist.config import OfflineConfig, OnlineConfig
from awac_dist.data.parquet import read_episodes, write_episodes
from awac_dist.data.sources import episodes, find
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.make import env_spec
from awac_dist.envs.trial import Trial, trial
from awac_dist.messages import Extents
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.extents import covering, extents_of
from awac_dist.replay.normalization import sums_of
from awac_dist.runs.plan import local_resources
from awac_dist.runs.runtime import InlineRuntime
from awac_dist.runs.sanity import meeting, units
from awac_dist.types import Array

CHEETAH = "HalfCheetah-v5"


@pytest.mark.parametrize(
    ("unit", "shift", "hurts"),
    [
        (np.ones(8), 0, False),
        (np.full(8, 10), 0, False),
        (np.full(8, 0.1), 0, False),
        (10 ** np.linspace(-1, 1, 8), 0, False),
        (np.float32([0, 0, 1, 1, 1, 1, 1, 0.01]), 3, False),  # some never move
        (np.zeros(8), 1, False),
        (np.full(8, 1e4), 0, True),
        (np.full(8, 0.01), 0, True),
        (np.ones(8), 500, True),
        (10 ** np.linspace(-3, 3, 8), 0, True),
        (np.float32([1, 1, 1, 1, 1, 1, 1, 500]), 0, True),
    ],
)
def test_units_that_hurt_are_told(unit: Array, shift: float, hurts: bool) -> None:
    seen = np.random.default_rng(0).normal(size=(1000, 8)) * unit + shift
    lines = list(units(sums_of(seen.astype(np.float32))))
    assert bool(lines) == hurts
    if hurts:
        largest, least = int(np.argmax(np.abs(unit) + abs(shift))), int(np.argmin(unit))
        assert "--replay.normalize_observations true" in lines[0]
        if np.ptp(unit):
            assert f"column {largest} is" in lines[0]
            assert f"column {least} spreads" in lines[0]


@pytest.fixture(scope="module")
def cheetah() -> tuple[int, Extents]:
    found = [episode for _, _, episode in episodes(find("halfcheetah-demonstrations"))]
    return len(found), covering(map(extents_of, found))


def test_data_of_the_task_meets_it_and_that_of_another_does_not(
    cheetah: tuple[int, Extents],
) -> None:
    assert list(meeting("demos", *cheetah, trial(EnvConfig(CHEETAH), None))) == []
    [line] = meeting("demos", *cheetah, trial(EnvConfig("Walker2d-v5"), None))
    assert line.startswith("demos: its observations are not where the task's are, in ")
    assert "column 0 is 1.25 after a reset" in line


def test_columns_in_another_order_are_told(cheetah: tuple[int, Extents]) -> None:
    """Of pieces in another order, as robomimic's keys are; what never moves alike is not seen."""
    count, data = cheetah
    seen, rng, told = trial(EnvConfig(CHEETAH), None), np.random.default_rng(0), 0
    for _ in range(40):
        cuts = np.sort(rng.choice(np.arange(1, 17), 4, replace=False))
        pieces = np.split(np.arange(17), cuts)
        order = np.concatenate([pieces[n] for n in rng.permutation(5)])
        shuffled = data._replace(
            observations=tuple(data.observations[n] for n in order),
            first_observations=tuple(data.first_observations[n] for n in order),
        )
        told += bool(list(meeting("demos", count, shuffled, seen)))
    assert told >= 25


@pytest.mark.parametrize(
    ("data", "first", "earned", "told"),
    [
        ((-1, 0), (-1, -1), [-1, -1, -1], False),
        ((-1, 0), (-1, -1), [0, 0, 0], True),  # 0 and 1 are the task's
        ((0, 1), (0, 0), [-1, -1, -1], True),
        ((0, 1), (0, 0), [0, 0, 0], False),
        ((-1, -1), (-1, -1), [-1], False),
        ((-0.3, 20), (-0.3, -0.28), [-1, -1, -1], True),  # dense ones for sparse
        ((-0.4, -0.01), (-0.3, -0.01), [-0.38, -0.38, -0.38], False),
        ((-1, 10), (-0.8, 1), [-0.9, 0.3, 1.2], False),
        ((-0.01, 0.1), (-0.008, 0.01), [-0.9, -0.3, -0.2], True),  # in hundreds
        ((-1, 0), (-1, -1), [], False),  # hardware
    ],
)
def test_rewards_that_cannot_be_the_tasks_are_told(
    data: tuple[float, float], first: tuple[float, float], earned: list[float], told: bool
) -> None:
    here = ((0.0, 1.0),)
    lines = list(
        meeting(
            "demos",
            5,
            Extents(here, here, (data,), (first,)),
            Trial(env_spec("Pendulum-v1"), np.full((1, 1), 0.5, np.float32), np.float32(earned)),
        )
    )
    assert [line.startswith("demos: its rewards cannot be the task's") for line in lines] == (
        [True] * told
    )


@pytest.mark.parametrize("normalized", [False, True])
def test_a_run_says_what_is_strange_of_its_data(normalized: bool, tmp_path: Path) -> None:
    good = write_demonstrations(tmp_path / "good.parquet")
    spec, odd = env_spec("Pendulum-v1"), str(tmp_path / "odd.parquet")
    changed = [
        replace(e, observations=5 + 1e4 * e.observations, rewards=e.rewards + np.float32(100))
        for _, e in read_episodes(good)
    ]
    write_episodes(odd, changed, spec)
    config = small_config(good)
    config = replace(
        config,
        data=(good, odd),
        replay=ReplayConfig(normalize_observations=normalized),
        clone=replace(config.clone, updates=0),
        offline=replace(config.offline, updates=1),
        online=replace(config.online, env_steps=0),
        shards=2,
    )
    runtime = InlineRuntime(local_resources())
    _, witness, _ = run(config, runtime, tmp_path / "run", seen=trial(config.env, None))
    told = [line.removeprefix("warning: ") for line in witness.notes if "warning: " in line]
    expected = [f"{odd}: its rewards cannot be the task's"]
    if not normalized:
        expected.insert(0, "observations are in units that networks learn badly from")
    assert len(told) == len(expected)
    assert all(line.startswith(start) for line, start in zip(told, expected, strict=True))


@pytest.mark.parametrize("joined", [False, True])
def test_only_prior_data_that_a_run_began_with_normalises(tmp_path: Path, joined: bool) -> None:
    data = write_demonstrations(tmp_path / "prior.parquet")
    begun, more = replace(small_config(data), offline=OfflineConfig(0)), {}
    if joined:
        run(replace(begun, data=()), InlineRuntime(local_resources()), tmp_path / "run")
        begun, more = replace(begun, online=OnlineConfig(env_steps=400)), {"session": 1}
    run(begun, InlineRuntime(local_resources()), tmp_path / "run", joined=joined, **more)
    policy = read_policy(find_policy(str(tmp_path / "run")))
    assert isinstance(policy, NetworkPolicy)
    assert policy.spec.normalize_observations is not joined
