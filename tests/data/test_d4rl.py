"""D4RL HDF5: every field of every episode, and wrong files by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import assert_episodes_or_a_clear_error, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awac_dist.data.columns import ENDS as ENDS_IN_USE
from awac_dist.data.formats import d4rl
from awac_dist.data.formats.d4rl import FORMAT
from awac_dist.errors import InputError
from awac_dist.types import Episode, Origin

h5py = pytest.importorskip("h5py")

STEPS = 12  # rows 0..3 terminated, 4..5 timeout, 6..8 both flags, 9..11 cut by the file's end
TERMINALS, TIMEOUTS = (3, 8), (5, 8)
ENDS = [(0, 4), (4, 6), (6, 9), (9, 12)]
Edit = Callable[[Any], None]


def columns(**changes: Any) -> dict[str, Any]:
    """Counting rows: observation t is (t, 10t, 0), its successor is t + 0.5 at an end."""
    t = np.arange(STEPS, dtype=np.float32)
    observations = np.stack([t, 10 * t, 0 * t], axis=1)
    following = np.vstack([observations[1:], observations[-1:] + 1])
    for _, end in ENDS:
        following[end - 1] = observations[end - 1] + 0.5
    found = {
        "observations": observations,
        "next_observations": following,
        "actions": np.stack([t / 100, -t / 100], axis=1),
        "rewards": t / 4,
        "terminals": np.isin(t, TERMINALS),
        "timeouts": np.isin(t, TIMEOUTS),
    }
    return {name: v for name, v in {**found, **changes}.items() if v is not None}


def write(path: Path, **changes: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, values in columns(**changes).items():
            file.create_dataset(name.replace("__", "/"), data=values)
    return str(path)


def read(path: str, share: tuple[int, int] = (0, 1)) -> list[Episode]:
    return [episode for _, episode in FORMAT.read(path, share)]


def check(episode: Episode, number: int, rows: tuple[int, int], **wanted: Any) -> None:
    """Compare every field with the counting rows [start, stop)."""
    t = np.arange(*rows, dtype=np.float32)
    start = np.stack([t, 10 * t, 0 * t], axis=1)
    np.testing.assert_array_equal(episode.observations[:-1], start)
    np.testing.assert_array_equal(episode.observations[-1], wanted.pop("last"))
    np.testing.assert_array_equal(episode.actions, np.stack([t / 100, -t / 100], axis=1))
    np.testing.assert_array_equal(episode.rewards, t / 4)
    for column in (episode.observations, episode.actions, episode.rewards):
        assert column.dtype == np.float32
        assert column.base is None or column.base.nbytes <= 2 * column.nbytes
    assert episode.origin == Origin("prior", episode=number)
    assert (episode.terminated, episode.truncated) == wanted.pop("ended")
    assert episode.successes is None
    if not wanted.pop("goals", False):
        assert episode.desired_goals is episode.achieved_goals is None
    assert not wanted


def row(t: float, extra: float = 0.0) -> np.ndarray:
    return np.array([t, 10 * t, 0], np.float32) + np.float32(extra)


def test_every_field_of_every_episode(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5")
    episodes = read(path)
    flags = [(True, False), (False, True), (True, False), (False, False)]
    assert len(episodes) == 4
    for number, (rows, ended) in enumerate(zip(ENDS, flags, strict=True)):
        check(episodes[number], number, rows, last=row(rows[1] - 1, 0.5), ended=ended)


def test_float64_and_columns_of_width_one_are_squeezed(tmp_path: Path) -> None:
    plain = columns()
    wide = {n: plain[n].reshape(-1, 1) for n in ("rewards", "terminals", "timeouts")}
    wide |= {"observations": plain["observations"].astype(np.float64)}
    ours = read(write(tmp_path / "w.hdf5", **wide))
    for one, other in zip(ours, read(write(tmp_path / "p.hdf5")), strict=True):
        assert one.observations.dtype == one.rewards.dtype == np.float32
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.rewards, other.rewards)


def test_without_next_observations_no_step_is_paired_with_the_next_reset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", next_observations=None)
    a, b, c, d = read(path)
    check(a, 0, (0, 4), last=row(3), ended=(True, False))  # masked: it terminated
    check(b, 1, (4, 5), last=row(5), ended=(False, True))
    check(c, 2, (6, 9), last=row(8), ended=(True, False))
    check(d, 3, (9, 11), last=row(11), ended=(False, False))
    assert FORMAT.describe(path).facts["last steps without successor, left out"] == "2"


def test_an_episode_of_one_row_without_successor_is_not_counted(tmp_path: Path) -> None:
    timeouts = np.isin(np.arange(STEPS), (4, 5))
    path = write(tmp_path / "a.hdf5", next_observations=None, timeouts=timeouts)
    assert FORMAT.describe(path).episodes == 3  # neither row 4 nor row 5, each alone
    assert [e.observations[0, 0] for e in read(path)] == [0, 6, 9]
    assert [len(e) for e in read(path)] == [4, 3, 2]


def test_d3rlpy_1_says_where_episodes_end(tmp_path: Path) -> None:
    ends = np.isin(np.arange(STEPS), [end - 1 for _, end in ENDS])
    path = write(tmp_path / "a.hdf5", timeouts=None, next_observations=None, episode_terminals=ends)
    assert [(len(e), e.terminated, e.truncated) for e in read(path)] == [
        (4, True, False), (1, False, True), (3, True, False), (2, False, True),
    ]  # fmt: skip
    assert FORMAT.describe(path).facts["episode bounds"] == "terminals and episode_terminals"


@pytest.mark.parametrize("timeouts", [None, np.zeros(STEPS, bool)])
def test_without_timeouts_a_discontinuity_ends_an_episode(tmp_path: Path, timeouts: Any) -> None:
    path = write(tmp_path / "a.hdf5", timeouts=timeouts)
    assert [(len(e), e.terminated, e.truncated) for e in read(path)] == [
        (4, True, False), (2, False, True), (3, True, False), (3, False, False),
    ]  # fmt: skip
    assert "next_observations" in FORMAT.describe(path).facts["episode bounds"]


def written_as_it_lay(path: Path, t: np.ndarray) -> str:
    """Steps of episodes of 100, each observation its step, in an order that may not be theirs."""
    seen = np.stack([t, 0 * t, 0 * t], axis=1).astype(np.float32)
    flags = {"terminals": 0 * t, "timeouts": t % 100 == 99}
    numbers = {"actions": np.zeros((len(t), 2)), "rewards": t.astype(np.float32)}
    following = seen + np.array([1.0, 0, 0])  # float64
    return write(path, observations=seen, next_observations=following, **numbers, **flags)


ORDERS = {
    "in order": (np.arange(300), [100, 100, 100], "terminals and timeouts"),
    "a ring": (np.r_[200:280, 30:200], [80, 70, 100], "next_observations that differ"),
    "side by side": (np.arange(300).reshape(3, 100).T.ravel(), [1] * 300, "that differ"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_step_keeps_its_own_successor_whatever_lies_behind_it(
    order: str, tmp_path: Path
) -> None:
    rows, lengths, told = ORDERS[order]
    path = written_as_it_lay(tmp_path / "a.hdf5", rows)
    episodes = read(path)
    assert [len(episode) for episode in episodes] == lengths
    for episode in episodes:
        np.testing.assert_array_equal(np.diff(episode.observations[:, 0]), 1)
        np.testing.assert_array_equal(episode.rewards, episode.observations[:-1, 0])
    assert told in FORMAT.describe(path).facts["episode bounds"]


def test_antmaze_flags_goals_and_missing_timeouts(tmp_path: Path) -> None:
    goals = np.repeat([[1.0, 2.0], [3.0, 4.0]], 6, axis=0)
    terminals = np.isin(np.arange(STEPS), (2, 3))  # at the goal twice, and on it runs
    path = write(
        tmp_path / "a.hdf5", timeouts=None, next_observations=None,
        terminals=terminals, infos__goal=goals,
    )  # fmt: skip
    episodes = read(path)
    assert [(len(e), e.terminated, e.truncated) for e in episodes] == [
        (3, True, False), (1, True, False), (1, False, True), (5, False, False),
    ]  # fmt: skip
    for episode in episodes:
        assert episode.desired_goals is not None
        assert episode.achieved_goals is not None
        goal = (1, 2) if episode.observations[0, 0] < 6 else (3, 4)
        np.testing.assert_array_equal(episode.desired_goals, [goal] * (len(episode) + 1))
        np.testing.assert_array_equal(episode.achieved_goals, episode.observations[:, :2])
        assert episode.desired_goals.dtype == np.float32
    assert "infos/goal" in FORMAT.describe(path).facts["episode bounds"]


def test_when_nothing_tells_only_terminals_cut_and_the_facts_say_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", timeouts=None, next_observations=None)
    assert [len(e) for e in read(path)] == [4, 5, 2]
    assert "cannot be seen" in FORMAT.describe(path).facts["episode bounds"]


def test_describes_sizes_and_metadata(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.hdf5",
        metadata__algorithm=np.bytes_("SAC"),
        metadata__iteration=np.int64(3000),
        metadata__policy__nonlinearity="relu",
        metadata__policy__fc0__bias=np.zeros(256),
        metadata__policy__fc1__bias=np.zeros(128),
        metadata__policy__last_fc__bias=np.zeros(2),
        virtual__0__observations=np.zeros(3),
    )
    info = FORMAT.describe(path)
    assert (info.env_id, info.observation_size, info.action_size, info.episodes) == (None, 3, 2, 4)
    wanted = {"algorithm": "SAC", "iteration": "3000", "policy layers": "256-128-2"}
    assert wanted.items() <= info.facts.items()
    assert info.facts["policy/nonlinearity"] == "relu"


@pytest.mark.parametrize("of", [1, 2, 3, 4])
@pytest.mark.parametrize("span", [1, 5, 20_000])
def test_shares_partition_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: int, span: int
) -> None:
    monkeypatch.setattr(d4rl, "SPAN_ROWS", span)
    path = write(tmp_path / "a.hdf5")
    whole = read(path)
    found = dict(pair for index in range(of) for pair in FORMAT.read(path, (index, of)))
    assert sorted(found) == [0, 1, 2, 3]
    assert all(n % of == 1 % of for n, _ in FORMAT.read(path, (1 % of, of)))
    for number, episode in found.items():
        np.testing.assert_array_equal(episode.observations, whole[number].observations)


def test_only_the_own_share_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, take, looked = write(tmp_path / "a.hdf5"), d4rl.read_rows, list[tuple[int, int]]()

    def note(place: str, name: str, dataset: Any, start: int, stop: int) -> Any:
        if name == "rewards":
            looked.append((start, stop))
        return take(place, name, dataset, start, stop)

    monkeypatch.setattr(d4rl, "SPAN_ROWS", 1)
    monkeypatch.setattr(d4rl, "read_rows", note)
    assert len(read(path, (1, 2))) == 2
    assert looked == [ENDS[1], ENDS[3]]


def test_numbers_that_are_none_end_no_episode(tmp_path: Path) -> None:
    """Where a row is NaN, and what is said to follow the row before is, too."""
    changes = {name: columns()[name] for name in ("observations", "next_observations")}
    changes["observations"][2] = changes["next_observations"][1] = np.nan
    assert [len(episode) for episode in read(write(tmp_path / "a.hdf5", **changes))] == [4, 2, 3, 3]


def test_a_uri_is_read_as_a_path_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5")
    assert FORMAT.recognises(f"file://{path}")
    assert len(read(f"file://{path}")) == 4


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "NaN flags": ({"terminals": np.full(STEPS, np.nan)}, "terminals is NaN"),
    "ragged": ({"rewards": np.zeros(9)}, r"rewards has shape \(9,\), 12 rows"),
    "ragged flags": ({"timeouts": np.zeros(13, bool)}, "timeouts has shape"),
    "1-D actions": ({"actions": np.zeros(STEPS)}, r"actions has shape \(12,\)"),
    "actions without width": ({"actions": np.zeros((STEPS, 0))}, "actions has shape"),
    "3-D observations": ({"observations": np.zeros((STEPS, 8, 8))}, "observations has shape"),
    "wider successors": ({"next_observations": np.zeros((STEPS, 4))}, "next_observations has"),
    "wide rewards": ({"rewards": np.zeros((STEPS, 2))}, "rewards has shape"),
    "no rows": (
        {n: v[:0] for n, v in columns().items()},
        r"observations has shape \(0, 3\): it is empty",
    ),
    "text for numbers": ({"rewards": np.array([b"one"] * STEPS)}, r"rewards holds \|S3"),
    "objects": ({"actions": ["a"] * STEPS}, "actions holds object"),
    "missing rewards": ({"rewards": None}, "rewards is missing"),
    "missing terminals": ({"terminals": None}, "terminals is missing"),
    "a group for a column": ({"rewards": None, "rewards__x": [1.0]}, "rewards is missing"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_columns_are_named(tmp_path: Path, kind: str) -> None:
    changes, message = DAMAGED[kind]
    path = write(tmp_path / "a.hdf5", **changes)
    assert FORMAT.recognises(path)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert_one_line(caught.value, path)


def assert_one_line(error: InputError, path: str) -> None:
    text = str(error)
    assert text.startswith(path)
    assert "\n" not in text
    assert text.count(": ") >= 2  # place, what is wrong, remedy


def test_files_that_are_not_hdf5(tmp_path: Path) -> None:
    whole = Path(write(tmp_path / "a.hdf5")).read_bytes()
    cases = {"text": b"observations,actions\n1,2\n", "empty": b"", "cut": whole[: len(whole) // 2]}
    for name, content in cases.items():
        path = tmp_path / f"{name}.hdf5"
        path.write_bytes(content)
        assert FORMAT.recognises(str(path)) == (name == "cut")  # `describe` says what it lacks
        with pytest.raises(InputError, match="cannot be read as HDF5") as caught:
            FORMAT.describe(str(path))
        assert_one_line(caught.value, str(path))
    for name in (tmp_path / "absent.hdf5", tmp_path, "nowhere://x"):
        assert not FORMAT.recognises(str(name))
        with pytest.raises(InputError):
            read(str(name))


def test_other_hdf5_is_not_recognised(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((3, 2))
    assert not FORMAT.recognises(str(tmp_path / "a.hdf5"))


def test_a_header_that_claims_more_than_the_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", terminals=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("terminals", (2**40,), np.bool_, chunks=(1024,))
    with pytest.raises(InputError, match="terminals"):
        FORMAT.describe(path)


def test_a_missing_h5py_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.hdf5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert FORMAT.recognises(path)
    with pytest.raises(InputError, match=r"pip install 'awac_dist\[data\]'"):
        FORMAT.describe(path)


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


def test_a_flat_file_is_found_by_none_of_our_names(tmp_path: Path) -> None:
    names = {"observations": "obs", "actions": "act", "rewards": "rew", "terminals": "ends"}
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for ours, name in names.items():
            file[name] = columns()[ours]
    path = str(tmp_path / "a.hdf5")
    assert FORMAT.recognises(path)
    assert FORMAT.describe(path, {ours: (name,) for ours, name in names.items()}).action_size == 2
    there = "column observations is missing, there is 'act', 'ends', 'obs', 'rew': .*COLUMN=KEY$"
    with pytest.raises(InputError, match=there):
        FORMAT.describe(path)


@pytest.mark.parametrize(
    "named", [*zip(*ENDS_IN_USE.values(), strict=True), ("terminated", "dones")]
)
def test_ends_have_the_names_in_use(named: tuple[str, str], tmp_path: Path) -> None:
    given = columns()
    flags = {name: given[ours] for name, ours in zip(named, ENDS_IN_USE, strict=True)}
    path = write(tmp_path / "a.hdf5", **{"terminals": None, "timeouts": None, **flags})
    ours = read(write(tmp_path / "b.hdf5"))
    for found, wanted in zip(read(path), ours, strict=True):
        assert (len(found), found.terminated) == (len(wanted), wanted.terminated)
        assert found.truncated == wanted.truncated


def test_the_user_says_what_columns_are_called(tmp_path: Path) -> None:
    t = np.arange(STEPS, dtype=np.float32)
    named = {"observations": None, "actions": None, "a": np.stack([t, 10 * t], 1), "b": 0 * t}
    named |= {
        "act": columns()["actions"],
        "timeouts": None,
        "episode_terminals": columns()["timeouts"],
    }
    path = write(tmp_path / "a.hdf5", **named)
    assert FORMAT.recognises(path)
    keys = {"observations": ("a", "b"), "actions": ("act",), "timeouts": ("episode_terminals",)}
    found = [episode for _, episode in FORMAT.read(path, (0, 1), keys)]
    whole = read(write(tmp_path / "whole.hdf5"))
    assert len(found) == len(whole)
    for ours, theirs in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours.observations[:-1], theirs.observations[:-1])
        np.testing.assert_array_equal(ours.actions, theirs.actions)
    with pytest.raises(InputError, match="column nought is missing"):
        FORMAT.describe(path, {**keys, "actions": ("nought",)})
    with h5py.File(path, "a") as file:
        file["short"] = np.zeros((3, 2))
    with pytest.raises(InputError, match=r"observations .* are not alike in steps"):
        FORMAT.describe(path, {**keys, "observations": ("a", "short")})
