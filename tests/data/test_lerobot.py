"""LeRobot's folders: every field of every episode, whatever the files are cut into."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from awac_dist.cli.main import main
from awac_dist.data import sources
from awac_dist.data.formats.lerobot import FORMAT
from awac_dist.errors import InputError
from awac_dist.types import Episode, Origin

LENGTHS = (4, 3, 5)
SUCCESSES = (True, False, True)


def frames(number: int, **changes: Any) -> pa.Table:
    """Counting frames of an episode: its state is (t, -t) from 10 x its number on."""
    steps = LENGTHS[number]
    t = np.arange(steps) + 10.0 * number
    found = {
        "observation.state": pa.array(list(np.stack([t, -t], 1).astype(np.float32))),
        "action": pa.array(list(np.stack([t / 8], 1).astype(np.float32))),
        "next.reward": pa.array((t / 4).astype(np.float32)),
        "next.done": np.arange(steps) == steps - 1,
        "next.success": (np.arange(steps) == steps - 1) & SUCCESSES[number],
        "timestamp": t / 10,
        "frame_index": np.arange(steps),
        "episode_index": np.full(steps, number),
        "task_index": np.zeros(steps, np.int64),
    }
    whole = {**found, **changes}
    return pa.table({name: values for name, values in whole.items() if values is not None})


def write(root: Path, version: str = "v2.1", **changes: Any) -> str:
    (root / "meta").mkdir(parents=True)
    info = {"codebase_version": version, "robot_type": "so100", "fps": 10, "features": {}}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    chunk = root / "data" / "chunk-000"
    chunk.mkdir(parents=True)
    tables = [frames(number, **changes) for number in range(3)]
    if version.startswith("v2"):
        for number, table in enumerate(tables):
            pq.write_table(table, chunk / f"episode_{number:06d}.parquet")
    else:
        pq.write_table(pa.concat_tables(tables[:2]), chunk / "file-000.parquet")
        pq.write_table(tables[2], chunk / "file-001.parquet")
    return str(root)


def read(path: str, **keys: tuple[str, ...]) -> list[Episode]:
    return [episode for _, episode in FORMAT.read(path, (0, 1), keys)]


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
def test_every_field_of_every_episode(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "set", version)
    (file,) = sources.find(path).files
    assert file.format == "LeRobot"
    info = FORMAT.describe(path)
    assert (info.observation_size, info.action_size, info.episodes) == (2, 1, 3)
    assert info.facts["codebase_version"] == version
    for number, episode in enumerate(read(path)):
        steps = LENGTHS[number] - (not SUCCESSES[number])  # nothing is known to follow the last
        t = np.arange(steps + 1) + 10.0 * number
        states = np.stack([t, -t], 1)
        states[-1] = states[min(steps, LENGTHS[number] - 1)]
        np.testing.assert_array_equal(episode.observations, states)
        np.testing.assert_array_equal(episode.actions, t[:-1, None] / 8)
        np.testing.assert_array_equal(episode.rewards, t[:-1] / 4)
        assert (episode.terminated, episode.truncated) == (SUCCESSES[number], not SUCCESSES[number])
        assert episode.successes is not None
        assert episode.successes.sum() == SUCCESSES[number]
        assert episode.origin == Origin("demonstration", episode=number)


@pytest.mark.parametrize("query", ["", "?region=us-east-1"])
def test_it_may_be_at_a_uri(tmp_path: Path, query: str) -> None:
    uri = f"{Path(write(tmp_path / 'my set')).as_uri()}{query}"
    (file,) = sources.find(uri).files
    assert file.format == "LeRobot"
    assert [len(episode) for episode in read(file.path)] == [4, 2, 5]


def test_shares_partition_the_episodes(tmp_path: Path) -> None:
    path = write(tmp_path / "set", "v3.0")
    shares = [[number for number, _ in FORMAT.read(path, (index, 2))] for index in (0, 1)]
    assert shares == [[0, 2], [1]]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_one_frame_without_success_is_left_out(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LENGTHS", (1, 1, 5))  # the first is a success
    path = write(tmp_path / "set", version)
    assert FORMAT.describe(path).episodes == 2
    shares = [pair for index in (0, 1) for pair in FORMAT.read(path, (index, 2))]
    assert [(number, len(episode)) for number, episode in shares] == [(0, 1), (1, 5)]


def test_teleoperation_without_rewards_is_read_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "set", **{"next.reward": None, "next.success": None})
    assert "0 is taken" in FORMAT.describe(path).facts["rewards"]
    found = read(path)
    assert all(not episode.rewards.any() and episode.truncated for episode in found)
    assert all(episode.successes is None for episode in found)


def test_the_user_chooses_the_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "set")
    (found, *_) = read(path, observations=("timestamp", "observation.state"))
    np.testing.assert_allclose(found.observations[:, 0], found.observations[:, 1] / 10, 1e-6)
    with pytest.raises(InputError, match="every file: observations: no 'gone' among 'action', "):
        read(path, observations=("gone",))


def test_files_beside_a_dataset_are_not_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.parquet").write_text("not a table")
    path = write(tmp_path / "arm")
    assert main(["data", "validate", path]) == 0
    assert f"nothing wrong in {path}" in capsys.readouterr().out


def test_a_folder_without_its_data_is_one_line(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "set"))
    for file in path.glob("data/*/*"):
        file.unlink()
    with pytest.raises(InputError, match=r"data/ holds no Parquet files"):
        FORMAT.describe(str(path))
