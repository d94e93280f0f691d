"""RLlib's offline Parquet, written by RLlib's own functions: both forms, every field."""

import base64
import functools
import importlib
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import msgpack
import msgpack_numpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rllib_recordings import (
    ENDS,
    LENGTHS,
    WRITERS,
    packed,
    recorded,
    rows_of,
    three,
    write_compressed,
    write_episodes,
    write_items,
    write_rows,
    write_steps,
)

from awac_dist.data.columns import ENDS as ENDS_IN_USE
from awac_dist.data.formats import rllib_parquet, step_parquet
from awac_dist.data.formats.rllib_parquet import FORMAT
from awac_dist.data.sources import FORMATS, find
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin


def read(path: str, share: tuple[int, int] = (0, 1)) -> list[tuple[int, Episode]]:
    return list(FORMAT.read(path, share))


def assert_is(
    episode: Episode, first: int, steps: int, ended: tuple[bool, bool], number: int, start: int = 0
) -> None:
    now = np.arange(first, first + steps + 1)
    wanted = np.stack([now, -now, np.full(steps + 1, 0.5)], axis=1)
    np.testing.assert_array_equal(episode.observations, np.float32(wanted))
    np.testing.assert_array_equal(
        episode.actions, np.float32(np.stack([now[:-1] / 10, now[:-1] / 100], axis=1))
    )
    np.testing.assert_array_equal(episode.rewards, np.float32(now[:-1] + 0.25))
    for column in (episode.observations, episode.actions, episode.rewards):
        assert column.dtype == np.float32
    assert (episode.terminated, episode.truncated) == ended
    assert episode.origin == Origin("prior", episode=number, start=start)
    assert episode.desired_goals is episode.achieved_goals is episode.successes is None


@pytest.mark.parametrize("write", WRITERS)
def test_every_field_of_every_episode(tmp_path: Path, write: Callable[[Path], str]) -> None:
    path = write(tmp_path)
    assert FORMAT.recognises(path)
    info = FORMAT.describe(path)
    assert (info.env_id, info.observation_size, info.action_size, info.episodes) == (None, 3, 2, 3)
    found = read(path)
    assert [number for number, _ in found] == [0, 1, 2]
    for number, episode in found:
        assert_is(episode, 10 * number, LENGTHS[number], ENDS[number], number)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_shares_partition_the_episodes(
    tmp_path: Path, write: Callable[[Path], str], of: int
) -> None:
    path, numbers = write(tmp_path), []
    for index in range(of):
        for number, episode in read(path, (index, of)):
            assert number % of == index
            assert_is(episode, 10 * number, LENGTHS[number], ENDS[number], number)
            numbers.append(number)
    assert sorted(numbers) == [0, 1, 2]


@pytest.mark.parametrize("ends", ["terminateds", "new_obs", None])
def test_one_row_without_a_successor_is_left_out(tmp_path: Path, ends: str | None) -> None:
    """Of the episodes of one row, only the third is a true end."""
    flags = [(True, False), (False, False), (True, False), (False, True)]
    ones = [recorded(1, 10 * n, its, id_=f"one{n}") for n, its in enumerate(flags, start=3)]
    rows = rows_of([ones[1], *three(), ones[2], ones[3]])
    left = {"terminateds": {"new_obs"}, "new_obs": set(), None: {"new_obs", "terminateds"}}[ends]
    kept = [{name: its for name, its in row.items() if name not in left} for row in rows]
    path = write_rows(tmp_path / "a.parquet", kept)
    wanted = {"terminateds": [0, 10, 20, 50], "new_obs": [40, 0, 10, 20, 50, 60], None: [0, 10, 20]}
    info = FORMAT.describe(path)
    assert info.episodes == len(wanted[ends])
    count = str(6 - info.episodes) if info.episodes < 6 else None
    assert info.facts.get("episodes of one step without successor, left out") == count
    for of in (1, 2, 4):
        found = dict(pair for index in range(of) for pair in read(path, (index, of)))
        firsts = [found[number].observations[0, 0] for number in range(len(found))]
        assert firsts == wanted[ends]


