"""robomimic HDF5: every field of every demonstration, and wrong files by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import assert_episodes_or_a_clear_error, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awac_dist.data.formats.robomimic import FORMAT
from awac_dist.errors import InputError
from awac_dist.types import Episode, Origin

h5py = pytest.importorskip("h5py")

LENGTHS = {0: 4, 1: 3, 2: 2, 10: 3}  # k: steps; 1 ends in no success
ARGUMENTS = {"env_name": "Lift", "env_type": 1, "env_kwargs": {"reward_shaping": False}}


def demo(k: int, **changes: Any) -> dict[str, Any]:
    """Counting columns of demonstration k, written in an order that is not alphabetical."""
    steps = LENGTHS[k]
    t = np.arange(steps + 1, dtype=np.float64) + 100 * k
    rewards = np.zeros(steps)
    rewards[-1] = k != 1
    found = {
        "actions": np.stack([t[:-1] / 100, -t[:-1] / 100], axis=1),
        "rewards": rewards,
        "dones": np.arange(steps) == steps - 1,
        "states": np.zeros((steps, 9)),
    }
    for folder, rows in (("obs", t[:-1]), ("next_obs", t[1:])):
        found[f"{folder}/robot0_eef_pos"] = np.stack([rows, rows, rows], axis=1)
        found[f"{folder}/object"] = np.stack([10 * rows, 10 * rows], axis=1)
        found[f"{folder}/gripper"] = -rows
        found[f"{folder}/agentview_image"] = np.zeros((steps, 4, 4, 3), np.uint8)
        found[f"{folder}/label"] = np.array([b"x"] * steps)
    found = {**found, **{name.replace("__", "/"): v for name, v in changes.items()}}
    return {name: values for name, values in found.items() if values is not None}


def write(path: Path, demos: dict[int, dict[str, Any]] | None = None, **arguments: Any) -> str:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(LENGTHS.values())
        data.attrs["env_args"] = json.dumps({**ARGUMENTS, **arguments}, indent=4)
        for k in (10, 2, 0, 1):
            columns = demo(k) if demos is None or k not in demos else demos[k]
            for name, values in columns.items():
                data.create_dataset(f"demo_{k}/{name}", data=values)
        file["mask/train"] = np.array([b"demo_0"])
    return str(path)


def without_next(k: int, **changes: Any) -> dict[str, Any]:
    return {n: v for n, v in demo(k, **changes).items() if not n.startswith("next_obs")}


def read(path: str, share: tuple[int, int] = (0, 1)) -> list[Episode]:
    return [episode for _, episode in FORMAT.read(path, share)]


def observations(k: int, rows: int) -> np.ndarray:
    """gripper, object, robot0_eef_pos: the order of the alphabet."""
    t = np.arange(rows, dtype=np.float32) + 100 * k
    return np.stack([-t, 10 * t, 10 * t, t, t, t], axis=1)


def check(episode: Episode, number: int, k: int, *, solved: bool) -> None:
    steps = LENGTHS[k]
    t = np.arange(steps, dtype=np.float64) + 100 * k
    np.testing.assert_array_equal(episode.observations, observations(k, steps + 1))
    actions = np.stack([t / 100, -t / 100], axis=1).astype(np.float32)
    np.testing.assert_array_equal(episode.actions, actions)
    ends = (np.arange(steps) == steps - 1) * float(solved)
    np.testing.assert_array_equal(episode.rewards, ends)
    assert episode.successes is not None
    np.testing.assert_array_equal(episode.successes, ends)
    for column in (episode.observations, episode.actions, episode.rewards, episode.successes):
        assert column.dtype == np.float32
    assert (episode.terminated, episode.truncated) == (solved, not solved)
    assert episode.origin == Origin("demonstration", episode=number)
    assert episode.desired_goals is episode.achieved_goals is None


def test_every_field_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5")
    found = list(FORMAT.read(path, (0, 1)))
    assert [number for number, _ in found] == [0, 1, 2, 3]
    for (number, episode), k in zip(found, (0, 1, 2, 10), strict=True):
        check(episode, number, k, solved=k != 1)


def test_describes_the_order_of_the_keys(tmp_path: Path) -> None:
    info = FORMAT.describe(write(tmp_path / "a.hdf5"))
    sizes = (info.observation_size, info.action_size, info.episodes)
    assert (info.env_id, *sizes) == ("Lift", 6, 2, 4)
    assert info.facts["observation"] == "gripper[1], object[2], robot0_eef_pos[3]"
    assert info.facts["observation keys left out"] == "agentview_image, label"
    assert info.facts["env_type"] == "1"


@pytest.mark.parametrize("repeated", [False, True])
def test_without_a_successor_only_a_terminated_last_step_stays(
    tmp_path: Path, repeated: bool
) -> None:
    demos = {k: without_next(k) for k in LENGTHS}
    if repeated:  # as convert_d4rl.py writes the end of every trajectory
        for k, columns in demos.items():
            obs = {n: v for n, v in columns.items() if n.startswith("obs/")}
            whole = demo(k)
            for name, values in obs.items():
                following = whole[f"next_{name}"].copy()
                following[-1] = values[-1]
                columns[f"next_{name}"] = following
    path = write(tmp_path / "a.hdf5", demos)
    a, b, *_ = read(path)
    assert (len(a), a.terminated) == (4, True)
    np.testing.assert_array_equal(a.observations[-1], a.observations[-2])
    assert (len(b), b.terminated, b.truncated) == (2, False, True)
    np.testing.assert_array_equal(b.observations, observations(1, 3))
    assert b.successes is not None
    assert len(b.successes) == len(b.rewards) == 2


def test_one_step_without_a_successor_is_not_counted(tmp_path: Path) -> None:
    one = {n: v[:1] for n, v in without_next(1).items()}
    path = write(tmp_path / "a.hdf5", {1: one})
    assert FORMAT.describe(path).episodes == 3
    assert [number for number, _ in FORMAT.read(path, (0, 1))] == [0, 1, 2]


@pytest.mark.parametrize("how", ["values", "arguments"])
def test_shaped_rewards_tell_no_success(tmp_path: Path, how: str) -> None:
    demos, arguments = None, {}
    if how == "values":
        demos = {k: demo(k, rewards=np.full(LENGTHS[k], 0.5)) for k in LENGTHS}
    else:
        arguments = {"env_kwargs": {"reward_shaping": True}}
    for episode in read(write(tmp_path / "a.hdf5", demos, **arguments)):
        assert (episode.terminated, episode.truncated) == (False, True)
        assert episode.successes is None


def test_dones_on_the_way_do_not_cut(tmp_path: Path) -> None:
    solved = demo(0, rewards=np.array([0, 1, 1, 1]), dones=np.array([0, 1, 1, 1]))
    episode = read(write(tmp_path / "a.hdf5", {0: solved}))[0]
    assert (len(episode), episode.terminated) == (4, True)


@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_shares_partition_the_file(tmp_path: Path, of: int) -> None:
    path = write(tmp_path / "a.hdf5")
    pairs = [pair for index in range(of) for pair in FORMAT.read(path, (index, of))]
    assert sorted(number for number, _ in pairs) == [0, 1, 2, 3]
    for number, episode in pairs:
        assert episode.observations[0, 3] == 100 * (0, 1, 2, 10)[number]
    assert all(number % of == 0 for number, _ in FORMAT.read(path, (0, of)))


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "dones of NaN": ({"dones": np.full(2, np.nan)}, "demo_2, row 0: dones is NaN"),
    "ragged rewards": ({"rewards": np.zeros(5)}, r"demo_2: rewards has shape \(5,\)"),
    "ragged observation": ({"obs__object": np.zeros((3, 2))}, "demo_2: obs/object has shape"),
    "wider key": ({"obs__object": np.zeros((2, 7))}, "demo_2: obs/object has shape"),
    "1-D actions": ({"actions": np.zeros(2)}, r"has shape \(2,\), not \[T, A\]: write a row"),
    "wider actions": ({"actions": np.zeros((2, 3))}, r"demo_2: actions has shape \(2, 3\), not"),
    "no steps": ({"actions": np.zeros((0, 2))}, r"demo_2: actions has shape \(0, 2\): it is empty"),
    "text for numbers": ({"rewards": np.array([b"a", b"b"])}, r"demo_2: rewards holds \|S1"),
    "missing rewards": ({"rewards": None}, "demo_2: column rewards is missing"),
    "missing actions": ({"actions": None}, "demo_2: column actions is missing"),
    "missing key": ({"obs__object": None}, "demo_2: column obs/object is missing"),
    "missing next key": ({"next_obs__object": None}, "column next_obs/object is missing"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_demonstrations_are_named(tmp_path: Path, kind: str) -> None:
    changes, message = DAMAGED[kind]
    path = write(tmp_path / "a.hdf5", {2: demo(2, **changes)})
    assert FORMAT.recognises(path)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert_one_line(caught.value, path)


def assert_one_line(error: InputError, path: str) -> None:
    text = str(error)
    assert text.startswith(path)
    assert "\n" not in text
    assert text.count(": ") >= 2  # place, what is wrong, remedy


def test_no_low_dimensional_key(tmp_path: Path) -> None:
    images = {n: v for n, v in demo(0).items() if "obs/" not in n or "image" in n}
    with pytest.raises(InputError, match="dataset_states_to_obs"):
        FORMAT.describe(write(tmp_path / "a.hdf5", {0: images}))


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_arguments_that_are_no_json_table(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = np.bytes_(text.encode())
    with pytest.raises(InputError, match="env_args of data is no JSON"):
        FORMAT.describe(path)


def test_files_that_are_not_robomimic(tmp_path: Path) -> None:
    (tmp_path / "text.hdf5").write_text("not HDF5")
    (tmp_path / "cut.hdf5").write_bytes(Path(write(tmp_path / "a.hdf5")).read_bytes()[:3000])
    with h5py.File(tmp_path / "d4rl.hdf5", "w") as file:
        file["observations"] = np.zeros((3, 2))
    with h5py.File(tmp_path / "odd.hdf5", "w") as file:
        file["data"] = np.zeros(3)
    for name in ("text", "cut", "d4rl", "odd", "absent"):
        path = str(tmp_path / f"{name}.hdf5")
        assert not FORMAT.recognises(path)
        with pytest.raises(InputError) as caught:
            read(path)
        assert_one_line(caught.value, path)


def test_a_file_without_demonstrations_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "a.hdf5")
    with h5py.File(path, "w") as file:
        file.create_group("data")
    assert FORMAT.recognises(path)
    with pytest.raises(InputError, match="holds no demonstration: write each as") as caught:
        FORMAT.describe(path)
    assert_one_line(caught.value, path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Path(write(tmp_path_factory.mktemp("fuzz") / "a.hdf5")).read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_damage_gives_episodes_or_a_clear_error(
    tmp_path: Path, whole: bytes, data: st.DataObject
) -> None:
    path = tmp_path / "fuzzed.hdf5"
    path.write_bytes(damaged(whole, data))
    assert_episodes_or_a_clear_error(FORMAT, path)


def test_the_user_chooses_keys_and_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5")
    keys = {"observations": ("robot0_eef_pos", "gripper", "object")}
    found = next(FORMAT.read(path, (0, 1), keys))[1]
    t = np.arange(5.0)
    np.testing.assert_array_equal(found.observations, np.stack([t, t, t, -t, 10 * t, 10 * t], 1))
    facts = FORMAT.describe(path, keys).facts
    assert facts["observation"] == "robot0_eef_pos[3], gripper[1], object[2]"
    assert facts["observation keys left out"] == "agentview_image, label"
    with pytest.raises(
        InputError, match=r"has no 'nought' of floats, .* there is 'agentview_image'"
    ):
        FORMAT.describe(path, {"observations": ("object", "nought")})


def test_actions_are_made_of_several_keys(tmp_path: Path) -> None:
    halves = {k: demo(k) for k in (0, 1, 2, 10)}
    for columns in halves.values():
        columns |= {"first": columns["actions"][:, :1], "second": columns["actions"][:, 1]}
        del columns["actions"]
    keys = {"actions": ("second", "first")}
    found = FORMAT.read(write(tmp_path / "halves.hdf5", halves), (0, 1), keys)
    for (_, ours), (_, its) in zip(
        found, FORMAT.read(write(tmp_path / "a.hdf5"), (0, 1)), strict=True
    ):
        np.testing.assert_array_equal(ours.actions, its.actions[:, ::-1])


def test_a_done_is_a_true_end_where_the_source_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5")
    own, said = (
        [episode.terminated for _, episode in FORMAT.read(path, (0, 1), keys)]
        for keys in ({}, {"dones": ("terminal",)})
    )
    assert own == [True, False, True, True]  # demonstration 1 ends without success
    assert said == [True] * 4
    with pytest.raises(InputError, match="dones=end is not dones=terminal"):
        FORMAT.describe(path, {"dones": ("end",)})
