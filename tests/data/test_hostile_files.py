"""Files that would fill the memory, answer never, or show others: one line, before it happens."""

import io
import os
import pickle
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from awac_dist import files
from awac_dist.data import journal, sources
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import FORMATS
from awac_dist.errors import InputError
from awac_dist.policies.npz import read_policy
from awac_dist.types import EnvSpec, Episode, Origin

ROOM = 1 << 20  # of the budget in these tests
MANY = 400_000  # numbers, 1.6 MB of them
TOO_MUCH = r"would unpack to more than \d+ MiB"


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNPACKED_BYTES", ROOM)


def read(name: str, path: Path) -> None:
    FORMATS[name].describe(str(path))
    list(FORMATS[name].read(str(path), (0, 1)))


def constant(rows: int, width: int = 3) -> pa.Array:
    """Lists of zeros, which Parquet packs to nothing."""
    flat = pa.array(np.zeros(rows * width, np.float32))
    return pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * width, flat)


def rllib_steps(path: Path) -> None:
    names = {"eps_id": pa.array(np.zeros(MANY, np.int64)), "obs": constant(MANY)}
    names |= {"actions": constant(MANY), "rewards": pa.array(np.zeros(MANY, np.float32))}
    pq.write_table(pa.table(names), path, compression="zstd")


def rllib_ids(path: Path) -> None:
    """An episode a row: nothing but what Python keeps of them."""
    names = {"eps_id": pa.array(np.arange(9_000)), "obs": constant(9_000, 1)}
    names |= {"actions": constant(9_000, 1), "rewards": pa.array(np.zeros(9_000, np.float32))}
    pq.write_table(pa.table(names), path, compression="zstd")


def rllib_open(path: Path) -> None:
    """Episodes that end long after they began: what Arrow keeps of the parts of each."""
    count = 1_500
    ids = np.tile(np.arange(count), 5)
    names = {"eps_id": pa.array(ids), "obs": constant(len(ids), 1)}
    names |= {"actions": constant(len(ids), 1), "rewards": pa.array(np.zeros(len(ids), np.float32))}
    pq.write_table(pa.table(names), path, compression="zstd")


def rllib_item(path: Path) -> None:
    """Lists in lists: a byte each in the file, 56 in Python."""
    empty = b"\xdd" + (60_000).to_bytes(4, "big") + b"\x90" * 60_000
    item = b"\x82\xa3id_\xa1a\xa1x" + empty
    pq.write_table(pa.table({"item": pa.array([item], pa.binary())}), path, compression="zstd")


def own_parquet(path: Path) -> None:
    def nested(rows: int) -> pa.Array:
        return pa.ListArray.from_arrays(np.int32([0, rows]), constant(rows, 2))

    names = {"observations": nested(MANY + 1), "actions": nested(MANY)}
    names |= {"rewards": constant(1, MANY), "terminated": [False], "truncated": [True]}
    pq.write_table(pa.table(names), path, compression="zstd")


def own_lying(path: Path) -> None:
    """The same, whose footer says that there are 9 numbers in 99 bytes."""
    own_parquet(path)
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for stated, lie in ((column.num_values, 9), (column.total_uncompressed_size, 99)):
        at = content.index(varint(2 * stated), footer)
        room = len(varint(2 * stated))
        content[at : at + room] = varint(2 * lie, room)
    path.write_bytes(content)


def varint(value: int, length: int = 0) -> bytes:
    """As Thrift has it, at least so long."""
    found = bytearray()
    while value > 127 or len(found) < length - 1:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes(found) + bytes([value])


PAGES = {  # what a page says of itself, in Thrift
    "a list of 2^50 numbers": b"\x19\xf7" + varint(1 << 50),
    "a number of 2 million bits": b"\x15" + b"\xff" * (1 << 18),
}


