"""Whole runs, without processes and on Ray."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
from running import run, small, small_config, write_demonstrations

from awac_dist.algorithms import name_of
from awac_dist.algorithms.algae_dice import AlgaeDICEConfig
from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.bc import BCConfig
from awac_dist.config import RunConfig
from awac_dist.data import experience
from awac_dist.data.parquet import read_episodes
from awac_dist.data.sources import open_source
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.envs.make import env_spec
from awac_dist.files import sealed
from awac_dist.learner.checkpoint import load_checkpoint, load_progress
from awac_dist.runs.components import Components
from awac_dist.runs.plan import make_plan
from awac_dist.runs.runtime import InlineRuntime, Resources

RESOURCES = Resources((2.0,), gpus=0)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    path = tmp_path_factory.mktemp("data") / "demonstrations.parquet"
    return small_config(write_demonstrations(path, episodes=5))  # more than any test has shards


def inline(config: RunConfig, folder: Path) -> np.ndarray:
    return run(config, InlineRuntime(RESOURCES), folder)[0]


def with_online(config: RunConfig, mode: str, **options: object) -> RunConfig:
    return replace(config, mode=mode, online=replace(config.online, **options))


def test_a_sync_run_repeats_bit_for_bit_and_the_seed_matters(
    config: RunConfig, tmp_path: Path
) -> None:
    first = inline(config, tmp_path / "a")
    assert np.array_equal(first, inline(config, tmp_path / "b"))
    assert not np.array_equal(first, inline(replace(config, seed=1), tmp_path / "c"))


@pytest.mark.parametrize("algorithm", [BCConfig(), AWACConfig()], ids=name_of)
def test_a_compiled_sync_run_repeats_bit_for_bit(
    config: RunConfig, tmp_path: Path, algorithm: MethodConfig
) -> None:
    config = replace(
        config,
        algorithm=small(algorithm),
        clone=replace(config.clone, updates=0),
        learner=replace(config.learner, compile=True),
    )
    assert np.array_equal(inline(config, tmp_path / "a"), inline(config, tmp_path / "b"))


def test_the_number_of_shards_changes_no_number(config: RunConfig, tmp_path: Path) -> None:
    one = inline(config, tmp_path / "one")
    assert np.array_equal(one, inline(replace(config, shards=3), tmp_path / "three"))


def test_the_number_of_shards_changes_no_number_where_the_data_is_a_run_s_log(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", 50)  # so that files cut episodes
    inline(config, tmp_path / "log")
    later = replace(config, data=(str(tmp_path / "log"),), algorithm=small(AlgaeDICEConfig()))
    one = inline(later, tmp_path / "one")
    assert np.array_equal(one, inline(replace(later, shards=3), tmp_path / "three"))


def test_how_calls_are_cut_changes_no_number(config: RunConfig, tmp_path: Path) -> None:
    coarse = replace(config.learner, updates_per_call=100, batches_per_request=7)
    one = inline(config, tmp_path / "fine")
    assert np.array_equal(one, inline(replace(config, learner=coarse), tmp_path / "coarse"))


def test_a_run_goes_through_its_phases_and_keeps_its_counts(
    config: RunConfig, tmp_path: Path
) -> None:
    _, witness, driver = run(config, InlineRuntime(RESOURCES), tmp_path)
    assert witness.phases == ["load", "clone", "collect", "offline", "online"]
    assert [e.label for e in witness.evaluations if len(e.returns) == 2] == [
        "clone",
        "offline",
        "online",
    ]
    assert driver.progress.env_steps == 300
    assert driver.progress.grad_steps == witness.updates[-1].grad_steps == 10 + 13 + 150


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("envs", "ratio", "fragment"), [(1, 0.5, 11), (3, 1.1, 30), (2, 1.0, 7)])
def test_exactly_the_steps_and_updates_that_were_asked_for(
    config: RunConfig, tmp_path: Path, mode: str, envs: int, ratio: float, fragment: int
) -> None:
    changed = replace(
        config,
        mode=mode,
        workers=3,
        online=replace(config.online, env_steps=102, updates_per_step=ratio),
        rollout=replace(config.rollout, envs_per_worker=envs, fragment_steps=fragment),
        offline=replace(config.offline, updates=0),
        clone=replace(config.clone, updates=0),
    )
    _, witness, driver = run(changed, InlineRuntime(RESOURCES), tmp_path)
    assert driver.progress.env_steps == 102
    assert driver.progress.grad_steps == int(ratio * 102 + 1e-9)
    taken = [report.env_steps for report, _ in witness.rollouts]
    assert sum(taken) == 102
    assert max(taken) <= envs * fragment


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_warm_up_collects_with_the_policy_as_it_is(
    config: RunConfig, tmp_path: Path, mode: str
) -> None:
    changed = with_online(config, mode, warmup_steps=100, updates_per_step=0.5)
    _, witness, driver = run(changed, InlineRuntime(RESOURCES), tmp_path)
    assert witness.phases[-2:] == ["warm-up", "online"]
    assert driver.progress.env_steps == 300
    assert driver.progress.grad_steps == 10 + 13 + 100
    steps, versions = 0, []
    for report, _ in witness.rollouts:
        if report.policy_version >= 23 and steps < 100:
            steps += report.env_steps
            versions.append(report.policy_version)
    assert set(versions) == {23}
    assert steps == 100


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_on_policy_each_round_is_of_one_policy(
    config: RunConfig, tmp_path: Path, mode: str
) -> None:
    changed = with_online(config, mode, round_steps=100, updates_per_step=0.07)
    _, witness, driver = run(changed, InlineRuntime(RESOURCES), tmp_path)
    assert (driver.progress.env_steps, driver.progress.grad_steps) == (300, 10 + 13 + 21)
    assert changed.online.updates == 21
    steps: dict[int, int] = {}
    for report, _ in witness.rollouts:
        version = report.policy_version
        steps[version] = steps.get(version, 0) + report.env_steps
    assert [steps[version] for version in (23, 30, 37)] == [100, 100, 100]


def test_the_newest_rows_are_always_there_to_be_drawn(config: RunConfig, tmp_path: Path) -> None:
    small = replace(
        config,
        mode="async",
        workers=8,
        shards=2,
        replay=replace(config.replay, capacity=130),
        online=replace(config.online, env_steps=2000, updates_per_step=0.1),
        rollout=replace(config.rollout, fragment_steps=100),
    )
    _, _, driver = run(small, InlineRuntime(RESOURCES), tmp_path)
    assert driver.progress.env_steps == 2000


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_updates_never_run_ahead_of_the_ratio(config: RunConfig, tmp_path: Path, mode: str) -> None:
    changed = with_online(config, mode, updates_per_step=0.5)
    _, witness, driver = run(changed, InlineRuntime(RESOURCES), tmp_path)
    assert driver.progress.env_steps == 300
    assert witness.updates[-1].grad_steps == 10 + 13 + 150


def test_the_experience_log_holds_what_the_workers_collected(
    config: RunConfig, tmp_path: Path
) -> None:
    _, witness, _ = run(replace(config, shards=2), InlineRuntime(RESOURCES), tmp_path)
    source = open_source(str(tmp_path), env_spec(config.env.id))
    episodes = [e for file in source.files for _, e in read_episodes(file.path)]
    by_kind = {
        kind: sum(len(e) for e in episodes if e.origin.kind == kind) for kind in ("prior", "online")
    }
    collected = sum(report.env_steps for report, _ in witness.rollouts)
    assert by_kind == {"prior": 3 * 200, "online": 300}
    assert sum(by_kind.values()) == collected
    finished = sorted(f.episode_return for report, _ in witness.rollouts for f in report.finished)
    whole = sorted(e.total_reward for e in episodes if e.truncated and e.origin.start == 0)
    np.testing.assert_allclose(whole, finished, rtol=1e-5)
    frame = pd.read_parquet(source.files[0].path)
    assert np.stack(frame["observations"].iloc[0]).shape[1] == 3


def test_a_second_run_learns_from_the_first_ones_log(config: RunConfig, tmp_path: Path) -> None:
    run(config, InlineRuntime(RESOURCES), tmp_path / "first")
    again = replace(
        config, data=(str(tmp_path / "first"),), online=replace(config.online, env_steps=0)
    )
    _, witness, _ = run(again, InlineRuntime(RESOURCES), tmp_path / "second")
    assert witness.phases == ["load", "offline"]  # there is nobody to clone
    assert f"{3 * 200 + 300} transitions" in witness.notes[0]


def test_checkpoints_are_whole_and_only_the_newest_are_kept(
    config: RunConfig, tmp_path: Path
) -> None:
    learner = replace(config.learner, keep_checkpoints=2)
    vector, _, _ = run(replace(config, learner=learner), InlineRuntime(RESOURCES), tmp_path)
    paths = sealed(str(tmp_path / "checkpoints"))
    assert len(paths) == 2
    state = load_checkpoint(paths[-1])
    assert state["grad_steps"] == 173
    assert load_progress(paths[-1])["env_steps"] == 300
    actor = state["method"]["networks"]["actor"]
    actor = [actor[f"weights.{i}"].numpy().ravel() for i in range(7)]
    weights = np.concatenate(actor)
    assert np.array_equal(weights, vector[: len(weights)])  # a normalisation may follow


def test_a_mixture_is_drawn_as_asked(config: RunConfig, tmp_path: Path) -> None:
    half = replace(config, replay=replace(config.replay, mixture={"offline": 0.5, "online": 0.5}))
    assert not np.array_equal(inline(config, tmp_path / "a"), inline(half, tmp_path / "b"))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_and_inline_runs_give_the_same_numbers(config: RunConfig, tmp_path: Path) -> None:
    """With two shards, and evaluations that take longer than the updates between two of them."""
    long = replace(config.evaluation, curve_episodes=20)
    changed = replace(config, shards=2, evaluation=long)
    posted, witness, _ = run(changed, RayRuntime(), tmp_path / "ray")
    called, twin, _ = run(changed, InlineRuntime(RESOURCES), tmp_path / "inline")
    assert np.array_equal(posted, called)
    assert [(e.policy_version, e.returns) for e in witness.evaluations] == [
        (e.policy_version, e.returns) for e in twin.evaluations
    ]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_an_async_run_on_ray_keeps_to_its_bounds(config: RunConfig, tmp_path: Path) -> None:
    changed = replace(with_online(config, "async", env_steps=600), workers=3)
    _, witness, driver = run(changed, RayRuntime(), tmp_path)
    assert driver.progress.env_steps == 600
    assert driver.progress.grad_steps == 10 + 13 + driver.progress.env_steps // 2
    lags = [lag for report, lag in witness.rollouts if report.policy_version >= 23]
    assert min(lags) >= 0
    # a round of 3 x 30 behind when it starts, another one under way, two calls of 9 ahead
    assert max(lags) <= 2 * 45 + 2 * 9


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_processes_that_act_or_store_never_import_torch(config: RunConfig, tmp_path: Path) -> None:
    runtime = RayRuntime()
    plan = make_plan(runtime.resources, workers=1, shards=1, gpus=0)
    spec = env_spec(config.env.id)
    components = Components(runtime, config, spec, plan, str(tmp_path), ())
    evaluator = components.start_evaluator()
    workers = [worker.handle for worker in components.workers._workers]
    light = [components.weights, evaluator, *workers, *components.shards]
    heavy = [components.start_learner()]
    has_torch = lambda _: "torch" in __import__("sys").modules  # noqa: E731 - travels by value
    found = [ray.get(handle.actor.__ray_call__.remote(has_torch)) for handle in [*light, *heavy]]
    runtime.close()
    assert found == [False] * 4 + [True]
