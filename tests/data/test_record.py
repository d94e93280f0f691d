"""What a run learns from stays what it was: digests, copies, data that moved, data that joins."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from awac_dist.data import record
from awac_dist.data.parquet import write_episodes
from awac_dist.data.record import begin, go_on, record_of
from awac_dist.data.sources import Source, SourceFile, find, read_share
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin

SPEC = EnvSpec("Counting-v0", 1, 1, (-1.0,), (1.0,), 10)


def write(path: Path, value: float, episodes: int = 1) -> Path:
    """Write episodes of two steps, whose rewards are all one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.zeros((3, 1), np.float32), np.zeros((2, 1), np.float32)
    rewards = np.full(2, value, np.float32)
    whole = [Episode(*columns, rewards, False, True, Origin("prior"))] * episodes
    write_episodes(str(path), whole, SPEC)
    return path


def rewards(source: Source) -> list[float]:
    return [float(episode.rewards[0]) for _, episode in read_share(source, SPEC, 0, 1)]


def digest(path: str | Path) -> str:
    return record.digest(SourceFile(str(path), "awac_dist Parquet"))


def again(sources: Sequence[Source], *data: str | Path) -> list[Source]:
    """The sources of a run that goes on."""
    return go_on(record_of(sources), [str(argument) for argument in data], SPEC)


# Digests.