def test_interleaved_rows_over_the_files_of_a_folder(tmp_path: Path) -> None:
    rows = [row | {"t": t} for e in three() for t, row in enumerate(rows_of([e]))]
    mixed = [rows[n] for n in np.random.default_rng(0).permutation(len(rows))]
    write_rows(tmp_path / "halfcheetah" / "run-000001-00001" / "0.parquet", mixed[:4])
    write_rows(tmp_path / "halfcheetah" / "run-000001-00002" / "0.parquet", mixed[4:])
    assert FORMAT.recognises(str(tmp_path))
    assert FORMAT.recognises(tmp_path.as_uri())
    assert FORMAT.describe(str(tmp_path)).episodes == 3
    last = {int(row["eps_id"][2]): place for place, row in enumerate(mixed)}
    order = sorted(last, key=lambda n: last[n])  # numbers follow the last rows
    for of in (1, 2, 3):
        found = [pair for index in range(of) for pair in read(tmp_path.as_uri(), (index, of))]
        for number, episode in found:
            n = order[number]
            assert_is(episode, 10 * n, LENGTHS[n], ENDS[n], number)
        assert sorted(number for number, _ in found) == [0, 1, 2]


@pytest.mark.parametrize("query", ["", "?region=us-east-1"])
def test_a_folder_whose_uri_is_quoted_is_one_dataset(tmp_path: Path, query: str) -> None:
    folder, rows = tmp_path / "my data, 100%", rows_of(three())
    write_rows(folder / "run 1" / "a b.parquet", rows[:4])
    write_rows(folder / "run 2" / "0.parquet", rows[4:])
    (file,) = find(f"{folder.as_uri()}{query}").files
    assert FORMATS[file.format] is FORMAT
    assert [number for number, _ in read(file.path)] == [0, 1, 2]


def test_many_rows_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_parquet, "ROWS_PER_READ", 3)
    monkeypatch.setattr(rllib_parquet, "ITEMS_PER_READ", 2)
    for write in WRITERS:
        found = read(write(tmp_path))
        assert [number for number, _ in found] == [0, 1, 2]
        for number, episode in found:
            assert_is(episode, 10 * number, LENGTHS[number], ENDS[number], number)


def test_fragments_of_an_episode_share_its_number_and_leave_out_what_was_looked_back_at(
    tmp_path: Path,
) -> None:
    whole = recorded(2, 0, (False, False), id_="long")
    rest = whole.cut(len_lookback_buffer=2)
    rest.add_env_step(np.float32([3, -3, 0.5]), np.float32([0.2, 0.02]), 2.25, terminated=True)
    other = recorded(1, 50, (False, True), id_="other")
    path = write_items(tmp_path / "p.parquet", [packed(other), packed(whole), packed(rest)])
    (_, first), (_, second), (_, third) = read(path)
    assert_is(first, 50, 1, (False, True), 0)
    assert_is(second, 0, 2, (False, False), 1)
    assert_is(third, 2, 1, (True, False), 1, start=2)
    shares = [[number for number, _ in read(path, (index, 3))] for index in range(3)]
    assert shares == [[0], [1, 2], []]
    finished = write_items(tmp_path / "f.parquet", [packed(e.to_numpy()) for e in (whole, rest)])
    assert_is(read(finished)[1][1], 2, 1, (True, False), 0, start=2)


def test_without_successors_the_last_step_is_left_out_unless_it_terminated(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "new_obs"} for row in rows_of(three())]
    (_, ended), (_, cut), (_, open_ended) = read(write_rows(tmp_path / "a.parquet", rows))
    np.testing.assert_array_equal(ended.observations[:, 0], [0, 1, 2, 2])
    assert (len(ended), ended.terminated) == (3, True)
    assert_is(cut, 10, 3, (False, True), 1)
    assert_is(open_ended, 20, 1, (False, False), 2)


def test_without_flags_an_episode_is_a_fragment(tmp_path: Path) -> None:
    flags = {"terminateds", "truncateds"}
    rows = [{k: v for k, v in row.items() if k not in flags} for row in rows_of(three())]
    for number, episode in read(write_rows(tmp_path / "a.parquet", rows)):
        assert_is(episode, 10 * number, LENGTHS[number], (False, False), number)


