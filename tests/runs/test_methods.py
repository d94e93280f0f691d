"""The methods of the registry go through every kind of run, and are taken up again."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from methods import OFTEN, each_method, slow_unless
from running import run, small, small_config, write_demonstrations

from awac_dist import load_policy
from awac_dist.algorithms import METHODS, config_class
from awac_dist.config import RunConfig
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.runs.runtime import InlineRuntime, Resources

RESOURCES = Resources((2.0,), gpus=0)
BETWEEN_PROCESSES = {"abm", "bear", "dapg", "ibrl"}  # their columns and what acts are like no other
ELSEWHERE = {"awac", "bc", "sope"}  # in test_run.py and test_pauses.py
PHASES = {"offline": (20, 0), "offline, online": (20, 60), "online": (0, 60)}  # updates, env_steps


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "prior.parquet")


def config_of(data: str, method: str, phases: str, mode: Literal["sync", "async"]) -> RunConfig:
    """A run of one method, without a clone before it."""
    config, (updates, env_steps) = small_config(data), PHASES[phases]
    return replace(
        config,
        mode=mode,
        algorithm=small(config_class(method)()),
        clone=replace(config.clone, updates=0),
        offline=replace(config.offline, updates=updates),
        online=replace(config.online, env_steps=env_steps),
        evaluation=replace(config.evaluation, episodes=1, every_updates=1000),
    )


def kinds_of_runs() -> list[Any]:
    """Those of a method that others stand for are slow, but for one."""
    kinds = [(phases, mode) for phases in PHASES for mode in ("sync", "async")]
    return [
        slow_unless(method in OFTEN or kind == ("offline, online", "async"), method, *kind)
        for method in METHODS
        for kind in kinds
    ]


@pytest.mark.parametrize(("method", "phases", "mode"), kinds_of_runs())
def test_a_method_runs(
    data: str, tmp_path: Path, method: str, phases: str, mode: Literal["sync", "async"]
) -> None:
    updates, env_steps = PHASES[phases]
    vector, witness, driver = run(
        config_of(data, method, phases, mode), InlineRuntime(RESOURCES), tmp_path
    )
    assert np.isfinite(vector).all()
    assert [name for name in witness.phases if name != "load"] == phases.split(", ")
    assert (driver.progress.grad_steps, driver.progress.env_steps) == (
        updates + env_steps // 2,
        env_steps,
    )
    policy = load_policy(str(tmp_path))
    assert policy(np.zeros(3, np.float32)).shape == (1,)


class Killed(Exception):  # noqa: N818 - says what happened
    """The whole run is gone."""


@pytest.mark.parametrize("method", each_method())
def test_a_method_is_taken_up_where_it_was_killed(data: str, tmp_path: Path, method: str) -> None:
    """Offline, and once more online."""
    config = config_of(data, method, "offline, online", "sync")
    config = replace(config, evaluation=replace(config.evaluation, every_updates=12))
    undisturbed, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "undisturbed")
    for session, killed_at in enumerate((13, 35)):

        def look(driver: object, updates: int = killed_at) -> None:
            if driver.progress.grad_steps >= updates:  # type: ignore[attr-defined]
                raise Killed

        with pytest.raises(Killed):
            run(config, InlineRuntime(RESOURCES), tmp_path / "killed", look=look, session=session)
    resumed, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "killed", session=2)
    np.testing.assert_array_equal(resumed, undisturbed)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    "method", [slow_unless(m in BETWEEN_PROCESSES, m) for m in METHODS if m not in ELSEWHERE]
)
def test_on_ray_a_method_gives_the_same_numbers(data: str, tmp_path: Path, method: str) -> None:
    config = replace(config_of(data, method, "offline, online", "sync"), workers=1)
    posted, _, _ = run(config, RayRuntime(), tmp_path / "ray")
    called, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "inline")
    np.testing.assert_array_equal(posted, called)
