"""Episodes of a goal task have their goals, all of them, wherever they are written or read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from environments import GOALS

from awac_dist.cli.main import main
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import open_source, read_share
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.types import Episode, Origin

SPEC, STEPS = env_spec(GOALS), 3
Change = Callable[[dict[str, Any]], dict[str, Any]]


def columns() -> dict[str, Any]:
    rows, rng = STEPS + 1, np.random.default_rng(0)
    vectors = {"observations": rows, "desired_goals": rows, "achieved_goals": rows}
    found = {name: rng.normal(size=(n, 2)) for name, n in {**vectors, "actions": STEPS}.items()}
    found["actions"] = np.clip(found["actions"], -0.5, 0.5)
    return {**found, "rewards": rng.normal(size=STEPS), "terminated": False, "truncated": True}


def without(name: str) -> Change:
    return lambda found: {its: value for its, value in found.items() if its != name}


def narrower(name: str) -> Change:
    return lambda found: {**found, name: found[name][:, :1]}


FAULTS: dict[str, tuple[Change, str]] = {
    "one missing": (without("achieved_goals"), "achieved_goals: is missing"),
    "null": (lambda found: {**found, "desired_goals": None}, "desired_goals: is missing"),
    "another width": (narrower("desired_goals"), r"desired_goals: has shape \(4, 1\)"),
    "achieved narrower": (narrower("achieved_goals"), r"achieved_goals: has shape \(4, 1\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_lacks_goals_is_named(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, told = FAULTS[fault]
    path = str(tmp_path / "a.parquet")
    rows = [columns(), change(columns())]
    known = [{n: v for n, v in row.items() if v is not None} for row in rows]
    listed = [{n: v if np.ndim(v) < 2 else list(v) for n, v in row.items()} for row in known]
    table = pandas.DataFrame(listed)
    table.to_parquet(path)
    source = open_source(path, SPEC)
    with pytest.raises(InputError, match=rf"a\.parquet: episode 1: {told}, and the task needs"):
        list(read_share(source, SPEC, 0, 1))
    for words in ([], ["--env", GOALS]):
        assert main(["data", "validate", path, *words]) == 1
        assert f"{path}: episode 1, column {told.split(':')[0]}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["desired_goals", "achieved_goals"])
def test_no_file_of_a_goal_task_is_written_without_goals(name: str, tmp_path: Path) -> None:
    whole = Episode(**columns(), origin=Origin("prior"))
    for column in (None, np.zeros((STEPS + 1, 1))):
        lacking: Any = replace(whole, **{name: column})
        with pytest.raises(InputError, match=f"episode 1: {name}: "):
            write_episodes(str(tmp_path / "a.parquet"), [whole, lacking], SPEC)
    assert list(tmp_path.iterdir()) == []
    write_episodes(str(tmp_path / "a.parquet"), [whole], SPEC)
    assert main(["data", "validate", str(tmp_path / "a.parquet"), "--env", GOALS]) == 0
