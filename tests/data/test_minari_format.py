"""Minari: every field of every episode in its three forms, and wrong folders by name."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awac_dist.data.formats.minari import FORMAT
from awac_dist.data.record import begin, go_on, record_of
from awac_dist.data.sources import read_share
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")
data_collector = pytest.importorskip("minari.data_collector")

FORMS = ("hdf5", "arrow", "parquet")
NAME = "counting/medium-v3"
STEPS = (4, 3, 2, 3)
FLAGS = [(True, False), (False, True), (True, True), (False, False)]  # the last one is cut
BOX = spaces.Box(-np.inf, np.inf, (3,), np.float64)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
GOAL = spaces.Box(-np.inf, np.inf, (2,), np.float64)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    return tmp_path / "store"


def rows(number: int) -> np.ndarray:
    t = np.arange(STEPS[number] + 1) + 100.0 * number
    return np.stack([t, 10 * t, -t], axis=1)


def buffer(number: int, **changes: Any) -> Any:
    steps = STEPS[number]
    at_end = np.arange(steps) == steps - 1
    columns: dict[str, Any] = {
        "observations": rows(number),
        "actions": np.stack([np.arange(steps) / 8, -np.arange(steps) / 8], 1).astype(np.float32),
        "rewards": list(np.arange(steps) / 4 + number),
        "terminations": list(at_end & FLAGS[number][0]),
        "truncations": list(at_end & FLAGS[number][1]),
        "infos": {"success": [False] * steps + [True]},  # Minari cannot read an array of them
        "seed": 40 + number if number else None,
    }
    return data_collector.EpisodeBuffer(**{**columns, **changes})


def write(form: str = "hdf5", buffers: Any = None, space: Any = BOX, **named: Any) -> str:
    minari.create_dataset_from_buffers(
        NAME,
        buffer=buffers or [buffer(number) for number in range(4)],
        observation_space=space,
        action_space=named.pop("actions", ACTIONS),
        data_format=form,
        algorithm_name="hand",
        **named,
    )
    return NAME


def read(path: str, share: tuple[int, int] = (0, 1)) -> list[Episode]:
    return [episode for _, episode in FORMAT.read(path, share)]


def check(episode: Episode, number: int) -> None:
    steps, (terminated, truncated) = STEPS[number], FLAGS[number]
    np.testing.assert_array_equal(episode.observations, rows(number))
    t = np.arange(steps)
    np.testing.assert_array_equal(episode.actions, np.stack([t / 8, -t / 8], 1))
    np.testing.assert_array_equal(episode.rewards, t / 4 + number)
    assert episode.successes is not None
    np.testing.assert_array_equal(episode.successes, t == steps - 1)
    for column in (episode.observations, episode.actions, episode.rewards, episode.successes):
        assert column.dtype == np.float32
    assert (episode.terminated, episode.truncated) == (terminated, truncated and not terminated)
    assert episode.origin == Origin("prior", episode=number, seed=40 + number if number else -1)
    assert episode.desired_goals is episode.achieved_goals is None


@pytest.mark.parametrize("form", FORMS)
def test_every_field_of_every_episode(root: Path, form: str) -> None:
    write(form)
    for path in (NAME, str(root / NAME), str(root / NAME / "data")):
        assert FORMAT.recognises(path)
        info = FORMAT.describe(path)
        assert (info.observation_size, info.action_size, info.episodes) == (3, 2, 4)
        wanted = {"dataset_id": NAME, "algorithm_name": "hand", "data_format": form}
        assert wanted.items() <= info.facts.items()
        episodes = read(path)
        assert len(episodes) == 4
        for number, episode in enumerate(episodes):
            check(episode, number)


def test_the_task_is_named(root: Path) -> None:
    pendulum = spaces.Box(-8, 8, (3,), np.float32)
    env = gymnasium.make("Pendulum-v1", render_mode="rgb_array", g=9.5)
    write(space=pendulum, env=env.spec)
    info = FORMAT.describe(NAME)
    assert (info.env_id, info.facts["environment options"]) == ("Pendulum-v1", "{'g': 9.5}")
    assert info.bounds == ((-1.0, -1.0), (1.0, 1.0))


def test_an_id_may_be_marked_as_one_and_is_known_again_by_its_content(root: Path) -> None:
    write()
    spec = EnvSpec("Any-v0", 3, 2, (-1.0, -1.0), (1.0, 1.0), 10)
    began = begin([f"minari:{NAME},weight=2"], spec)
    assert [len(e) for _, e in read_share(began[0], spec, 0, 1)] == list(STEPS)
    assert go_on(record_of(began), [], spec) == began
    assert go_on(record_of(began), [str(root / NAME)], spec)[0].files[0].path == str(root / NAME)
    with (root / NAME / "data/main_data.hdf5").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match=f"^{NAME}: is not what it was"):
        go_on(record_of(began), [], spec)


@pytest.mark.parametrize("form", FORMS)
def test_goal_environments_fill_the_goals(form: str) -> None:
    space = spaces.Dict({"observation": BOX, "desired_goal": GOAL, "achieved_goal": GOAL})
    parts = {
        "observation": rows(0), "desired_goal": rows(0)[:, :2] + 7, "achieved_goal": rows(0)[:, 1:],
    }  # fmt: skip
    write(form, [buffer(0, observations=parts)], space)
    (episode,) = read(NAME)
    np.testing.assert_array_equal(episode.observations, rows(0))
    np.testing.assert_array_equal(episode.desired_goals, rows(0)[:, :2] + 7)
    np.testing.assert_array_equal(episode.achieved_goals, rows(0)[:, 1:])
    assert FORMAT.describe(NAME).observation_size == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_shares_partition_the_dataset(form: str, of: int) -> None:
    write(form)
    pairs = [pair for index in range(of) for pair in FORMAT.read(NAME, (index, of))]
    assert sorted(number for number, _ in pairs) == [0, 1, 2, 3]
    for number, episode in pairs:
        check(episode, number)
    assert all(number % of == 0 for number, _ in FORMAT.read(NAME, (0, of)))


def refused(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        assert FORMAT.describe(path).episodes == len(read(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(": ") >= 1


def test_other_spaces_are_refused_by_name(root: Path) -> None:
    write(space=spaces.Dict({"left": BOX, "right": BOX}), buffers=[
        buffer(0, observations={"left": rows(0), "right": rows(0)})
    ])  # fmt: skip
    refused(NAME, "keys left, right")
    shutil.rmtree(root)
    write(actions=spaces.Discrete(3), buffers=[buffer(0, actions=np.zeros(4, np.int64))])
    refused(NAME, "action space .*Discrete.* is no Box of floats")


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_nan_are_read(form: str) -> None:
    write(form, [buffer(0), buffer(1, rewards=[0.0, np.nan, 0.0])])
    assert [int(np.isnan(episode.rewards).sum()) for episode in read(NAME)] == [0, 1]


def edit(root: Path, **changes: Any) -> None:
    """Change the metadata; None takes an entry away."""
    path = root / NAME / "data" / "metadata.json"
    found = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in found.items() if v is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_format": "zarr"}, "data_format is zarr"),
        ({"observation_space": None}, "lacks observation_space"),
        ({"action_space": None}, "lacks action_space"),
        ({"observation_space": "{}"}, "cannot be read as a Minari dataset"),
        ({"minari_version": "9.9"}, "does not support"),
        ({"total_episodes": 0}, "total_episodes is 0"),
        ({"total_episodes": 6}, "episode"),
    ],
)
def test_damaged_metadata_is_named(root: Path, changes: dict[str, Any], message: str) -> None:
    write()
    edit(root, **changes)
    refused(NAME, message)


def test_an_environment_that_a_file_names_is_never_built(root: Path) -> None:
    write()
    trap = root / "trap"
    spec = {"id": "Trap-v0", "entry_point": "os:mkdir", "kwargs": {"path": str(trap)}}
    edit(root, observation_space=None, action_space=None, env_spec=json.dumps(spec))
    refused(NAME, "lacks observation_space")
    assert not trap.exists()


def replace(root: Path, name: str, values: Any) -> None:
    with h5py.File(root / NAME / "data" / "main_data.hdf5", "a") as file:
        del file[f"episode_1/{name}"]
        if values is not None:
            file[f"episode_1/{name}"] = values


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("rewards", np.zeros(2), "episode 1: rewards has shape"),
        ("rewards", None, "episode 1: column rewards is missing"),
        ("rewards", np.array([b"a"] * 3), "episode 1: rewards has shape"),
        ("actions", np.zeros(3), r"episode 1: actions has shape \(3,\)"),
        ("actions", np.zeros((3, 5)), r"episode 1: actions has shape \(3, 5\)"),
        ("observations", np.zeros((3, 3)), "episode 1: observations/observation has shape"),
        ("terminations", np.zeros(0, bool), "episode 1: terminations has shape"),
    ],
)
def test_damaged_episodes_are_named(root: Path, name: str, values: Any, message: str) -> None:
    write()
    replace(root, name, values)
    refused(NAME, message)
    assert len(read(NAME, (0, 2))) == 2


def test_folders_that_are_not_minari(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metadata.json").write_text("no JSON")
    for path in (tmp_path / "empty", tmp_path / "other", tmp_path / "absent"):
        assert not FORMAT.recognises(str(path))
        refused(str(path), "metadata.json")
    write()
    main = root / NAME / "data" / "main_data.hdf5"
    main.write_text("text")
    refused(NAME, "cannot be read as HDF5")
    main.unlink()
    refused(NAME, "No data found")


def test_an_id_is_recognised_by_its_form_without_a_download(monkeypatch: Any) -> None:
    monkeypatch.setattr(minari, "download_dataset", lambda name: pytest.fail("downloads"))
    assert FORMAT.recognises("mujoco/hopper/medium-v0")
    for other in ("door-v0_demos.pickle", "/a/b-v0", "s3://bucket/a-v0", "halfcheetah"):
        assert not FORMAT.recognises(other)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("refused\nby all"), "no network.*minari download mujoco/hopper/x-v0"),
        (ValueError("Couldn't find any version"), "mujoco/hopper/x-v0: not found"),
        (ImportError("huggingface_hub"), r"pip install 'awac_dist\[data\]'"),
    ],
)
def test_a_download_that_fails_is_one_line(monkeypatch: Any, error: Any, message: str) -> None:
    def download(name: str) -> None:
        raise error

    monkeypatch.setattr(minari, "download_dataset", download)
    refused("mujoco/hopper/x-v0", message)


def test_an_id_that_is_not_here_is_downloaded(monkeypatch: Any) -> None:
    monkeypatch.setattr(minari, "download_dataset", lambda name: write())
    assert FORMAT.describe(NAME).episodes == 4


def test_a_missing_minari_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    refused(NAME, r"pip install 'awac_dist\[data\]'")


@pytest.mark.parametrize("form", FORMS)
def test_any_damage_gives_episodes_or_a_clear_error(root: Path, form: str) -> None:
    write(form)
    files = sorted(path for path in (root / NAME).rglob("*") if path.is_file())
    whole = {path: path.read_bytes() for path in files}

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def damage(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(files))
        damaged = bytearray(whole[path])
        places = st.integers(0, len(damaged) - 1)
        for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
            damaged[place] = byte
        path.write_bytes(damaged[: data.draw(st.one_of(st.none(), places))])
        try:
            FORMAT.recognises(NAME)
            info = FORMAT.describe(str(root / NAME))
            for episode in read(str(root / NAME)):
                assert episode.observations.shape == (len(episode) + 1, info.observation_size)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017  either outcome is right
        finally:
            path.write_bytes(whole[path])

    damage()