@pytest.mark.parametrize("size", [1, 1000, record.WHOLE_BYTES, record.WHOLE_BYTES + 1, 9 << 20])
def test_a_digest_is_of_length_and_content(tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "a", bytearray(size)
    path.write_bytes(content)
    known = digest(path)
    assert digest(path.as_uri()) == known
    seen = {known}
    for changed in {0, size - 1} | ({size // 3} if size <= record.WHOLE_BYTES else set()):
        content[changed] ^= 1
        path.write_bytes(content)
        seen.add(digest(path))
    path.write_bytes(bytes(size + 1))
    seen.add(digest(path))
    assert len(seen) == len({0, size - 1}) + 2 + (1 < size <= record.WHOLE_BYTES)


def test_a_column_that_changes_in_a_large_file_is_seen(tmp_path: Path) -> None:
    path, size = tmp_path / "a", 64 << 20
    with path.open("wb") as file:
        file.truncate(size)
    known = digest(path)
    rng = np.random.default_rng(0)
    for begin_at in rng.integers(size - size // 200, size=3).tolist():  # half a percent of it
        with path.open("r+b") as file:
            file.seek(begin_at)
            file.write(b"\1" * (size // 200))
        assert digest(path) != known


def test_a_digest_of_a_folder_is_of_all_files_in_it(tmp_path: Path) -> None:
    write(tmp_path / "a/b/c", 1)
    known = digest(tmp_path / "a")
    (tmp_path / "a/b/c").rename(tmp_path / "a/b/d")
    assert digest(tmp_path / "a") != known
    (tmp_path / "a/b/d").rename(tmp_path / "a/b/c")
    assert digest(tmp_path / "a") == known


# Copies.


def test_a_copy_is_not_drawn_twice(tmp_path: Path) -> None:
    first, copy = write(tmp_path / "data/a.parquet", 1), tmp_path / "data/b.parquet"
    copy.write_bytes(first.read_bytes())
    words = f"{copy}: would be drawn twice: {first} holds the same: leave one of them out"
    for data in ([str(tmp_path / "data")], [str(first), str(copy)]):
        with pytest.raises(InputError, match=words):
            begin(data, SPEC)
    with pytest.raises(InputError, match=f"{first}: would be drawn twice: named twice: leave one"):
        begin([str(first), f"{tmp_path}/data/[a]*"], SPEC)
    write(copy, 2)
    assert len(begin([str(tmp_path / "data")], SPEC)) == 1


def test_a_copy_whose_columns_have_other_names_is_not_drawn_twice(tmp_path: Path) -> None:
    column = np.zeros((3, 1))
    for name in "ab":
        np.savez(tmp_path / name, state=column, actions=column, rewards=column[:, 0])
    arguments = [f"{tmp_path / name}.npz,observations=state" for name in "ab"]
    with pytest.raises(InputError, match=r"b\.npz: would be drawn twice: .*a\.npz holds the same"):
        begin(arguments, SPEC)


def test_files_that_hold_nothing_may_be_equal(tmp_path: Path) -> None:
    for name, episodes in {"a": 0, "b": 0, "c": 1}.items():
        write(tmp_path / f"data/{name}.parquet", 1, episodes)
    assert len(begin([str(tmp_path / "data")], SPEC)[0].files) == 3


# A run that goes on.


def test_data_is_found_again_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write(tmp_path / f"data/{number}.parquet", number)
    monkeypatch.chdir(tmp_path)
    began = begin(["data,weight=2,kind=demonstration"], SPEC)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert again(began) == began
    assert again(again(began)) == began
    assert began[0].argument == "data,weight=2,kind=demonstration"


@pytest.mark.parametrize(("value", "episodes"), [(2, 1), (1, 2), (1, 0)])
def test_data_that_changed_is_named(tmp_path: Path, value: float, episodes: int) -> None:
    path = write(tmp_path / "data/a.parquet", 1)
    write(tmp_path / "data/b.parquet", 5)
    began = begin([str(path.parent)], SPEC)
    write(path, value, episodes)
    with pytest.raises(InputError, match=f"^{path}: is not what it was when the run began"):
        again(began)
    with pytest.raises(InputError, match=f"^{path}: is not what it was when the run began"):
        again(began, write(tmp_path / "new.parquet", 7))
    with pytest.raises(InputError, match=f"^{path}: is not what it was when the run began"):
        again(began, path.parent)


def test_data_that_moved_is_found_where_the_user_says(tmp_path: Path) -> None:
    write(tmp_path / "old/b.parquet", 1)
    write(tmp_path / "old/a.parquet", 2)
    began = begin([f"{tmp_path / 'old'},kind=prior"], SPEC)
    (tmp_path / "old").rename(tmp_path / "new")
    remedy = f"bring it back, or say with --data where {tmp_path / 'old'} is"
    with pytest.raises(InputError, match=f"old/a.parquet: is not there any more: {remedy}"):
        again(began)
    (tmp_path / "new/a.parquet").rename(tmp_path / "new/z.parquet")  # the order stays
    moved = again(began, tmp_path / "new")
    assert rewards(moved[0]) == rewards(again(moved)[0]) == [2, 1]
    assert (moved[0].argument, moved[0].kind) == (began[0].argument, "prior")
    with pytest.raises(InputError, match="which keeps its options: leave weight=3 out"):
        again(began, f"{tmp_path / 'new'},weight=3")


def test_new_data_joins(tmp_path: Path) -> None:
    began = begin([str(write(tmp_path / "a.parquet", 1))], SPEC)
    new = write(tmp_path / "b.parquet", 2)
    grown = again(began, f"{new},weight=3")
    assert [(source.weight, source.joined) for source in grown] == [(1, False), (3, True)]
    assert again(grown) == again(grown, tmp_path / "a.parquet", new) == grown
    copy = tmp_path / "c.parquet"
    copy.write_bytes(new.read_bytes())
    with pytest.raises(InputError, match="would be drawn twice"):
        again(began, new, copy)


def test_a_file_that_is_new_in_a_folder_is_named_and_not_read(tmp_path: Path) -> None:
    write(tmp_path / "data/b.parquet", 1)
    began = begin([str(tmp_path / "data")], SPEC)
    new = write(tmp_path / "data/a.parquet", 2)
    (source,) = again(began)
    assert rewards(source) == [1]
    assert source.remarks == (
        f"{tmp_path / 'data'}: 1 of its files are new since the run began, and not read: give them "
        f"as --data: {new}",
    )
    assert [rewards(source) for source in again(began, new)] == [[1], [2]]


@pytest.mark.parametrize(
    "text", ["", "{", "3", "[3]", '[{"files": [{"paths": 1}]}]', '[{"name": 1}]']
)
def test_a_damaged_record_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^sources\.json of the run cannot be read: [^\n]*$"):
        go_on(text, [], SPEC)


def test_an_embedded_dataset_is_found_wherever_it_is_installed(tmp_path: Path) -> None:
    source = find("halfcheetah-demonstrations")
    spec = EnvSpec("HalfCheetah-v5", 17, 6, (-1.0,) * 6, (1.0,) * 6, 1000)
    began = record_of(begin(["halfcheetah-demonstrations"], spec))
    elsewhere = began.replace(source.files[0].path, "/another/environment/data.parquet")
    assert go_on(elsewhere, [], spec)[0].files[0].path == source.files[0].path
