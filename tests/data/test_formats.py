"""The laws of the table of formats: each is silent about what is another's, or nobody's, and reads
what nobody can learn from, so that it can be counted, told and left out.
"""

import json
import pickle
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.spaces import Box

from awac_dist.cli.main import main
from awac_dist.cli.survey import survey
from awac_dist.cli.validate import findings
from awac_dist.data.journal import FORMAT as JOURNAL
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import FORMATS, episodes, find, open_source, read_share
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin

NOBODYS = {
    "empty.hdf5": b"",
    "empty.parquet": b"",
    "text.pickle": b"hello\n",
    "noise.npy": bytes(range(256)),
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "table.csv": b"a,b\n1,2\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_silent_about_what_is_nobodys(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for file, content in NOBODYS.items():
        (tmp_path / file).write_bytes(content)
    for path in (*tmp_path.iterdir(), tmp_path / "absent", tmp_path / "absent.hdf5"):
        assert not FORMATS[name].recognises(str(path)), path.name


@pytest.mark.parametrize("name", [name for name, its in FORMATS.items() if its.choices])
def test_a_number_a_step_is_made_of_one_key(name: str) -> None:
    with pytest.raises(InputError, match=r"f: rewards=a\+b: has one number a step: name one key"):
        FORMATS[name].describe("f", {"rewards": ("a", "b")})


def test_one_format_and_no_other_recognises_our_parquet() -> None:
    folder = resources.files("awac_dist.data") / "embedded"
    files = [str(file) for file in folder.iterdir() if file.name.endswith(".parquet")]
    assert files
    for file in files:
        assert [name for name, one in FORMATS.items() if one.recognises(file)] == [
            "awac_dist Parquet"
        ]


# NaN and infinity.

SPEC = EnvSpec("Counting-v0", 3, 2, (-1.0, -1.0), (1.0, 1.0), 10)
STEPS, EPISODES, SPOILT = 4, 3, 1
Columns = dict[str, np.ndarray]


def whole(number: int) -> Columns:
    """An episode; of one, some numbers of the first three steps are none."""
    rng = np.random.default_rng(number)
    found = {
        "observations": rng.normal(size=(STEPS + 1, 3)),
        "actions": rng.uniform(-1, 1, (STEPS, 2)),
        "rewards": rng.normal(size=STEPS),
    }
    if number == SPOILT:
        found["observations"][1, 2] = found["observations"][2, 0] = np.nan
        found["actions"][2, 1] = np.inf
        found["rewards"][0] = 1e300  # infinite in float32
    return found


def steps_of(number: int) -> Columns:
    """One row a step, each with what followed it."""
    found = whole(number)
    rows, following = found["observations"][:-1], found["observations"][1:]
    timeouts = np.arange(STEPS) == STEPS - 1
    return {**found, "observations": rows, "next_observations": following, "timeouts": timeouts}


def flat() -> Columns:
    parts = [{**steps_of(n), "terminals": np.zeros(STEPS)} for n in range(EPISODES)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_ours(path: Path) -> None:
    with np.errstate(over="ignore"):
        columns = [{n: np.float32(c) for n, c in whole(k).items()} for k in range(EPISODES)]
    ends: dict[str, Any] = {"terminated": False, "truncated": True, "origin": Origin("prior")}
    write_episodes(str(path), [Episode(**its, **ends) for its in columns], SPEC)


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([whole(n) for n in range(EPISODES)], object), allow_pickle=True)


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **flat())


def write_hdf5(path: Path, columns: Columns) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values


def robomimic_columns() -> Columns:
    found: Columns = {}
    for number in range(EPISODES):
        own = steps_of(number)
        own |= {"obs/state": own["observations"], "next_obs/state": own["next_observations"]}
        own["dones"] = own["timeouts"]
        names = ("actions", "rewards", "dones", "obs/state", "next_obs/state")
        found |= {f"data/demo_{number}/{name}": own[name] for name in names}
    return found


def write_minari(path: Path) -> None:
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    ends = {"terminations": [False] * STEPS, "truncations": [False] * (STEPS - 1) + [True]}
    buffers = [
        EpisodeBuffer(**{**whole(n), "rewards": whole(n)["rewards"].tolist()}, **ends)
        for n in range(EPISODES)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(path.parent))
        boxes = {n: Box(-np.inf, np.inf, (size,), np.float64) for n, size in (("o", 3), ("a", 2))}
        spaces = {"observation_space": boxes["o"], "action_space": boxes["a"]}
        made = minari.create_dataset_from_buffers("any-v0", buffer=buffers, **spaces)
    Path(made.storage.data_path).parent.rename(path)


def write_rows(path: Path, names: dict[str, str], **more: Any) -> None:
    parts = [
        {names[name]: list(c) for name, c in steps_of(n).items() if name in names}
        | {its: values(n) for its, values in more.items()}
        for n in range(EPISODES)
    ]
    pq.write_table(pa.concat_tables(pa.table(part) for part in parts), path)