@pytest.mark.parametrize("header", PAGES.values(), ids=list(PAGES))
def test_a_page_that_lies_is_one_line_at_once(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pages.parquet"
    own_parquet(path)
    table = pq.read_table(path).append_column("more", pa.array([b"\xaa" * (1 << 19)]))
    pq.write_table(table, path, compression="none", use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(0)
    at = group.column(group.num_columns - 1).data_page_offset
    content = bytearray(path.read_bytes())
    content[at : at + len(header)] = header
    path.write_bytes(content)
    begin = time.monotonic()
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read("awac_dist Parquet", path)
    assert time.monotonic() - begin < 1


def own_rows(path: Path) -> None:
    def nested(steps: int) -> pa.Array:
        ends = np.arange(3_001, dtype=np.int32) * steps
        return pa.ListArray.from_arrays(ends, constant(3_000 * steps, 1))

    names: dict[str, Any] = {"observations": nested(2), "actions": nested(1)}
    names |= {"rewards": constant(3_000, 1), "terminated": [True] * 3_000}
    names |= {"truncated": [False] * 3_000}
    pq.write_table(pa.table(names), path, compression="zstd")


def d4rl(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, width in (("observations", 4), ("actions", 2)):
            file.create_dataset(name, (MANY, width), "f4", compression="gzip")
        for name in ("rewards", "terminals"):
            file.create_dataset(name, (MANY,), "f4", compression="gzip")


def d4rl_chunk(path: Path) -> None:
    """Few rows in a chunk that is unpacked as a whole."""
    with h5py.File(path, "w") as file:
        for name, width in (("observations", 4), ("actions", 2)):
            chunks = {"chunks": (MANY, width), "maxshape": (None, width)}
            file.create_dataset(name, (5, width), "f4", compression="gzip", **chunks)
        file["rewards"] = file["terminals"] = np.zeros(5)


def robomimic(path: Path) -> None:
    """One column under many names."""
    with h5py.File(path, "w") as file:
        shared = file.create_dataset("shared", (20_000, 2), "f4", compression="gzip")
        flat = file.create_dataset("flat", (20_000,), "f4", compression="gzip")
        for k in range(40):
            demo = file.create_group(f"data/demo_{k}")
            demo["obs/pos"] = demo["actions"] = shared
            demo["rewards"] = demo["dones"] = flat


def repeated_pickle(path: Path) -> None:
    """One trajectory again and again."""
    flat = np.random.default_rng(0).normal(size=(50, 2))
    one = {"observations": flat, "actions": flat, "rewards": flat[:, 0]}
    path.write_bytes(pickle.dumps([one] * 20_000))


def repeated_step(path: Path) -> None:
    step = np.zeros(100).tolist()
    one = {"observations": [step] * 5_000, "actions": [step] * 5_000, "rewards": [0.0] * 5_000}
    path.write_bytes(pickle.dumps([one]))


def trajectories_npz(path: Path) -> None:
    zeros = np.zeros((MANY, 2), np.float32)
    np.savez_compressed(path, observations=zeros, actions=zeros, rewards=zeros[:, 0])


SMALL_FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "steps.parquet": ("RLlib Parquet", rllib_steps),
    "ids.parquet": ("RLlib Parquet", rllib_ids),
    "open.parquet": ("RLlib Parquet", rllib_open),
    "item.parquet": ("RLlib Parquet", rllib_item),
    "own.parquet": ("awac_dist Parquet", own_parquet),
    "lying.parquet": ("awac_dist Parquet", own_lying),
    "rows.parquet": ("awac_dist Parquet", own_rows),
    "d4rl.hdf5": ("D4RL HDF5", d4rl),
    "chunk.hdf5": ("D4RL HDF5", d4rl_chunk),
    "robomimic.hdf5": ("robomimic HDF5", robomimic),
    "trajectory.pickle": ("demonstration pickle", repeated_pickle),
    "step.pickle": ("demonstration pickle", repeated_step),
    "zeros.npz": ("NumPy .npz", trajectories_npz),
}


@pytest.mark.usefixtures("small_room")
@pytest.mark.parametrize("name", SMALL_FILES)
def test_a_small_file_that_would_grow_is_one_line(name: str, tmp_path: Path) -> None:
    form, write = SMALL_FILES[name]
    write(tmp_path / name)
    began = time.perf_counter()
    with pytest.raises(InputError, match=TOO_MUCH) as refused:
        read(form, tmp_path / name)
    assert time.perf_counter() - began < 10
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("small_room")
def test_honest_numbers_of_any_size_are_read(tmp_path: Path) -> None:
    """More than the room, in a file that is as large as they are."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, shape in (("observations", (9, 90_000)), ("actions", (9, 2)), ("rewards", (9,))):
            file.create_dataset(name, data=rng.normal(size=shape).astype("f4"), compression="gzip")
        file["terminals"] = np.zeros(9)
    assert (tmp_path / "a.hdf5").stat().st_size > ROOM
    read("D4RL HDF5", tmp_path / "a.hdf5")


SHORT = 5_000  # episodes, of one step


def d4rl_short(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, column in short_columns().items():
            file["observations" if name == "obs" else name] = column


def npz_short(path: Path) -> None:
    columns = short_columns()
    with path.open("wb") as file:
        np.savez(file, observations=columns.pop("obs"), **columns)


def rllib_short(path: Path) -> None:
    columns = {name: [*its] if its.ndim > 1 else its for name, its in short_columns().items()}
    pq.write_table(pa.table({"eps_id": np.arange(SHORT), **columns}), path)


def short_columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"obs": (SHORT, 3), "actions": (SHORT, 1), "rewards": SHORT}
    numbers = {name: rng.normal(size=size).astype("f4") for name, size in sizes.items()}
    return {**numbers, "terminateds": np.ones(SHORT, bool)}


@pytest.mark.usefixtures("small_room")
@pytest.mark.parametrize(
    ("form", "write"),
    [("D4RL HDF5", d4rl_short), ("RLlib Parquet", rllib_short), ("NumPy .npz", npz_short)],
)
def test_many_short_episodes_are_read(
    form: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "short"
    write(path)
    assert FORMATS[form].describe(str(path)).episodes == SHORT
    assert [number for number, _ in FORMATS[form].read(str(path), (7, 100))] == [
        *range(7, SHORT, 100)
    ]


@pytest.mark.usefixtures("small_room")
@pytest.mark.parametrize(("count", "steps"), [(1, MANY // 2), (2, 30_000), (SHORT, 1)])
def test_whatever_we_write_is_read_again(count: int, steps: int, tmp_path: Path) -> None:
    """Observations that hardly change, as maps and pictures, which pack to next to nothing."""
    spec = EnvSpec("Still-v0", 3, 1, (-1.0,), (1.0,), steps)
    still, moves = np.zeros((steps + 1, 3), "f4"), np.zeros((steps, 1), "f4")
    episode = Episode(still, moves, moves[:, 0], False, True, Origin("online"))
    path = tmp_path / "still.parquet"
    write_episodes(str(path), [episode] * count, spec)
    its = FORMATS["awac_dist Parquet"]
    assert its.describe(str(path)).episodes == count
    assert [len(episode) for _, episode in its.read(str(path), (0, 1))] == [steps] * count


@pytest.mark.usefixtures("small_room")
def test_a_policy_of_zeros_is_one_line(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", weight_0=np.zeros((MANY, 1)))
    with pytest.raises(InputError, match=TOO_MUCH):
        read_policy(str(tmp_path / "a.npz"))


def test_a_policy_packed_without_a_bound_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("weight_0.npy", bytes(100))
    with pytest.raises(InputError, match="packed in an unusual way"):
        read_policy(str(tmp_path / "a.npz"))


def record(payload: bytes) -> bytes:
    return journal._header(len(payload), zlib.crc32(payload)) + payload


def test_a_journal_whose_records_are_compressed_is_refused(tmp_path: Path) -> None:
    table = pa.table({"observations": constant(MANY)})
    packed = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(packed, table.schema, options=options) as stream:
        stream.write_table(table)
    messages = pa.ipc.MessageReader.open_stream(packed.getvalue())
    content = b"".join(record(message.serialize().to_pybytes()) for message in messages)
    (tmp_path / "a.journal").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.journal: byte \d+: it is compressed"):
        FORMATS["awac_dist journal"].describe(str(tmp_path / "a.journal"))


# What is no file.


def test_what_is_no_file_is_one_line_and_does_not_hang(tmp_path: Path) -> None:
    for suffix in ("", ".parquet", ".hdf5", ".npz", ".journal", ".pickle"):
        pipe = tmp_path / f"pipe{suffix}"
        os.mkfifo(pipe)
        for place in (str(pipe), "/dev/zero"):
            with pytest.raises(InputError, match="is a pipe, a device or a socket"):
                sources.find(place)
    with pytest.raises(InputError, match="pipe"):
        read_policy(str(tmp_path / "pipe.npz"))
    with pytest.raises(InputError, match="holds nothing that we read"):
        sources.find(str(tmp_path))


@pytest.mark.parametrize("suffix", ["", ".parquet", ".hdf5", ".npz", ".journal", ".pickle", ".npy"])
def test_an_empty_file_is_one_line(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"empty{suffix}").write_bytes(b"")
    with pytest.raises(InputError, match=": is empty: fetch or write it again"):
        sources.find(str(tmp_path / f"empty{suffix}"))


# What lies in other files.


def outside(path: Path, how: str) -> None:
    secret = path.parent / "secret"
    secret.write_bytes(bytes(10_000))
    with h5py.File(path.parent / "other.hdf5", "w") as other:
        other["observations"] = np.zeros((5, 2))
    with h5py.File(path, "w") as file:
        file["actions"], file["rewards"], file["terminals"] = np.zeros((5, 2)), *np.zeros((2, 5))
        if how == "external storage":
            file.create_dataset("observations", (5, 2), "f4", external=[(str(secret), 0, 40)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((5, 2), "f8")
            layout[:] = h5py.VirtualSource(str(path.parent / "other.hdf5"), "observations", (5, 2))
            file.create_virtual_dataset("observations", layout)
        else:
            file["observations"] = h5py.ExternalLink("other.hdf5", "observations")
            if how == "soft to external":
                file["far"] = file.get("observations", getlink=True)
                del file["observations"]
                file["observations"] = h5py.SoftLink("/far")


@pytest.mark.parametrize(
    "how", ["external storage", "virtual", "external link", "soft to external"]
)
def test_hdf5_shows_no_other_file(tmp_path: Path, how: str) -> None:
    outside(tmp_path / "a.hdf5", how)
    with pytest.raises(InputError, match=r"a\.hdf5: .*(other files|another file)"):
        read("D4RL HDF5", tmp_path / "a.hdf5")


def test_a_link_inside_the_file_is_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["far/away"], file["actions"] = np.ones((5, 2)), np.zeros((5, 2))
        file["rewards"], file["terminals"] = np.zeros((2, 5))
        file["observations"] = h5py.SoftLink("/far/away")
        file["round"] = h5py.SoftLink("/round")
        file["next_observations"] = h5py.SoftLink("round")
    with pytest.raises(InputError, match="one too many"):
        read("D4RL HDF5", tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file["next_observations"]
    read("D4RL HDF5", tmp_path / "a.hdf5")
