"""Workers wait while the critics alone are updated, as long as that gives something."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from running import Witness, run, small, small_config, write_demonstrations

from awac_dist.algorithms.sope import SOPEConfig
from awac_dist.config import OnlineConfig, RunConfig
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.learner import pause
from awac_dist.learner.pause import HELD_OUT_LOSS
from awac_dist.runs.driver import Driver
from awac_dist.runs.runtime import InlineRuntime, Resources
from awac_dist.types import Array

RESOURCES = Resources((2.0,), gpus=0)
EACH, PAUSE, STEPS = 50, 45, 120  # steps between pauses, updates of one, steps of the run
EVERY_UPDATE = STEPS + STEPS // EACH * PAUSE
Look = Callable[[Driver], None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A path that is always the same: by it is drawn which steps are held out."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("data"))
        yield write_demonstrations(Path("prior.parquet"))


@pytest.fixture(autouse=True, scope="module")
def _looks_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pause, "CHECK_UPDATES", 10)
        yield


@pytest.fixture(scope="module")
def undisturbed(data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Array, Driver]:
    """The policy of a sync run at its end, and its driver."""
    folder = tmp_path_factory.mktemp("undisturbed")
    vector, _, driver = run(config_of(data), InlineRuntime(RESOURCES), folder)
    return vector, driver


def config_of(
    data: str, mode: Literal["sync", "async"] = "sync", patience: int | None = 20
) -> RunConfig:
    config = small_config(data)
    return replace(
        config,
        mode=mode,
        algorithm=small(SOPEConfig()),
        clone=replace(config.clone, updates=0),
        offline=replace(config.offline, updates=10),
        online=OnlineConfig(
            env_steps=STEPS, pause_steps=EACH, pause_updates=PAUSE, pause_patience=patience
        ),
        evaluation=replace(config.evaluation, every_updates=45),
        learner=replace(config.learner, updates_per_call=10),
    )


class Watch(Witness):
    """Remembers the steps that there were when updates came, and of which kind these were."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int, bool]] = []  # steps, updates and whether in a pause
        self.driver: Any = None

    def updated(self, report: Any) -> None:
        super().updated(report)
        if self.driver.progress.phase == "online":
            steps, alone = self.driver.progress.env_steps, HELD_OUT_LOSS in report.metrics
            self.seen.append((steps, report.updates, alone))


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("patience", [None, 20])
def test_pauses_come_after_so_many_steps_and_end_in_time(
    data: str,
    tmp_path: Path,
    mode: Literal["sync", "async"],
    patience: int | None,
) -> None:
    watch = Watch()

    def look(driver: Driver) -> None:
        watch.driver = driver
        if not isinstance(driver.observer, Watch):
            driver.observer = watch

    config = config_of(data, mode, patience)
    assert config.online.updates == EVERY_UPDATE
    _, _, driver = run(config, InlineRuntime(RESOURCES), tmp_path, look=look)
    progress = driver.progress
    assert progress.env_steps == STEPS
    assert progress.updates == EVERY_UPDATE
    assert progress.grad_steps - progress.phase_from + progress.let_off == EVERY_UPDATE
    assert (progress.let_off > 0) == (patience is not None)
    pauses: dict[int, int] = {}
    for steps, updates, alone in watch.seen:
        if alone:
            pauses[steps] = pauses.get(steps, 0) + updates
    assert sorted(pauses) == [EACH * (number + 1) for number in range(STEPS // EACH)]
    least = PAUSE if patience is None else 30  # the first look, and two more
    assert all(least <= updates <= PAUSE for updates in pauses.values())
    assert sum(updates for _, updates, alone in watch.seen if not alone) == STEPS


class Killed(Exception):  # noqa: N818 - says what happened
    """The whole run is gone."""


def ends(updates: int, *, softly: bool) -> tuple[Look, Callable[[], bool]]:
    """How a run ends after so many updates: by being asked to, or it is gone."""
    reached = []

    def look(driver: Driver) -> None:
        if driver.progress.grad_steps >= updates:
            reached.append(True)
            if not softly:
                raise Killed

    return look, lambda: softly and bool(reached)


@pytest.mark.parametrize("softly", [False, True])
@pytest.mark.parametrize("after", [70, 80, 90, 160])
def test_a_run_goes_on_in_a_pause_where_it_ended(
    data: str, tmp_path: Path, undisturbed: tuple[Array, Driver], after: int, softly: bool
) -> None:
    config, (vector, whole) = config_of(data), undisturbed
    look, stop = ends(after, softly=softly)
    try:
        run(config, InlineRuntime(RESOURCES), tmp_path, look=look, stop=stop)
    except Killed:
        assert not softly
    shards = replace(config, shards=2)
    resumed, _, driver = run(shards, InlineRuntime(RESOURCES), tmp_path, session=1)
    np.testing.assert_array_equal(resumed, vector)
    assert driver.progress.let_off == whole.progress.let_off
    assert driver.progress.grad_steps == whole.progress.grad_steps


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_on_ray_pauses_give_the_same_numbers(data: str, tmp_path: Path) -> None:
    config = replace(config_of(data, patience=None), workers=1)
    posted, _, _ = run(config, RayRuntime(), tmp_path / "ray")
    called, _, _ = run(config, InlineRuntime(RESOURCES), tmp_path / "inline")
    np.testing.assert_array_equal(posted, called)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"round_steps": 50}, "online.pause_steps"),
        ({"updates_per_step": 0.01}, "online.updates_per_step"),
    ],
)
def test_what_cannot_hold_together_is_named(data: str, changed: dict[str, Any], path: str) -> None:
    config = config_of(data)
    assert not list(config.problems())
    online = replace(config.online, **changed)
    assert [found for found, _ in replace(config, online=online).problems()] == [path]


def test_a_method_without_such_updates_is_refused(data: str) -> None:
    config = replace(config_of(data), algorithm=small_config(data).algorithm)
    assert [path for path, _ in config.problems()] == ["online.pause_steps"]
