"""Every method of the registry goes through every kind of run, and is taken up again."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from running import run, small, small_config, write_demonstrations

from awac_dist import load_policy
from awac_dist.algorithms import METHODS, config_class
from awac_dist.config import RunConfig
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.runs.runtime import InlineRuntime, Resources

RESOURCES = Resources((2.0,), gpus=0)
PHASES = {
    "offline": (20, 0),
    "offline, online": (20, 120),
    "online": (0, 120),
}  # updates, env_steps


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
    )


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("phases", PHASES)
@pytest.mark.parametrize("method", METHODS)
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
        updates + env_steps,
        env_steps,
    )
    policy = load_policy(str(tmp_path))
    assert policy(np.zeros(3, np.float32)).shape == (1,)


class Killed(Exception):  # noqa: N818 - says what happened
    """The whole run is gone."""


@pytest.mark.parametrize("phase", ["offline", "online"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_taken_up_where_it_was_killed(
    data: str, tmp_path: Path, method: str, phase: str
) -> None:
    config = config_of(data, method, "offline, online", "sync")
    config = replace(config, evaluation=replace(config.evaluation, every_updates=30))
    undisturbed, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "undisturbed")
    killed_at = {"offline": 17, "online": 80}[phase]

    def look(driver: object) -> None:
        if driver.progress.grad_steps >= killed_at:  # type: ignore[attr-defined]
            raise Killed

    with pytest.raises(Killed):
        run(config, InlineRuntime(RESOURCES), tmp_path / "killed", look=look)
    resumed, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "killed", session=1)
    np.testing.assert_array_equal(resumed, undisturbed)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("awac", "bc")])
def test_on_ray_a_method_gives_the_same_numbers(data: str, tmp_path: Path, method: str) -> None:
    config = replace(config_of(data, method, "offline, online", "sync"), workers=1)
    posted, _, _ = run(config, RayRuntime(), tmp_path / "ray")
    called, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "inline")
    np.testing.assert_array_equal(posted, called)