def write_rllib(path: Path) -> None:
    names = {"observations": "obs", "next_observations": "new_obs", "timeouts": "truncateds"}
    same = {"actions": "actions", "rewards": "rewards"}
    write_rows(path, names | same, eps_id=lambda n: [f"id{n}"] * STEPS)


def write_lerobot(path: Path) -> None:
    (path / "meta").mkdir(parents=True)
    (path / "data").mkdir()
    (path / "meta/info.json").write_text(json.dumps({"codebase_version": "v2.1"}))
    names = {"observations": "observation.state", "actions": "action", "rewards": "next.reward"}
    numbers = {"episode_index": lambda n: [n] * STEPS, "frame_index": lambda _: range(STEPS)}
    write_rows(path / "data/all.parquet", names, **numbers)


WRITERS: dict[str, Callable[[Path], object]] = {
    "awac_dist Parquet": write_ours,
    "RLlib Parquet": write_rllib,
    "LeRobot": write_lerobot,
    "Minari": write_minari,
    "robomimic HDF5": lambda path: write_hdf5(path, robomimic_columns()),
    "D4RL HDF5": lambda path: write_hdf5(path, flat()),
    "demonstration pickle": lambda path: path.write_bytes(
        pickle.dumps([whole(n) for n in range(EPISODES)])
    ),
    "AWAC .npy": write_npy,
    "NumPy .npz": write_npz,
}


@pytest.fixture(params=WRITERS)
def spoilt(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file of three episodes, the second of which nobody can learn from."""
    path = tmp_path / "data"
    WRITERS[request.param](path)
    (file,) = find(str(path)).files
    assert file.format == request.param
    return str(path)


def test_every_format_is_here() -> None:
    assert WRITERS.keys() | {JOURNAL.name} == FORMATS.keys()


@pytest.mark.filterwarnings("error::RuntimeWarning")  # which would reach the screen
def test_what_nobody_can_learn_from_is_counted_and_told_with_its_place(spoilt: str) -> None:
    found = survey(find(spoilt))
    assert len(found.episodes) == EPISODES
    assert found.unusable == {"observations": 2, "actions": 1, "rewards": 1}
    told = [line for line in findings([spoilt], None, set()) if ": leave the episode out" in line]
    places = [
        "row 1, column observations[2] and 1 more entries: NaN",
        "row 2, column actions[1]: infinite",
        "row 0, column rewards: infinite",
    ]
    (path,) = {file.path for file in found.files}
    assert [line.partition(": leave")[0] for line in told] == [
        f"{path}: episode {SPOILT}, {place}" for place in places
    ]


def test_a_run_refuses_it(spoilt: str) -> None:
    told = rf"episode {SPOILT}, row 1: observations is NaN: drop that episode"
    with pytest.raises(InputError, match=told):
        list(read_share(open_source(spoilt, SPEC), SPEC, 0, 1))


def test_a_conversion_leaves_it_out(
    spoilt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "converted.parquet"
    words = ["data", "convert", spoilt, "--to", str(target), "--env", SPEC.env_id]
    assert main(words) == 0
    told = capsys.readouterr().out.splitlines()
    assert "dropped  1 that hold NaN or a number beyond 1.8e+19" in told
    assert len([*read_share(open_source(str(target), SPEC), SPEC, 0, 1)]) == EPISODES - 1


@pytest.mark.parametrize("number", [np.nan, -np.inf, 1.9e19])
def test_what_a_run_refuses_is_what_a_conversion_leaves_out(number: float, tmp_path: Path) -> None:
    columns = flat()
    usable = {name: its[:STEPS] for name, its in columns.items()}
    wrong = {**usable, "rewards": np.where(np.arange(STEPS) == 2, number, usable["rewards"])}
    source, target = tmp_path / "source.npz", tmp_path / "converted.parquet"
    np.savez(source, **{name: np.concatenate([usable[name], wrong[name]]) for name in columns})
    assert survey(find(str(source))).unusable == {"rewards": 1}
    with pytest.raises(InputError, match="episode 1, row 2: rewards is"):
        list(read_share(open_source(str(source), SPEC), SPEC, 0, 1))
    words = ["data", "convert", str(source), "--to", str(target), "--env", SPEC.env_id]
    assert main(words) == 0
    assert len([*read_share(open_source(str(target), SPEC), SPEC, 0, 1)]) == 1


def flags_of(column: str) -> dict[str, Columns]:
    """Formats whose flag tells how steps belong together, with one that is none."""
    spoilt = np.zeros(EPISODES * STEPS)
    spoilt[1] = np.nan
    return {"D4RL HDF5": flat() | {column: spoilt}, "NumPy .npz": flat() | {column: spoilt}}


@pytest.mark.parametrize("column", ["terminals", "timeouts"])
@pytest.mark.parametrize("name", flags_of("terminals"))
def test_a_flag_that_says_neither_is_refused(name: str, column: str, tmp_path: Path) -> None:
    columns, path = flags_of(column)[name], tmp_path / "data"
    if name == "D4RL HDF5":
        write_hdf5(path, columns)
    else:
        with path.open("wb") as file:
            np.savez(file, **columns)
    with pytest.raises(InputError, match="NaN"):
        [*episodes(find(str(path)))]
