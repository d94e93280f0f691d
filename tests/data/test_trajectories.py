"""Lists of trajectory dicts -> episodes: every field, every end, and what is damaged."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awac_dist.data import sources
from awac_dist.data.columns import EITHER, ENDS
from awac_dist.data.format import Format
from awac_dist.data.formats import trajectories
from awac_dist.data.formats.trajectories import AWAC_NPY, DEMONSTRATIONS, NPZ
from awac_dist.data.sources import check_usable
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin

DOOR = Path("/work/shared/data/door-v0_demos.pickle")
FORMATS = {"demos.pickle": DEMONSTRATIONS, "paths.npy": AWAC_NPY}
KINDS = {"demos.pickle": "demonstration", "paths.npy": "prior"}


def trajectory(steps: int, first: int = 0, **changes: Any) -> dict[str, Any]:
    """Observations count on over all steps, so that a wrong neighbour shows."""
    numbers = np.arange(first, first + steps, dtype=np.float64)
    whole = {
        "observations": np.stack([numbers, -numbers, numbers / 2], axis=1),
        "actions": np.stack([numbers / 10, numbers / 100], axis=1),
        "rewards": numbers + 0.25,
        "init_state_dict": {"qpos": np.zeros(4)},
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def write(folder: Path, name: str, content: Any, protocol: int = 4) -> str:
    path = folder / name
    if name.endswith(".npy"):
        array = np.empty(len(content), object)
        array[:] = content
        np.save(path, array, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(content, protocol))
    return str(path)


def read(form: Format, path: str, share: tuple[int, int] = (0, 1)) -> list[tuple[int, Episode]]:
    return list(form.read(path, share))


def assert_is(
    episode: Episode, first: int, steps: int, *, last: int, kind: str, number: int, terminated: bool
) -> None:
    """Compare with `trajectory`: `steps` steps from `first` on, and `last` as what followed."""
    numbers = np.float32([*range(first, first + steps), last])
    wanted = np.stack([numbers, -numbers, numbers / 2], axis=1)
    np.testing.assert_array_equal(episode.observations, wanted)
    acted = np.arange(first, first + steps)
    np.testing.assert_array_equal(
        episode.actions, np.float32(np.stack([acted / 10, acted / 100], axis=1))
    )
    np.testing.assert_array_equal(episode.rewards, np.float32(acted + 0.25))
    for column in (episode.observations, episode.actions, episode.rewards):
        assert column.dtype == np.float32
    assert (episode.terminated, episode.truncated) == (terminated, not terminated)
    assert episode.origin == Origin(kind, episode=number)  # type: ignore[arg-type]
    assert episode.desired_goals is episode.achieved_goals is episode.successes is None


def ends() -> list[dict[str, Any]]:
    """Every kind of end; episode k counts on from 10 k."""
    following = trajectory(4, 21)["observations"]
    with_next = trajectory(4, 20, next_observations=following)
    final = trajectory(5, 30)["observations"]
    ended = np.array([False, False, True])
    return [
        trajectory(5, 0),  # no successor: four steps
        trajectory(3, 10, terminals=ended),  # terminated: its own observation stands in
        with_next,
        trajectory(4, 30, observations=final),  # one observation more
        trajectory(
            3, 40, terminals=ended[:, None], next_observations=trajectory(3, 41)["observations"]
        ),
    ]


EXPECTED = [
    {"steps": 4, "last": 4, "terminated": False},
    {"steps": 3, "last": 12, "terminated": True},
    {"steps": 4, "last": 24, "terminated": False},
    {"steps": 4, "last": 34, "terminated": False},
    {"steps": 3, "last": 43, "terminated": True},
]


@pytest.mark.parametrize("name", FORMATS)
def test_each_end_keeps_exactly_the_steps_that_have_a_successor(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, ends())
    found = read(FORMATS[name], path)
    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    for (number, episode), wanted in zip(found, EXPECTED, strict=True):
        assert_is(episode, 10 * number, number=number, kind=KINDS[name], **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_shares_partition_the_episodes(tmp_path: Path, name: str, of: int) -> None:
    path = write(tmp_path, name, ends())
    numbers = []
    for index in range(of):
        for number, episode in read(FORMATS[name], path, (index, of)):
            assert number % of == index
            assert_is(episode, 10 * number, number=number, kind=KINDS[name], **EXPECTED[number])  # type: ignore[arg-type]
            numbers.append(number)
    assert sorted(numbers) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_says_what_it_holds_and_what_is_left_out(tmp_path: Path, name: str) -> None:
    info = FORMATS[name].describe(write(tmp_path, name, ends()))
    assert (info.env_id, info.observation_size, info.action_size, info.episodes) == (None, 3, 2, 5)
    assert info.facts["steps in the file"] == "19"
    assert info.facts["transitions"] == "18"
    assert info.facts["left out"].startswith("1 last steps")
    assert "terminals" not in info.facts


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_recognised_and_read(tmp_path: Path, protocol: int) -> None:
    path = write(tmp_path, "no suffix", ends(), protocol)
    assert DEMONSTRATIONS.recognises(path)
    assert not AWAC_NPY.recognises(path)
    assert len(read(DEMONSTRATIONS, path)) == 5


def test_formats_are_recognised_by_content(tmp_path: Path) -> None:
    npy = write(tmp_path, "paths.npy", ends())
    assert AWAC_NPY.recognises(npy)
    assert not DEMONSTRATIONS.recognises(npy)
    np.save(tmp_path / "numbers.npy", np.arange(3.0))
    (tmp_path / "text.pickle").write_text("hello, these are the demonstrations")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 99)
    for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "absent"):
        if str(path) != npy:
            assert not AWAC_NPY.recognises(str(path))
        assert not DEMONSTRATIONS.recognises(str(path))
    assert not DEMONSTRATIONS.recognises("nosuch://place/file")
    assert not AWAC_NPY.recognises("nosuch://place/file")


@pytest.mark.parametrize("key", ["state_observation", "observation"])
def test_observations_may_be_dicts_and_rewards_one_longer_and_deep(
    tmp_path: Path, key: str
) -> None:
    plain = trajectory(4, 20)
    following = trajectory(4, 21)["observations"]
    dicts = [{"observation": np.zeros(7), key: row} for row in plain["observations"]]
    path = write(
        tmp_path,
        "pen2_sparse.npy",
        [
            plain
            | {
                "observations": dicts,
                "next_observations": np.array([{key: row} for row in following], object),
                "rewards": np.append(plain["rewards"], 99.0)[:, None],
                "terminals": np.zeros((4, 1)),
                "agent_infos": [{}] * 4,
                "env_infos": [{"goal_achieved": True}] * 4,
            }
        ],
    )
    [(_, episode)] = read(AWAC_NPY, path)
    assert_is(episode, 20, 4, last=24, terminated=False, kind="prior", number=0)


def test_lists_of_numbers_are_read_like_arrays(tmp_path: Path) -> None:
    lists = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in trajectory(5).items()}
    [(_, episode)] = read(DEMONSTRATIONS, write(tmp_path, "demos.pickle", [lists]))
    assert_is(episode, 0, 4, last=4, terminated=False, kind="demonstration", number=0)


def test_an_npy_file_may_hold_one_list(tmp_path: Path) -> None:
    array = np.empty((), object)
    array[()] = ends()
    np.save(tmp_path / "paths.npy", array, allow_pickle=True)
    assert AWAC_NPY.describe(str(tmp_path / "paths.npy")).episodes == 5


def test_a_terminal_at_the_time_limit_is_kept_and_told(tmp_path: Path) -> None:
    last = np.array([0, 0, 0, 1])
    paths = [trajectory(4, 10 * n, terminals=last) for n in range(3)] + [trajectory(3, 30)]
    path = write(tmp_path, "hc_off_policy.npy", paths)
    assert [e.terminated for _, e in read(AWAC_NPY, path)] == [True, True, True, False]
    told = AWAC_NPY.describe(path).facts["terminals"]
    assert told.startswith("3 of the 3 longest episodes, all of 4 steps")


@pytest.mark.skipif(not DOOR.exists(), reason=f"{DOOR} is not at hand")
def test_the_door_demonstrations() -> None:
    assert DEMONSTRATIONS.recognises(str(DOOR))
    info = DEMONSTRATIONS.describe(str(DOOR))
    assert (info.observation_size, info.action_size, info.episodes) == (39, 28, 25)
    assert info.facts["steps in the file"] == "6,729"
    assert info.facts["transitions"] == "6,704"
    stored = pickle.loads(DOOR.read_bytes(), encoding="latin1")
    for number, episode in read(DEMONSTRATIONS, str(DOOR)):
        np.testing.assert_array_equal(
            episode.observations, np.float32(stored[number]["observations"])
        )
        np.testing.assert_array_equal(episode.actions, np.float32(stored[number]["actions"][:-1]))
        np.testing.assert_array_equal(episode.rewards, np.float32(stored[number]["rewards"][:-1]))
        assert (episode.terminated, episode.truncated) == (False, True)
        assert episode.origin == Origin("demonstration", episode=number)


# Damage.


def nan_at(step: int) -> Any:
    rewards = trajectory(5, 10)["rewards"].copy()
    rewards[step] = np.nan
    return rewards


SHARED = list(range(1000))
DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "NaN terminals": ({"terminals": nan_at(2)}, "terminals: NaN at step 2: mend"),
    "text": ({"actions": np.full((5, 2), "x")}, "actions: is of <U1, not numbers: store floats"),
    "text list": ({"actions": ["x"] * 5}, "actions: is a str, not numbers"),
    "objects": ({"actions": np.full((5, 2), None)}, "actions: is of object, not numbers"),
    "complex": ({"actions": np.ones((5, 2), complex)}, "actions: is of complex128, not numbers"),
    "a number": ({"actions": 3}, r"actions: has shape \(\), store|actions: has shape \(\): store"),
    "long numbers": ({"rewards": [10**400] * 5}, "rewards: is of object, not numbers"),
    "ragged": ({"actions": [[1.0, 2.0]] * 4 + [[1.0]]}, "actions: is ragged: .*store equal"),
    "ragged dicts": (
        {"observations": [{"observation": np.zeros(n)} for n in (3, 3, 3, 3, 2)]},
        "observations: is ragged",
    ),
    "no key": ({"observations": [{"image": 1}] * 5}, "observations: is a dict of 'image': store"),
    "no steps": (
        {"observations": np.zeros((0, 3)), "actions": np.zeros((0, 2)), "rewards": np.zeros(0)},
        "actions: has no steps: leave the episode out",
    ),
    "wider actions": ({"actions": np.zeros((5, 3))}, "actions: is 3 wide, in the first episode 2"),
    "narrow sight": ({"observations": np.zeros((5, 2))}, "observations: is 2 wide"),
    "1-D actions": ({"actions": np.zeros(5)}, r"actions: has shape \(5,\): store one vector"),
    "images": ({"observations": np.zeros((5, 8, 8))}, r"observations: has shape \(5, 8, 8\)"),
    "short rewards": ({"rewards": np.zeros(3)}, "rewards: has 3 rows for 5 actions: give as many"),
    "wide rewards": ({"rewards": np.zeros((5, 2))}, r"rewards: has shape \(5, 2\): store one"),
    "many observations": ({"observations": np.zeros((9, 3))}, "has 9 rows for 5 actions: give 5"),
    "short terminals": ({"terminals": np.zeros(2)}, "terminals: has 2 rows for 5 actions"),
    "early terminal": ({"terminals": [0, 1, 0, 0, 0]}, "terminals: ends at step 1 of 5 and goes"),
    "early timeout": ({"timeouts": [0, 1, 0, 0, 0]}, "timeouts: ends at step 1 of 5 and goes on"),
    "missing": ({"actions": None}, "actions: no 'actions' among 'observations'"),
    "shuffled": (
        {"next_observations": trajectory(5, 12)["observations"]},
        "next_observations: at step 0 is not the observation of step 1: put",
    ),
    "short successors": (
        {"next_observations": trajectory(3, 11)["observations"]},
        "next_observations: has 3 rows for 5 actions",
    ),
    "no successors": ({"next_observations": np.zeros((0, 3))}, r"next_observations: has shape"),
    "repeated": ({"actions": [SHARED] * 20_000}, "episode 1: would unpack to more than"),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_episode_is_named_in_one_line(tmp_path: Path, name: str, damage: str) -> None:
    changes, wanted = DAMAGE[damage]
    path = write(tmp_path, name, [trajectory(5), trajectory(5, 10, **changes)])
    for look in (FORMATS[name].describe, lambda p: read(FORMATS[name], p)):
        with pytest.raises(InputError, match=wanted) as refusal:
            look(path)
        assert str(refusal.value).startswith(f"{path}: episode 1: ")
        assert "\n" not in str(refusal.value)


NOTHING_FOLLOWS = "every episode is one step, and no observation follows it"


@pytest.mark.parametrize("name", FORMATS)
def test_one_step_without_a_successor_is_left_out(tmp_path: Path, name: str) -> None:
    alone = trajectory(1, 40)
    lengths = [1, 5, 1, 4, 1]
    episodes = [trajectory(steps, 10 * n) for n, steps in enumerate(lengths)]
    followed = [
        trajectory(1, 50, terminals=[1]),
        trajectory(1, 60, next_observations=np.float64([[61, -61, 30.5]])),
        trajectory(1, 70, observations=trajectory(2, 70)["observations"]),
    ]
    path = write(tmp_path, name, [*episodes, *followed, alone])
    info = FORMATS[name].describe(path)
    assert info.episodes == 5
    assert info.facts["left out"].startswith("6 last steps: ")  # 4 of them alone
    for of in (1, 2, 3):
        found = [pair for index in range(of) for pair in read(FORMATS[name], path, (index, of))]
        assert sorted(number for number, _ in found) == [0, 1, 2, 3, 4]
        firsts = {number: (episode.observations[0, 0], len(episode)) for number, episode in found}
        assert firsts == {0: (10, 4), 1: (30, 3), 2: (50, 1), 3: (60, 1), 4: (70, 1)}
        assert all(episode.origin.episode == number for number, episode in found)
    both = sources.Source("both", sources.find(path).files * 2, path, "")
    spec = EnvSpec("Counting-v0", 3, 2, (-10.0,) * 2, (10.0,) * 2, 10)
    shares = [sources.read_share(both, spec, index, 2) for index in (0, 1)]
    assert sorted(number for share in shares for number, _ in share) == [*range(10)]
    with pytest.raises(InputError, match=NOTHING_FOLLOWS):
        FORMATS[name].describe(write(tmp_path, f"alone-{name}", [alone, alone]))


def test_a_recording_that_stops_one_step_into_an_episode_is_read(tmp_path: Path) -> None:
    whole = trajectory(7, timeouts=np.arange(7) % 3 == 2)
    del whole["init_state_dict"]
    np.savez(tmp_path / "a.npz", **whole)
    assert [len(episode) for _, episode in read(NPZ, str(tmp_path / "a.npz"))] == [2, 2]
    assert NPZ.describe(str(tmp_path / "a.npz")).episodes == 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("damaged", "wanted"),
    [
        (lambda b: b[:-40], "too early"),
        (lambda b: b[:100], "too early|copy it again"),
        (lambda b: b"observations,actions,rewards\n", "damaged"),
        (lambda b: b"", "damaged"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(
    tmp_path: Path, name: str, damaged: Callable[[bytes], bytes], wanted: str
) -> None:
    path = Path(write(tmp_path, name, ends()))
    path.write_bytes(damaged(path.read_bytes()))
    for look in (FORMATS[name].describe, lambda p: read(FORMATS[name], p)):
        with pytest.raises(InputError, match=wanted) as refusal:
            look(str(path))
        assert str(refusal.value).startswith(f"{path}: ")
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"observations": 1}, "episode 0: actions: no 'actions' among 'observations': add"),
        ([], "holds nothing: store a list of dicts"),
        ([3], "episode 0: columns: is a int: store one dict each"),
        (None, "holds a NoneType"),
    ],
)
def test_a_pickle_of_something_else_is_told(tmp_path: Path, content: Any, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        DEMONSTRATIONS.describe(write(tmp_path, "demos.pickle", content))


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    for form in FORMATS.values():
        with pytest.raises(InputError, match="cannot be opened"):
            form.describe(str(tmp_path / "absent"))


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("open('witness', 'w')",)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_would_run_something_is_recognised_and_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(6):
        path = write(tmp_path, name, [trajectory(3, agent_infos=[Evil()])], protocol)
        assert FORMATS[name].recognises(path)
        with pytest.raises(InputError, match=r"wants to import (__builtin__|builtins)\.exec"):
            FORMATS[name].describe(path)
    assert not Path("witness").exists()


@pytest.mark.parametrize("name", FORMATS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_corrupted_file_is_a_dataset_or_an_error(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    path = Path(write(tmp_path, name, ends()))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    FORMATS[name].recognises(str(path))
    try:
        info = FORMATS[name].describe(str(path))
        found = read(FORMATS[name], str(path))
    except InputError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message
    if message:
        return
    assert len(found) == info.episodes
    for _, episode in found:
        assert episode.observations.shape == (len(episode) + 1, info.observation_size)
        if not np.isfinite(episode.observations).all():
            with pytest.raises(InputError, match="observations is"):
                check_usable(name, episode)


def test_the_module_names_its_formats() -> None:
    assert trajectories.FORMATS == (DEMONSTRATIONS, AWAC_NPY, NPZ)


# One dict of whole columns, and columns by other names.


def whole(steps: int = 10) -> dict[str, Any]:
    """Trajectories of 3 steps, a timeout; of 4, a terminal; and of 3 that just stop."""
    flags = {"terminals": np.arange(steps) == 6, "timeouts": np.arange(steps) == 2}
    return {**trajectory(steps), **flags}


@pytest.mark.parametrize("name", ["a.npz", "a.pickle"])
def test_one_dict_is_cut_after_each_end(tmp_path: Path, name: str) -> None:
    path, form = str(tmp_path / name), DEMONSTRATIONS if name == "a.pickle" else NPZ
    if form is NPZ:
        np.savez(path, **{key: its for key, its in whole().items() if key != "init_state_dict"})
    else:
        Path(path).write_bytes(pickle.dumps(whole()))
    assert form.recognises(path)
    assert form.describe(path).episodes == 3
    found = [episode for _, episode in read(form, path)]
    assert [episode.observations[0, 0] for episode in found] == [0, 3, 7]
    assert [len(episode) for episode in found] == [2, 4, 2]  # no successor but after a true end
    assert [episode.terminated for episode in found] == [False, True, False]


NAMES_IN_USE = list(zip(*ENDS.values(), strict=True))


@pytest.mark.parametrize("named", [*NAMES_IN_USE, ("terminals", "dones"), ("terminated", "done")])
def test_ends_have_the_names_in_use(named: tuple[str, str], tmp_path: Path) -> None:
    flags = dict(zip(named, [whole()[name] for name in ENDS], strict=True))
    np.savez(tmp_path / "a.npz", **trajectory(10, init_state_dict=None), **flags)
    found = [episode for _, episode in read(NPZ, str(tmp_path / "a.npz"))]
    assert [len(episode) for episode in found] == [2, 4, 2]
    assert [episode.terminated for episode in found] == [False, True, False]


@pytest.mark.parametrize("flag", ENDS["terminals"])
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("a_step", [True, False])
def test_a_trajectory_says_how_it_ended(
    flag: str, ended: bool, a_step: bool, tmp_path: Path
) -> None:
    flags = np.arange(4) == (3 if ended else -1) if a_step else ended
    path = write(tmp_path, "demos.pickle", [trajectory(4, **{flag: flags})])
    ((_, episode),) = read(DEMONSTRATIONS, path)
    assert (len(episode), episode.terminated) == (4, True) if ended else (3, False)


@pytest.mark.parametrize("flag", EITHER)
def test_a_trajectory_whose_end_is_of_either_kind_is_no_guess(flag: str, tmp_path: Path) -> None:
    flags = np.arange(4) == 3
    path = write(tmp_path, "demos.pickle", [trajectory(4, **{flag: flags})])
    with pytest.raises(InputError, match=f"episode 0: {flag}: may be true ends"):
        DEMONSTRATIONS.describe(path)
    ((_, episode),) = DEMONSTRATIONS.read(path, (0, 1), {"terminals": (flag,)})
    assert episode.terminated


@pytest.mark.parametrize("flag", EITHER)
def test_an_end_of_either_kind_is_no_guess(flag: str, tmp_path: Path) -> None:
    columns, path = trajectory(10, init_state_dict=None), str(tmp_path / "a.npz")
    np.savez(path, **columns, **{flag: np.arange(10) == 6})
    with pytest.raises(InputError, match=f"{flag}: may be .* terminals={flag} or timeouts={flag}$"):
        NPZ.describe(path)
    assert NPZ.describe(path, {"timeouts": (flag,)}).episodes == 2


def test_an_npz_of_one_trajectory_may_have_an_observation_more(tmp_path: Path) -> None:
    columns = trajectory(3, init_state_dict=None)
    columns["observations"] = np.vstack([columns["observations"], [[3, -3, 1.5]]])
    np.savez(tmp_path / "a.npz", **columns)
    ((_, episode),) = read(NPZ, str(tmp_path / "a.npz"))
    assert_is(episode, 0, 3, last=3, kind="prior", number=0, terminated=False)


@pytest.mark.parametrize("name", [*FORMATS, "a.npz"])
def test_the_user_says_what_columns_are_called(tmp_path: Path, name: str) -> None:
    flat = trajectory(3, init_state_dict=None)
    mine = {"a": flat["observations"][:, :2], "b": flat["observations"][:, 2]}
    mine |= {"act": flat["actions"], "reward": flat["rewards"]}
    keys = {"observations": ("a", "b"), "actions": ("act",), "rewards": ("reward",)}
    path, form = str(tmp_path / name), FORMATS.get(name, NPZ)
    if form is NPZ:
        np.savez(path, **mine, terminals=np.zeros(3))
    else:
        write(tmp_path, name, [mine])
    ((_, episode),) = form.read(path, (0, 1), keys)
    np.testing.assert_array_equal(episode.observations, flat["observations"])
    assert form.describe(path, keys).observation_size == 3
    with pytest.raises(InputError, match="actions: no 'nought' among 'a', "):
        form.describe(path, {**keys, "actions": ("nought",)})


def test_an_npz_is_found_by_none_of_our_names(tmp_path: Path) -> None:
    flat = trajectory(3, init_state_dict=None)
    columns = {"obs": flat["observations"], "act": flat["actions"], "rew": flat["rewards"]}
    np.savez(tmp_path / "a.npz", **columns)
    mine = f"{tmp_path}/a.npz,observations=obs,actions=act,rewards=rew"
    ((_, _, episode),) = sources.episodes(sources.find(mine))
    assert len(episode) == 2
    remedy = "observations: no 'observations' among 'obs', 'act', 'rew': .* observations=KEY$"
    with pytest.raises(InputError, match=remedy):
        sources.describe(sources.find(f"{tmp_path}/a.npz"))


def test_a_policy_is_no_dataset(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weight_0=np.zeros((2, 3)), bias_0=np.zeros(2))
    assert not NPZ.recognises(str(tmp_path / "a.npz"))