def test_the_same_is_read_where_nothing_of_ray_is_imported(tmp_path: Path) -> None:
    path = write_steps(tmp_path)
    code = (
        "import sys; from awac_dist.data.formats.rllib_parquet import FORMAT\n"
        f"print([len(e) for _, e in FORMAT.read({path!r}, (0, 1))], 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[3, 4, 2] False"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_what_ray_data_writes_is_what_these_tests_write(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    ray.data.from_items(rows_of(three())).write_parquet(str(tmp_path / "steps"))
    ray.data.from_items([packed(e) for e in three()]).write_parquet(str(tmp_path / "items"))
    for folder in ("steps", "items"):
        found = read(str(tmp_path / folder))
        assert len(found) == 3
        by_length = {len(episode): (number, episode) for number, episode in found}
        for n, steps in enumerate(LENGTHS):
            number, episode = by_length[steps]
            assert_is(episode, 10 * n, steps, ENDS[n], number)


def test_a_dataset_that_a_glob_matches_is_not_read_again_by_its_files(tmp_path: Path) -> None:
    rows = rows_of(three())
    for folder in ("a/run-1", "a/run-2"):
        write_rows(tmp_path / folder / "0.parquet", rows[:6] if folder.endswith("1") else rows[6:])
    (tmp_path / "z.npz").write_text("cut")
    (file,) = find(f"{tmp_path}/**").files
    assert file.path == str(tmp_path / "a")


def test_other_data_in_the_folder_is_not_hidden(tmp_path: Path) -> None:
    write_steps(tmp_path)
    trajectory = {"observations": np.zeros((3, 3)), "actions": np.zeros((3, 2))}
    np.savez(tmp_path / "z.npz", rewards=np.zeros(3), terminals=np.eye(3)[2], **trajectory)
    (tmp_path / "damaged.hdf5").write_text("cut")
    (tmp_path / "more").mkdir()
    write_steps(tmp_path / "more")
    source = find(str(tmp_path))
    assert [file.format for file in source.files] == [FORMAT.name, "RLlib Parquet", "NumPy .npz"]
    (said,) = source.remarks
    assert said.startswith(f"{tmp_path / 'damaged.hdf5'}: is passed over")


def test_other_files_are_not_recognised(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item": ["text"]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    (tmp_path / "no.parquet").write_text("eps_id,obs")
    (tmp_path / "mixed").mkdir()
    write_steps(tmp_path / "mixed")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "mixed" / "z.parquet")
    (tmp_path / "empty").mkdir()
    for path in (*tmp_path.iterdir(), tmp_path / "absent", "nosuch://place"):
        assert not FORMAT.recognises(str(path))


def test_our_own_format_is_not_taken_for_rllibs(tmp_path: Path) -> None:
    own = importlib.import_module("awac_dist.data.parquet")
    spec = EnvSpec("Counting-v0", 3, 2, (-1.0, -1.0), (1.0, 1.0), 10)
    own.write_episodes(str(tmp_path / "own.parquet"), [], spec)
    assert not FORMAT.recognises(str(tmp_path / "own.parquet"))
    assert not own.FORMAT.recognises(write_steps(tmp_path))


# Damage.


def without(rows: list[Any], name: str) -> list[Any]:
    return [{k: v for k, v in row.items() if k != name} for row in rows]


def changed(rows: list[Any], step: int, **changes: Any) -> list[Any]:
    return [row | changes if n == step else row for n, row in enumerate(rows)]


def all_changed(rows: list[Any], **changes: Any) -> list[Any]:
    return [row | changes for row in rows]


def evil() -> str:
    class Evil:
        def __reduce__(self) -> Any:
            return exec, ("open('witness', 'w')",)

    return base64.b64encode(lz4.frame.compress(pickle.dumps(Evil()))).decode()


def bomb() -> str:
    data = pickle.dumps(np.zeros(20_000_000))
    return base64.b64encode(lz4.frame.compress(data)).decode()


STEP_DAMAGE: dict[str, tuple[Callable[[list[Any]], list[Any]], str]] = {
    "ragged": (
        lambda r: changed(r, 4, obs=np.float32([1])),
        r"episode 1 \(id1\): obs: is ragged: steps of 1 and 3",
    ),
    "wide": (
        lambda r: [x | {"actions": np.float32([1, 2, 3])} if n > 6 else x for n, x in enumerate(r)],
        r"episode 2 \(id2\): actions: is 3 wide, in the first episode 2",
    ),
    "discrete": (lambda r: all_changed(r, actions=1), r"actions: has shape \(1,\): store one"),
    "text": (lambda r: all_changed(r, obs="hello!"), "obs: is text that RLlib did not compress"),
    "texts": (lambda r: all_changed(r, obs=["a", "b", "c"]), "obs: .*not compress"),
    "dicts": (lambda r: all_changed(r, obs={"image": [1.0]}), "obs: is a column of struct"),
    "dates": (lambda r: all_changed(r, rewards=np.datetime64(1, "s")), "rewards: is a column of t"),
    "evil": (lambda r: all_changed(r, obs=evil()), r"obs: wants to import builtins\.exec"),
    "bomb": (lambda r: all_changed(r, obs=bomb()), "obs: is no pickle of trajectories"),
    "missing actions": (
        lambda r: without(r, "actions"),
        "episode: actions: no 'actions' among",
    ),
    "missing rewards": (
        lambda r: without(r, "rewards"),
        "episode: rewards: no 'rewards' among",
    ),
    "dones": (
        lambda r: [x | {"dones": False} for x in without(r, "terminateds")],
        "every episode: dones: may be true ends",
    ),
    "no name": (lambda r: changed(r, 4, eps_id=None), "every episode: eps_id: a row has none"),
    "odd name": (lambda r: all_changed(r, eps_id=1.5), "eps_id: a row has none, or it is neither"),
    "early end": (
        lambda r: changed(r, 4, terminateds=True),
        r"episode 1 \(id1\): terminateds: ends at step 1 of 4 and goes on: give",
    ),
    "shuffled": (lambda r: [*r[:4], r[5], r[4], *r[6:]], r"episode 1 \(id1\): new_obs: at step 0"),
    "lost row": (lambda r: [*r[:4], *r[5:]], r"episode 1 \(id1\): new_obs: at step 0 is not"),
    "lost time": (
        lambda r: [x | {"t": t} for t, x in enumerate(r) if t != 4],
        r"episode 1 \(id1\): t: goes from 3 to 5: complete",
    ),
    "twice": (lambda r: [x | {"t": 0} for x in r], r"episode 0 \(id0\): t: goes from 0 to 0"),
    "empty steps": (lambda r: all_changed(r, obs=np.zeros(0, np.float32)), "new_obs: has shape"),
}


def outcome(look: Callable[[str], Any], path: str) -> str:
    """The error's line, nothing where there is none."""
    try:
        look(path)
    except InputError as error:
        return str(error)
    return ""


def assert_refused(path: str, wanted: str) -> None:
    for look in (FORMAT.describe, read):
        message = outcome(look, path)
        assert message.startswith(path) or look is not read
        assert "\n" not in message
    with pytest.raises(InputError, match=wanted):
        read(path)


@pytest.mark.parametrize("damage", STEP_DAMAGE)
def test_damaged_steps_are_named_in_one_line(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    harm, wanted = STEP_DAMAGE[damage]
    assert_refused(write_rows(tmp_path / "steps.parquet", harm(rows_of(three()))), wanted)
    assert not Path("witness").exists()


def state(**changes: Any) -> bytes:
    found = three()[1].get_state()
    for name, change in changes.items():
        found[name] = {**found[name], **change} if isinstance(change, dict) else change
    return msgpack.packb(found, default=msgpack_numpy.encode)


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("open('witness', 'w')",)


ITEM_DAMAGE: dict[str, tuple[Callable[[], Any], str]] = {
    "ragged": (lambda: state(actions={"data": [np.ones(2), np.ones(3)]}), "actions: is ragged"),
    "wide": (lambda: state(actions={"data": np.ones((4, 3))}), "actions: is 3 wide, in the first"),
    "flat": (lambda: state(actions={"data": [1.0] * 4}), r"actions: has shape \(4,\): store one"),
    "text": (lambda: state(actions={"data": ["a"] * 4}), "actions: is a str, not numbers"),
    "no steps": (lambda: state(actions={"data": np.ones((0, 2))}), "actions: has no steps"),
    "no column": (lambda: state(rewards=None), "rewards: is missing: write the episode again"),
    "lookback": (lambda: state(rewards={"lookback": "x"}), "rewards: is no column of an episode"),
    "flag": (lambda: state(is_terminated="no"), "is_terminated: is missing or not yes or no"),
    "start": (lambda: state(t_started=-1), "t_started: is missing or no step"),
    "short": (lambda: state(rewards={"data": [1.0]}), "rewards: has 1 rows for 4 actions"),
    "cut": (lambda: state()[:-30], "item: is no msgpack of an episode, or damaged: .*: copy"),
    "not msgpack": (lambda: b"hello", "item: is no msgpack of an episode"),
    "nothing": (lambda: b"", "item: is no msgpack of an episode"),
    "null": (lambda: None, "item: is no msgpack of an episode"),
    "a list": (lambda: msgpack.packb([1]), "item: is no msgpack of an episode"),
    "no id": (lambda: msgpack.packb({"a": 1}), "id_: is missing"),
    "pickled": (
        lambda: state(observations={"data": np.array([Evil()] * 5, object)}),
        "observations: is no column of an episode",
    ),
    "pickled step": (
        lambda: state(observations={"data": [np.array([Evil()], object)] * 5}),
        "observations: is a dict of",
    ),
    "few bytes": (
        lambda: msgpack.packb(
            {
                "id_": "x",
                "a": {
                    b"nd": True,
                    b"type": "<f8",
                    b"kind": b"",
                    b"shape": (1 << 40,),
                    b"data": b"1",
                },
            }
        ),
        "item: is no msgpack",
    ),
}


@pytest.mark.parametrize("damage", ITEM_DAMAGE)
def test_damaged_episodes_are_named_in_one_line(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    harm, wanted = ITEM_DAMAGE[damage]
    items = [packed(three()[0]), harm()]
    assert_refused(write_items(tmp_path / "items.parquet", items), f"episode 1: {wanted}")
    assert not Path("witness").exists()


@pytest.mark.parametrize("value", [np.nan, None])
def test_numbers_that_are_none_are_read(tmp_path: Path, value: float | None) -> None:
    rows = changed(rows_of(three()), 4, rewards=value)
    items = [packed(three()[0]), state(rewards={"data": [1.0, np.nan, 1.0, 1.0]})]
    for path in (
        write_rows(tmp_path / "steps.parquet", rows),
        write_items(tmp_path / "items.parquet", items),
    ):
        counts = [int(np.isnan(episode.rewards).sum()) for _, episode in read(path)]
        assert counts[:2] == [0, 1]


def test_pickles_in_what_is_not_needed_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    item = state(infos={"data": [np.array([Evil()], object)] * 5})
    [(_, episode)] = read(write_items(tmp_path / "items.parquet", [item]))
    assert_is(episode, 10, 4, (False, True), 0)
    assert not Path("witness").exists()


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "harm", [lambda b: b[: len(b) // 2], lambda b: b"eps_id,obs,actions\n", lambda b: b""]
)
def test_a_damaged_file_is_named_in_one_line(
    tmp_path: Path, write: Callable[[Path], str], harm: Callable[[bytes], bytes]
) -> None:
    path = Path(write(tmp_path))
    path.write_bytes(harm(path.read_bytes()))
    assert not FORMAT.recognises(str(path))
    assert_refused(str(path), "cannot be read as Parquet: .*copy it again")


def test_no_file_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    assert_refused(str(tmp_path / "absent"), "there are no Parquet files")
    assert_refused(str(tmp_path), "there are no Parquet files")


@pytest.mark.parametrize(
    ("write", "module"), [(write_episodes, "msgpack"), (write_compressed, "lz4")]
)
def test_a_missing_package_is_one_line_with_the_remedy(
    tmp_path: Path, write: Callable[[Path], str], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    for name in (module, f"{module}.frame"):
        monkeypatch.setitem(sys.modules, name, None)
    assert_refused(path, rf"needs the package {module}: pip install 'awac_dist\[data\]'")


@functools.cache  # RLlib writes the time of day, and hypothesis wants the same bytes again
def valid(write: Callable[[Path], str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(write(Path(folder))).read_bytes()


@functools.cache
def valid_item() -> bytes:
    return state()


@pytest.mark.parametrize("write", WRITERS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_corrupted_file_is_a_dataset_or_an_error(
    tmp_path: Path, write: Callable[[Path], str], data: st.DataObject
) -> None:
    path = tmp_path / "corrupted.parquet"
    whole = bytearray(valid(write))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    expect_data_or_error(path)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_corrupted_item_is_a_dataset_or_an_error(tmp_path: Path, data: st.DataObject) -> None:
    item = bytearray(valid_item())
    for _ in range(data.draw(st.integers(1, 4))):
        item[data.draw(st.integers(0, len(item) - 1))] = data.draw(st.integers(0, 255))
    expect_data_or_error(Path(write_items(tmp_path / "i.parquet", [bytes(item)])))


def expect_data_or_error(path: Path) -> None:
    FORMAT.recognises(str(path))
    message = outcome(FORMAT.describe, str(path)) + outcome(read, str(path))
    assert "\n" not in message
    if message:
        return
    info, found = FORMAT.describe(str(path)), read(str(path))
    assert len(found) == info.episodes
    for _, episode in found:
        assert np.isfinite(episode.observations).all()
        assert episode.observations.shape == (len(episode) + 1, info.observation_size)


def test_the_user_says_what_columns_are_called(tmp_path: Path) -> None:
    path = write_steps(tmp_path)
    table = pq.read_table(path)
    names = {"obs": "state", "actions": "act", "terminateds": "end"}
    table = table.rename_columns([names.get(name, name) for name in table.column_names])
    other = tmp_path / "other" / "a.parquet"
    other.parent.mkdir()
    pq.write_table(table, other)
    keys = {"observations": ("state",), "actions": ("act",), "terminals": ("end",)}
    assert FORMAT.recognises(str(other))
    ours = [episode for _, episode in FORMAT.read(str(other), (0, 1), keys)]
    theirs = [episode for _, episode in FORMAT.read(path, (0, 1))]
    for own, its in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own.observations, its.observations)
        assert (own.terminated, own.truncated) == (its.terminated, its.truncated)
    with pytest.raises(InputError, match="actions: no 'nought' among 'eps_id'"):
        FORMAT.describe(str(other), {**keys, "actions": ("nought",)})


def test_a_damaged_file_among_others_tears_no_episode(tmp_path: Path) -> None:
    rows = rows_of(three())
    for name, part in (("0", rows[:5]), ("1", rows[5:8]), ("2", rows[8:])):
        write_rows(tmp_path / f"{name}.parquet", part)
    damaged = tmp_path / "1.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (file,) = find(str(tmp_path)).files
    with pytest.raises(InputError, match=f"{damaged}: cannot be read as Parquet"):
        FORMATS[file.format].describe(file.path)


@pytest.mark.parametrize("named", list(zip(*ENDS_IN_USE.values(), strict=True)))
def test_ends_have_the_names_in_use(named: tuple[str, str], tmp_path: Path) -> None:
    of_rllib = dict(zip(("terminateds", "truncateds"), named, strict=True))
    rows = [{of_rllib.get(key, key): its for key, its in row.items()} for row in rows_of(three())]
    found = [episode for _, episode in read(write_rows(tmp_path / "a.parquet", rows))]
    assert [(episode.terminated, episode.truncated) for episode in found] == list(ENDS)
