"""On-policy rounds: a learner's death, or a new session, makes none be learned from too late."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from on_policy import check_rounds, updates_of_rounds
from running import run, small_config

from awac_dist.config import OnlineConfig, RunConfig
from awac_dist.errors import ComponentDied
from awac_dist.learner.learner import Learner
from awac_dist.runs.runtime import InlineRuntime, Resources

RESOURCES = Resources((2.0,), gpus=0)
STEPS, EACH = 60, 6  # of a round: steps, updates
Mode = Literal["sync", "async"]


class Killed(Exception):  # noqa: N818 - says what happened
    """The whole run is gone."""


def config_of(mode: Mode, shards: int = 2) -> RunConfig:
    """Eight rounds, and a checkpoint before the first alone."""
    config = small_config("")
    return replace(
        config,
        data=(),
        mode=mode,
        shards=shards,
        clone=replace(config.clone, updates=0),
        offline=replace(config.offline, updates=0),
        online=OnlineConfig(env_steps=8 * STEPS, round_steps=STEPS, updates_per_step=EACH / STEPS),
        evaluation=replace(config.evaluation, episodes=0, every_updates=1000),
        rollout=replace(config.rollout, fragment_steps=15),
        learner=replace(config.learner, batch_size=STEPS, updates_per_call=3),
    )


def kill(driver: Any) -> None:
    """End a run in the midst of its sixth round."""
    if driver.progress.env_steps > 5 * STEPS:
        raise Killed


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("call", "lost"), [(1, 0), (2, 0), (9, 5)])
def test_lost_rounds_are_not_learned_from(
    mode: Mode, call: int, lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learner dies over half a round's updates; the first round can be learned from again."""
    update, calls = Learner.update, []

    def die(learner: Learner, *arguments: Any) -> Any:
        calls.append(0)
        if len(calls) == call:
            raise ComponentDied("killed by the test")
        return update(learner, *arguments)

    monkeypatch.setattr(Learner, "update", die)
    with updates_of_rounds() as learned:
        _, witness, driver = run(config_of(mode), InlineRuntime(RESOURCES), tmp_path)
    assert len(witness.deaths) == 1
    check_rounds(learned, str(tmp_path), EACH)
    progress = driver.progress
    assert (progress.env_steps, progress.updates) == (8 * STEPS, 8 * EACH)
    assert progress.let_off == lost * EACH
    assert any("30 updates are not made" in note for note in witness.notes) == (lost > 0)


def test_a_new_session_begins_with_a_whole_round(tmp_path: Path) -> None:
    config = config_of("async")
    with updates_of_rounds() as learned:
        with pytest.raises(Killed):
            run(config, InlineRuntime(RESOURCES), tmp_path, look=kill)
        _, _, driver = run(config, InlineRuntime(RESOURCES), tmp_path, session=1)
    check_rounds(learned, str(tmp_path), EACH)
    assert driver.progress.let_off == 6 * EACH  # five rounds, and what was begun of the sixth
    assert [its.before for its in learned] == [*range(5 * EACH), *range(2 * EACH)]


def test_a_sync_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, _, _ = run(config_of("sync"), InlineRuntime(RESOURCES), tmp_path / "whole")
    with pytest.raises(Killed):
        run(config_of("sync"), InlineRuntime(RESOURCES), tmp_path / "killed", look=kill)
    resumed = config_of("sync", shards=1)
    vector, _, driver = run(resumed, InlineRuntime(RESOURCES), tmp_path / "killed", session=1)
    np.testing.assert_array_equal(vector, whole)
    assert driver.progress.let_off == 0
