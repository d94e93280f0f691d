"""Odd and hostile files, and every door by which a person can hand one over.

    python tests/laws/odd_files.py [NAME ...]

makes each file, hands it to each door in a process of its own, and prints what came of it: the
exit code, seconds, memory beyond that of an idle process, and the last words.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from running import SMALL, write_demonstrations

import awac_dist
import awac_dist.cli.convert
import awac_dist.cli.dry_run
import awac_dist.cli.evaluate
import awac_dist.cli.export
import awac_dist.cli.launch
import awac_dist.cli.plot
import awac_dist.cli.report
import awac_dist.cli.validate
from awac_dist.cli.main import main
from awac_dist.envs.make import env_spec

env_spec("Pendulum-v1")  # all imports are done before a process is forked
SECONDS, GIB = 60, 1 << 30
FAULT, TIMED_OUT = 70, 124
CANARY = Path("/tmp") / f"awac-dist-executed-{os.getpid()}"
MAKERS: dict[str, tuple[str, Callable[[Path], None]]] = {}  # name -> (kind, writes the file)
Maker = Callable[[Path], None]


def odd(kind: str, name: str) -> Callable[[Maker], Maker]:
    """Register a maker of an odd file of this name, for the doors of its kind."""

    def register(make: Maker) -> Maker:
        MAKERS[f"{kind}: {make.__name__.replace('_', ' ')} ({name})"] = (kind, make)
        make.__dict__["file"] = name
        return make

    return register


# Files that are no files.


@odd("data", "a.parquet")
def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@odd("data", "folder")
def a_pipe_in_a_folder(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "a.hdf5")


@odd("data", "a.hdf5")
def a_device_that_never_ends(path: Path) -> None:
    path.symlink_to("/dev/zero")


@odd("data", "a.npy")
def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@odd("data", "a.pkl")
def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


@odd("data", "folder")
def a_folder_within_itself(path: Path) -> None:
    path.mkdir()
    (path / "inside").symlink_to(path)


@odd("data", "a.parquet")
def a_folder_with_a_files_name(path: Path) -> None:
    path.mkdir()
    (path / "b.parquet").mkdir()


@odd("data", "a.hdf5")
def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))


@odd("data", "a.pickle")
def eight_gigabytes_of_holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 * GIB)


@odd("data", "a\x1b[31m\nred.parquet")
def a_name_that_paints(path: Path) -> None:
    path.write_bytes(b"PAR1 but no more")


for _suffix in ("parquet", "hdf5", "npy", "npz", "pkl", "journal"):

    @odd("data", f"a.{_suffix}")
    def nothing_at_all(path: Path) -> None:
        path.write_bytes(b"")


# Parquet.


def _columns(steps: int = 5, **other: Any) -> dict[str, Any]:
    columns = {
        "observations": [[[0.0, 1.0, 2.0]] * (steps + 1)],
        "actions": [[[0.5]] * steps],
        "rewards": [[1.0] * steps],
        "terminated": [False],
        "truncated": [True],
        "kind": ["prior"],
        "policy_version": [-1],
        "worker": [-1],
        "incarnation": [0],
        "episode": [0],
        "start": [0],
        "seed": [0],
    }
    return {k: v for k, v in (columns | other).items() if v is not None}


def _parquet(path: Path, **other: Any) -> None:
    table = pa.table(_columns(**other))
    about = {"awac_dist.episodes": json.dumps({"env_id": "Pendulum-v1"})}
    pq.write_table(table.replace_schema_metadata(about), path)


@odd("data", "a.parquet")
def rows_of_no_steps(path: Path) -> None:
    _parquet(path, observations=[[]], actions=[[]], rewards=[[]])


@odd("data", "a.parquet")
def ragged_observations(path: Path) -> None:
    _parquet(path, observations=[[[0.0, 1.0, 2.0], [1.0]] * 3])


@odd("data", "a.parquet")
def words_for_actions(path: Path) -> None:
    _parquet(path, actions=[["left"] * 5])


@odd("data", "a.parquet")
def nulls_everywhere(path: Path) -> None:
    _parquet(path, **{name: [None] for name in _columns()})


@odd("data", "a.parquet")
def no_rows(path: Path) -> None:
    table = pa.table(_columns()).slice(0, 0)
    about = {"awac_dist.episodes": json.dumps({"env_id": "Pendulum-v1"})}
    pq.write_table(table.replace_schema_metadata(about), path)


@odd("data", "a.parquet")
def metadata_that_is_a_list(path: Path) -> None:
    pq.write_table(
        pa.table(_columns()).replace_schema_metadata({"awac_dist.episodes": "[[1]]"}), path
    )


@odd("data", "a.parquet")
def a_task_that_imports(path: Path) -> None:
    code = path.with_name("stranger.py")
    code.write_text(f"open({str(CANARY)!r}, 'w')")
    os.chdir(path.parent)
    about = {"awac_dist.episodes": json.dumps({"env_id": "stranger:Any-v0"})}
    pq.write_table(pa.table(_columns()).replace_schema_metadata(about), path)


@odd("data", "a.parquet")
def one_number_a_billion_times(path: Path) -> None:
    rows = pa.array([1.0] * 10_000_000, pa.float64())
    nested = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)
    writer = pq.ParquetWriter(path, pa.schema([("obs", nested.type)]), compression="zstd")
    for _ in range(100):
        writer.write_table(pa.table({"obs": nested}))
    writer.close()


@odd("data", "a.parquet")
def a_footer_of_four_gigabytes(path: Path) -> None:
    path.write_bytes(b"PAR1" + bytes(100) + struct.pack("<I", 0xFFFFFFF0) + b"PAR1")


@odd("data", "a.parquet")
def numbers_that_float32_cannot_hold(path: Path) -> None:
    _parquet(path, rewards=[[1e39, -1e300, 0.0, 0.0, 0.0]])


@odd("data", "a.parquet")
def decimals_and_large_lists(path: Path) -> None:
    columns = _columns()
    rewards = pa.array(columns.pop("rewards"), pa.large_list(pa.float16()))
    table = pa.table(columns | {"rewards": rewards})
    about = {"awac_dist.episodes": json.dumps({"env_id": "Pendulum-v1"})}
    pq.write_table(table.replace_schema_metadata(about), path)


# HDF5.


def _hdf5(path: Path, **other: Any) -> None:
    columns = {
        "observations": np.zeros((6, 3), np.float32),
        "actions": np.zeros((6, 1), np.float32),
        "rewards": np.zeros(6, np.float32),
        "terminals": np.zeros(6, bool),
        "timeouts": np.arange(6) == 5,
    }
    with h5py.File(path, "w") as file:
        for name, value in (columns | other).items():
            if value is not None:
                file[name] = value


@odd("data", "a.hdf5")
def a_trillion_rows_that_are_not_there(path: Path) -> None:
    _hdf5(path, observations=None, rewards=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("observations", (10**12, 3), np.float32, chunks=(1024, 3))
        file.create_dataset("rewards", (10**12,), np.float32, chunks=(1024,))


@odd("data", "a.hdf5")
def zeros_that_were_compressed(path: Path) -> None:
    _hdf5(path, observations=None)
    with h5py.File(path, "a") as file:
        rows = file.create_dataset("observations", (6, 10**9), np.float32, compression="gzip")
        rows[0, :10] = 1


@odd("data", "a.hdf5")
def the_password_file_as_data(path: Path) -> None:
    _hdf5(path, rewards=None)
    with h5py.File(path, "a") as file:
        stored = [("/etc/passwd", 0, 24)]
        file.create_dataset("rewards", (6,), np.float32, external=stored)


@odd("data", "a.hdf5")
def a_virtual_dataset(path: Path) -> None:
    _hdf5(path.with_name("other.h5"))
    _hdf5(path, observations=None)
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout((6, 3), np.float32)
        layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "observations", (6, 3))
        file.create_virtual_dataset("observations", layout)


@odd("data", "a.hdf5")
def a_link_to_another_file(path: Path) -> None:
    _hdf5(path.with_name("other.h5"))
    _hdf5(path, actions=None)
    with h5py.File(path, "a") as file:
        file["actions"] = h5py.ExternalLink("../other.h5", "/actions")


@odd("data", "a.hdf5")
def a_group_where_rewards_should_be(path: Path) -> None:
    _hdf5(path, rewards=None)
    with h5py.File(path, "a") as file:
        file["rewards"] = file.create_group("elsewhere")
        file["elsewhere"]["self"] = h5py.SoftLink("/rewards/self")


@odd("data", "a.hdf5")
def complex_rewards(path: Path) -> None:
    _hdf5(path, rewards=np.ones(6, np.complex64))


@odd("data", "a.hdf5")
def strings_for_terminals(path: Path) -> None:
    _hdf5(path, terminals=np.array([b"no"] * 6))


@odd("data", "a.hdf5")
def columns_of_different_lengths(path: Path) -> None:
    _hdf5(path, actions=np.zeros((4, 1), np.float32), timeouts=np.zeros(9, bool))


@odd("data", "a.hdf5")
def observations_with_seven_axes(path: Path) -> None:
    _hdf5(path, observations=np.zeros((6, 1, 1, 3, 1, 1, 1), np.float32))


@odd("data", "a.hdf5")
def robomimic_without_a_demonstration(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = "{" * 50_000


@odd("data", "a.hdf5")
def robomimic_with_a_count_of_its_own(path: Path) -> None:
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo.attrs["num_samples"] = 10**15
        demo["actions"] = np.zeros((2, 1))
        demo["dones"] = np.array(["yes", "no"], "S3")
        demo["obs/object"] = np.zeros((2, 3))


@odd("data", "folder")
def minari_that_counts_wrong(path: Path) -> None:
    (path / "data").mkdir(parents=True)
    about = {"total_episodes": 10**12, "total_steps": -1, "dataset_id": "../../x-v0"}
    (path / "data/metadata.json").write_text(json.dumps(about))
    _hdf5(path / "data/main_data.hdf5")


@odd("data", "folder")
def minari_with_a_space_that_nests(path: Path) -> None:
    (path / "data").mkdir(parents=True)
    space = '{"type": "Tuple", "subspaces": [' * 2_000 + "]}" * 2_000
    about = {"total_episodes": 1, "total_steps": 5, "observation_space": space}
    (path / "data/metadata.json").write_text(json.dumps(about))
    _hdf5(path / "data/main_data.hdf5")


# NumPy's files and pickles.


def _npy(path: Path, header: str, version: bytes = b"\x01\x00") -> None:
    text = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text)


@odd("data", "a.npy")
def an_array_of_a_petabyte(path: Path) -> None:
    _npy(path, "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000, 10000000)}")


@odd("data", "a.npy")
def a_header_that_computes(path: Path) -> None:
    _npy(path, "{'descr': '<f8', 'fortran_order': False, 'shape': (9**9**9,)}")


@odd("data", "a.npy")
def a_header_of_brackets(path: Path) -> None:
    _npy(path, "(" * 30_000)


@odd("data", "a.npy")
def an_array_of_less_than_nothing(path: Path) -> None:
    _npy(path, "{'descr': '|O', 'fortran_order': False, 'shape': (-1,)}")


class Executes:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {CANARY}",)


@odd("data", "a.pkl")
def a_pickle_that_acts(path: Path) -> None:
    path.write_bytes(pickle.dumps([{"observations": Executes()}]))


@odd("data", "a.npy")
def an_object_array_that_acts(path: Path) -> None:
    np.save(path, np.array([Executes()], dtype=object), allow_pickle=True)


@odd("data", "a.pkl")
def a_pickle_that_asks_for_memory(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.")


@odd("data", "a.pkl")
def a_pickle_of_doubling_lists(path: Path) -> None:
    once = b"(lp%d\n" % 0 + b"I1\na" * 2
    twice = b"".join(b"(g%d\ng%d\nlp%d\n" % (n, n, n + 1) for n in range(64))
    path.write_bytes(once + twice + b".")


@odd("data", "a.pkl")
def a_pickle_within_itself(path: Path) -> None:
    ring: list[Any] = []
    ring.append(ring)
    path.write_bytes(pickle.dumps([{"observations": ring, "actions": ring, "rewards": ring}]))


@odd("data", "a.pkl")
def a_number_of_a_million_digits(path: Path) -> None:
    path.write_bytes(b"L" + b"9" * 1_000_000 + b"L\n.")


@odd("data", "a.pkl")
def an_array_with_a_state_that_lies(path: Path) -> None:
    whole = pickle.dumps([{"observations": np.zeros((3, 3)), "actions": np.zeros((2, 1))}], 2)
    path.write_bytes(whole.replace(struct.pack("<B", 3) + b"K\x03", b"\xff\xffK\x03"))


# Policies.


def _npz(path: Path, **arrays: Any) -> None:
    np.savez(path.with_suffix(""), **arrays)
    shutil.move(path.with_suffix("").with_suffix(".npz"), path)


def _spec(**other: Any) -> str:
    spec = {"kind": "gaussian", "layer_sizes": [3, 4, 1], "low": [-1.0], "high": [1.0]}
    return json.dumps(spec | other)


@odd("policy", "a.npz")
def zeros_in_a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (500000000,)}\n"
        begin = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
        with file.open("weights.npy", "w", force_zip64=True) as inside:
            inside.write(begin)
            for _ in range(400):
                inside.write(bytes(10_000_000))


@odd("policy", "a.npz")
def a_spec_of_a_billion_units(path: Path) -> None:
    _npz(path, spec=_spec(layer_sizes=[3, 10**9, 1]), version=0)


@odd("policy", "a.npz")
def a_spec_that_nests(path: Path) -> None:
    _npz(path, spec="[" * 100_000, version=0)


@odd("policy", "a.npz")
def a_spec_of_another_type(path: Path) -> None:
    _npz(path, spec=_spec(layer_sizes={"a": 1}, low="x", high=None), version=0)


@odd("policy", "a.npz")
def a_kind_that_is_a_path(path: Path) -> None:
    _npz(path, spec=_spec(kind="os:system"), version="now")


@odd("policy", "a.npz")
def members_out_of_the_folder(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../etc/evil.npy", b"\x93NUMPY")
        file.writestr("spec.npy", b"not an array")


@odd("policy", "a.npz")
def plain_weights_that_do_not_fit(path: Path) -> None:
    arrays = {"W0": np.zeros((3, 4)), "b0": np.zeros(5), "W1": np.zeros((7, 1)), "b1": np.zeros(1)}
    _npz(path, **arrays)


@odd("policy", "a.npz")
def objects_for_weights(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, spec=np.array([Executes()], dtype=object))


# Configs.


def _text(kind: str, name: str, title: str, content: bytes) -> None:
    def make(path: Path) -> None:
        path.write_bytes(content)

    make.__name__ = title.replace(" ", "_")
    odd(kind, name)(make)


_laughs = "\n".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
for _title, _content in {
    "aliases that multiply": b"data:\n- &a0 [lol]\n" + _laughs.encode(),
    "a tag that acts": f"env: !!python/object/apply:os.system ['touch {CANARY}']".encode(),
    "an anchor within itself": b"env: &a [*a]\n",
    "brackets": b"[" * 50_000,
    "a list": b"- env\n- data\n",
    "a word": b"hello",
    "nothing": b"",
    "NULs": bytes(1000),
    "UTF-16": "env: Pendulum-v1".encode("utf-16"),
    "no text": bytes(range(256)),
    "a tab": b"env:\n\tPendulum-v1\n",
    "a mapping for a name": b"env: {a: {b: {c: 1}}}\nworkers: [1, 2]\n",
    "a number without an end": b"workers: " + b"9" * 5000,
    "not a number": b"algorithm: {temperature: .nan}\nworkers: .inf\n",
    "a key twice": b"workers: 1\nworkers: 2\n",
    "keys that are no words": b"? [1, 2]\n: x\nnull: 3\n1.5: y\n",
    "escapes": b'env: "\\e[31mred\\a\\e]0;title\\a"\n',
}.items():
    _text("config", "a.yaml", _title, _content)


# Folders of runs: one file of a finished run is replaced.

for _file, _contents in {
    "metrics.jsonl": {
        "NULs in the table": b'{"grad_steps": 1}\n' + bytes(4096),
        "a row of another type": b'[1, 2]\n"x"\n3\nnull\n',
        "numbers without bounds": b'{"grad_steps": 1e999, "env_steps": NaN, "phase": "offline"}\n',
        "a row of brackets": b"[" * 100_000 + b"\n",
        "half a character": b'{"phase": "\xff\xfe"}\n',
        "a column that changes": b'{"grad_steps": "x", "elapsed_s": [], "phase": {}}\n' * 2,
        "no rows": b"",
    },
    "config.yaml": {
        "an empty config": b"",
        "a config that is a list": b"- 1\n",
        "a config of another program": b"version: '3'\nservices: {web: {image: x}}\n",
        "a config with an import": b"env: stranger:Any-v0\n",
    },
    "checkpoints/*/progress.json": {
        "progress that is a list": b"[]",
        "progress without steps": b"{}",
        "progress that nests": b"[" * 100_000,
        "progress of words": b'{"env_steps": "many", "grad_steps": null, "phase": 3}',
    },
    "checkpoints/*/manifest.json": {
        "a manifest that is a number": b"3",
        "a manifest of other things": b'{"state.pt": 1, "policy.npz": [], "progress.json": null}',
    },
    "checkpoints/*/state.pt": {
        "a state that is text": b"hello",
        "a state that is a pickle": pickle.dumps(Executes()),
    },
    "experience/*.parquet": {
        "experience that is text": b"hello",
        "experience of nothing": b"",
    },
}.items():
    for _title, _content in _contents.items():
        _text(f"run {_file}", "run", _title, _content)


@odd("run checkpoints/*/state.pt", "run")
def a_state_of_a_terabyte(path: Path) -> None:
    memory = path.with_suffix(".zip")
    torch.save({"books": torch.zeros(4)}, memory)
    with zipfile.ZipFile(memory) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"K\x04", b"\x8a\x05\x00\x00\x00\x00\x40")
            new.writestr(name, content)
    memory.unlink()


@odd("run checkpoints/*/state.pt", "run")
def a_state_that_was_compressed(path: Path) -> None:
    memory = path.with_suffix(".zip")
    torch.save({"x": torch.zeros(4)}, memory)
    with zipfile.ZipFile(memory) as old:
        names = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in names.items():
            with new.open(name, "w", force_zip64=True) as inside:
                inside.write(content)
                if name.endswith("data/0"):
                    for _ in range(400):
                        inside.write(bytes(10_000_000))
    memory.unlink()


@odd("run experience/*.parquet", "run")
def a_pipe_for_experience(path: Path) -> None:
    os.mkfifo(path)


# Doors.


def doors(kind: str, path: Path) -> dict[str, Callable[[], object]]:
    """How a file of a kind is handed over."""
    words: dict[str, Sequence[str]]
    made = str(path.with_name("made.parquet"))
    if kind == "data":
        words = {
            "inspect": ["data", "inspect", str(path)],
            "validate": ["data", "validate", str(path)],
            "convert": ["data", "convert", str(path), "--to", made],
            "launch": ["launch", *SMALL, "--data", str(path), "--dry-run"],
        }
    elif kind == "policy":
        words = {
            "evaluate": ["evaluate", str(path), "--env", "Pendulum-v1", "--episodes", "1"],
            "collect": [
                *("data", "collect", "--env", "Pendulum-v1", "--policy", str(path)),
                *("--episodes", "1", "--out", str(path.with_name("out"))),
            ],
        }
    elif kind == "config":
        words = {"launch": ["launch", "--config", str(path), "--dry-run"]}
    else:
        words = {
            "inspect": ["data", "inspect", str(path)],
            "plot": ["plot", str(path)],
            "evaluate": ["evaluate", str(path), "--episodes", "1"],
            "export": ["export", str(path), str(path.with_name("made.npz"))],
            "resume": ["launch", "--resume", str(path)],
        }
    calls: dict[str, Callable[[], object]] = {
        name: lambda words=words: main(words) for name, words in words.items()
    }
    if kind == "policy":
        calls["load_policy"] = lambda: _code(lambda: awac_dist.load_policy(str(path)))
    return calls


def _code(call: Callable[[], object]) -> int:
    from awac_dist.cli.main import told

    def run() -> None:
        call()

    return told(run)


@dataclass(frozen=True)
class Outcome:
    """What came of a file at a door."""

    file: str
    door: str
    code: int  # FAULT for any exception that is not told, TIMED_OUT
    seconds: float
    gib: float  # beyond an idle process
    words: str  # the last of them

    @property
    def fault(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.code == TIMED_OUT or self.seconds > SECONDS:
            return "took too long"
        if self.code not in (0, 1, 2):
            return f"ended with {self.code}"
        if self.gib > 1:
            return f"took {self.gib:.1f} GiB"
        return "paints the screen" if "\x1b" in self.words else ""


def hand_over(file: str, door: str, call: Callable[[], object], folder: Path) -> Outcome:
    """Call a door in a process of its own."""
    idle = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    began, said = time.monotonic(), folder / "said"
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(folder)
        paper = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(paper, 1), os.dup2(paper, 2)
        code = FAULT
        try:
            code = int(call() or 0)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else FAULT
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    status = usage = None
    while status is None:
        ended, found, usage = os.wait4(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(found)
        elif time.monotonic() - began > SECONDS:
            os.killpg(child, signal.SIGKILL)
            os.wait4(child, 0)
            status = TIMED_OUT
        else:
            time.sleep(0.01)
    seconds = time.monotonic() - began
    grown = 0.0 if usage is None else (usage.ru_maxrss * 1024 - idle) / GIB
    words = said.read_text(errors="replace").strip().rsplit("\n", 1)[-1]
    return Outcome(file, door, status, round(seconds, 2), round(grown, 3), words[-400:])


def outcomes(names: Sequence[str], folder: Path) -> Iterator[Outcome]:
    """What comes of these files at all of their doors."""
    whole = folder / "whole"
    demonstrations = write_demonstrations(folder / "demonstrations.parquet")
    words = ["launch", *SMALL, "--data", demonstrations, "--runtime", "inline"]
    maker = os.fork()
    if not maker:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os._exit(main([*words, "--run-dir", str(whole)]))
    assert os.waitpid(maker, 0)[1] == 0
    for number, name in enumerate(names):
        kind, make = MAKERS[name]
        place = folder / str(number)
        place.mkdir()
        path = place / make.__dict__["file"]
        if kind.startswith("run "):
            shutil.copytree(whole, path)
            for target in sorted(path.glob(kind.removeprefix("run "))):
                target.unlink()
                make(target)
        else:
            make(path)
        for door, call in doors(kind, path).items():
            yield hand_over(name, door, call, place)
        os.chdir(folder)
        shutil.rmtree(place)


if __name__ == "__main__":
    asked = [name for name in MAKERS if not sys.argv[1:] or any(a in name for a in sys.argv[1:])]
    with TemporaryDirectory() as room:
        for outcome in outcomes(asked, Path(room)):
            print(json.dumps(asdict(outcome) | {"fault": outcome.fault}), flush=True)
    if CANARY.exists():
        CANARY.unlink()
        print(json.dumps({"file": str(CANARY), "fault": "was executed"}))
