"""Mutants of whole files through every reader: `python tests/fuzz.py [MUTANTS] [KIND ...]`.

Each mutant is read in a child process that is watched: what runs, how long it takes, and how much
memory it needs beyond what was there before. Anything but a result or an InputError is a fault.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import random
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pyarrow.parquet as pq
import rllib_recordings
import torch
import yaml
from logging_fragments import SPEC, first

from awac_dist.cli.options import parse, to_mapping
from awac_dist.config import RunConfig
from awac_dist.data import parquet, sources
from awac_dist.data.fragments import LoggedFragment
from awac_dist.data.journal import RECORD, Journal, _header, _length
from awac_dist.data.sources import FORMATS
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import STATE, load_checkpoint
from awac_dist.policies.npz import policy_bytes, read_policy
from awac_dist.policies.spec import PolicySpec

MOST_S, MOST_BYTES = 60, 1 << 30
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
)
INTERESTING = (
    b"\x00",
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\x80" * 5 + b"\x01",
    b"\x00" * 64,
    b"nan",
)
POLICY = PolicySpec("gaussian", (3, 8, 2), (-1.0, -1.0), (1.0, 1.0))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A file with some bytes changed, cut out, put in, doubled or moved."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at, length = rng.randrange(len(found) + 1), rng.choice((1, 2, 4, 16, 200))
        match rng.randrange(7):
            case 0 | 1 if at < len(found):
                found[at] = rng.randrange(256)
            case 2 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 3:
                del found[at : at + length]
            case 4:
                found[at : at + length] = found[at : at + length] * 2
            case 5:
                thing = rng.choice(INTERESTING)
                found[at : at + len(thing)] = thing
            case 6 if rng.random() < 0.3:
                del found[at:]
    return bytes(found) or b"\x00"


def in_zip(content: bytes, rng: random.Random) -> bytes:
    """A mutant of one member, with the checksums of a whole zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(files))
    files[name] = mutated(files[name], rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(
        packed, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as out:
        for name, part in files.items():
            out.writestr(name, part)
    return packed.getvalue()


def in_journal(content: bytes, rng: random.Random) -> bytes:
    """A mutant of one record's payload, with the checksums of a whole record."""
    starts = [
        found.start() for found in RECORD.finditer(content) if _length(content, found.start())
    ]
    at = rng.choice(starts)
    begin, length = at + 20, _length(content, at) or 0
    payload = mutated(content[begin : begin + length], rng)
    record = _header(len(payload), zlib.crc32(payload)) + payload
    return content[:at] + record + content[begin + length :]


@dataclass(frozen=True)
class Kind:
    """One kind of file: how to write a whole one into a folder, and who reads it."""

    write: Callable[[Path], Path]  # returns what is read
    read: Callable[[str], Any]
    inside: Callable[[bytes, random.Random], bytes] = mutated  # every second mutant


def episodes(*names: str) -> Callable[[str], None]:
    """Reads with some formats, and with all that recognise it."""

    def read(path: str) -> None:
        known = {*names}
        with suppress(InputError):
            known |= {file.format for file in sources.find(path).files}
        errors = []
        for name in sorted(known):
            try:
                info = FORMATS[name].describe(path)
                for _, episode in FORMATS[name].read(path, (0, 1)):
                    assert episode.observations.shape == (len(episode) + 1, info.observation_size)
            except InputError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    return read


def write_own(folder: Path) -> Path:
    path = folder / "a.parquet"
    parquet.write_episodes(str(path), [fragment for fragment, _ in first(12)], SPEC)
    return path


def write_plain(folder: Path) -> Path:
    """The same without our checksum, as pandas writes it."""
    table = pq.read_table(write_own(folder))
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def write_journal(folder: Path) -> Path:
    journal = Journal(str(folder / "a.journal"), SPEC)
    for number, (fragment, source) in enumerate(first(6)):
        journal.append(LoggedFragment(fragment, source, number, number))
    return folder / "a.journal"


def columns(steps: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    ended = np.arange(steps) % 10 == 9
    return {
        "observations": rng.normal(size=(steps, 3)),
        "actions": rng.normal(size=(steps, 2)).astype(np.float32),
        "rewards": rng.normal(size=steps),
        "terminals": ended & (np.arange(steps) < 20),
        "timeouts": ended,
    }


def write_d4rl(folder: Path) -> Path:
    with h5py.File(folder / "a.hdf5", "w") as file:
        for name, values in columns().items():
            file.create_dataset(name, data=values, compression="gzip", chunks=True)
        file["metadata/algorithm"] = "SAC"
    return folder / "a.hdf5"


def write_robomimic(folder: Path) -> Path:
    with h5py.File(folder / "a.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_kwargs": {}})
        for k in range(3):
            found = columns(6)
            data[f"demo_{k}/obs/pos"] = found["observations"]
            data[f"demo_{k}/obs/vel"] = found["rewards"]
            for name in ("actions", "rewards"):
                data[f"demo_{k}/{name}"] = found[name]
            data[f"demo_{k}/dones"] = np.arange(6) == 5
    return folder / "a.hdf5"


def write_minari(form: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from gymnasium.spaces import Box
        from minari.data_collector import EpisodeBuffer

        os.environ["MINARI_DATASETS_PATH"] = str(folder)
        found = columns(5)
        flags = np.arange(5) == 4
        buffers = [
            EpisodeBuffer(
                observations=np.vstack([found["observations"], found["observations"][-1:]]),
                actions=found["actions"],
                rewards=list(found["rewards"]),
                terminations=list(flags),
                truncations=list(~flags & False),
                infos={"success": [False] * 6},
            )
            for _ in range(2)
        ]
        minari.create_dataset_from_buffers(
            "one/two-v0",
            buffer=buffers,
            observation_space=Box(-9, 9, (3,), np.float64),
            action_space=Box(-9, 9, (2,), np.float32),
            data_format=form,
        )
        return folder / "one" / "two-v0"

    return write


def write_rllib(number: int) -> Callable[[Path], Path]:
    return lambda folder: Path(rllib_recordings.WRITERS[number](folder))


def trajectories() -> list[dict[str, Any]]:
    return [columns(5) | {"note": "x", "deep": {"a": [1, None, b"b"]}} for _ in range(3)]


def write_pickle(protocol: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.pickle").write_bytes(pickle.dumps(trajectories(), protocol))
        return folder / "a.pickle"

    return write


def write_npy(folder: Path) -> Path:
    array = np.empty(3, object)
    array[:] = trajectories()
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


def write_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", **columns())
    return folder / "a.npz"


def write_lerobot(folder: Path) -> Path:
    import pyarrow as pa

    found, root = columns(12), folder / "lerobot"
    table = {
        "observation.state": pa.array(list(found["observations"])),
        "action": pa.array(list(found["actions"])),
        "next.reward": found["rewards"],
        "next.success": np.arange(12) % 6 == 5,
        "episode_index": np.arange(12) // 6,
        "frame_index": np.arange(12) % 6,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v3.0", "fps": 10}))
    (root / "data" / "chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(table), root / "data" / "chunk-000" / "file-000.parquet")
    return root


def write_policy(folder: Path) -> Path:
    vector = np.linspace(-1, 1, POLICY.size, dtype=np.float32)
    (folder / "a.npz").write_bytes(policy_bytes(POLICY, POLICY.unflatten(vector), 3))
    return folder / "a.npz"


def write_plain_policy(folder: Path) -> Path:
    arrays = {"weight_0": np.ones((4, 3)), "bias_0": np.ones(4), "log_std": np.zeros(2)}
    arrays |= {
        "weight_1": np.ones((2, 4)),
        "bias_1": np.ones(2),
        "observation_clip": np.array(10.0),
    }
    arrays |= {"observation_shift": np.zeros(3), "observation_scale": np.ones(3)}
    np.savez(folder / "a.npz", activation="tanh", squash="none", **arrays)
    return folder / "a.npz"


def write_checkpoint(folder: Path) -> Path:
    state = {
        "method": {"weights": torch.arange(12.0).reshape(3, 4), "steps": [torch.tensor(3), 2.5]},
        "grad_steps": 7,
        "generator": torch.arange(16, dtype=torch.uint8),
        "books": {"in_play": {"online": torch.arange(8).reshape(2, 4)}, "none": None},
    }
    (folder / "checkpoint").mkdir()
    torch.save(state, folder / "checkpoint" / STATE)
    return folder / "checkpoint"


def write_config(folder: Path) -> Path:
    (folder / "a.yaml").write_text(yaml.safe_dump(to_mapping(RunConfig()), sort_keys=False))
    return folder / "a.yaml"


KINDS = {
    "policy .npz": Kind(write_policy, read_policy, in_zip),
    "plain policy .npz": Kind(write_plain_policy, read_policy, in_zip),
    "checkpoint .pt": Kind(write_checkpoint, load_checkpoint, in_zip),
    "journal": Kind(write_journal, episodes("awac_dist journal"), in_journal),
    "own Parquet": Kind(write_own, episodes("awac_dist Parquet")),
    "own Parquet, plain": Kind(write_plain, episodes("awac_dist Parquet")),
    "RLlib steps": Kind(write_rllib(0), episodes("RLlib Parquet")),
    "RLlib episodes": Kind(write_rllib(1), episodes("RLlib Parquet")),
    "RLlib compressed": Kind(write_rllib(2), episodes("RLlib Parquet")),
    "LeRobot": Kind(write_lerobot, episodes("LeRobot")),
    "D4RL": Kind(write_d4rl, episodes("D4RL HDF5")),
    "robomimic": Kind(write_robomimic, episodes("robomimic HDF5")),
    "Minari hdf5": Kind(write_minari("hdf5"), episodes("Minari")),
    "Minari arrow": Kind(write_minari("arrow"), episodes("Minari")),
    "Minari parquet": Kind(write_minari("parquet"), episodes("Minari")),
    "pickle": Kind(write_pickle(4), episodes("demonstration pickle")),
    "pickle 2": Kind(write_pickle(2), episodes("demonstration pickle")),
    "AWAC .npy": Kind(write_npy, episodes("AWAC .npy")),
    "trajectories .npz": Kind(write_npz, episodes("NumPy .npz"), in_zip),
    "config YAML": Kind(write_config, lambda path: parse(["--config", path])),
}


def mutants(kind: Kind, count: int, seed: int, folder: Path) -> Iterator[str]:
    """Paths of mutants, one after the other; each is gone when the next one is there."""
    rng, whole = random.Random(seed), folder / "whole"
    whole.mkdir()
    target = kind.write(whole)
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    contents = {path: path.read_bytes() for path in files}
    kind.read(str(target))  # or nothing that follows says anything
    for number in range(count):
        path = rng.choice(files)
        mutate = kind.inside if number % 2 and len(files) == 1 else mutated
        path.write_bytes(mutate(contents[path], rng))
        yield str(target)
        path.write_bytes(contents[path])


@dataclass
class Tally:
    """What became of the mutants of one kind."""

    mutants: int = 0
    read: int = 0  # without a complaint
    refused: int = 0
    worst_s: float = 0.0
    worst_bytes: int = 0
    executed: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        within = self.worst_s <= MOST_S and self.worst_bytes <= MOST_BYTES
        return within and not self.executed and not self.faults


def try_all(kind: Kind, paths: Iterator[str], tally: Tally) -> None:
    """Read mutants in this process, and keep the tally."""
    for path in paths:
        before, began = _reset_peak(), time.perf_counter()
        try:
            kind.read(path)
            tally.read += 1
        except InputError as error:
            tally.refused += 1
            if "\n" in str(error):
                tally.faults["an error of several lines"] += 1
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            own = [
                f for f in traceback.extract_tb(error.__traceback__) if "awac_dist" in f.filename
            ]
            where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else place.name
            tally.faults[f"{type(error).__name__} at {where}: {str(error)[:80]}"] += 1
        tally.mutants += 1
        tally.worst_s = max(tally.worst_s, time.perf_counter() - began)
        tally.worst_bytes = max(tally.worst_bytes, _status("VmHWM") - before)


def _reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _child(name: str, count: int, seed: int, answers: Any) -> None:
    tally = Tally()

    def watch(event: str, _: Any) -> None:
        tally.executed += event.startswith(FORBIDDEN)

    sys.addaudithook(watch)
    folder = Path(tempfile.mkdtemp(prefix="awac-fuzz-"))
    try:
        paths = mutants(KINDS[name], count, seed, folder)
        first_path = next(paths)  # whole files are written and read, and all modules imported
        tally.executed = 0
        try_all(KINDS[name], _chain(first_path, paths, answers, tally), tally)
        answers.send(tally)
    finally:
        shutil.rmtree(folder)


def _chain(head: str, rest: Iterator[str], answers: Any, tally: Tally) -> Iterator[str]:
    yield head
    for path in rest:
        answers.send(tally)  # a sign of life
        yield path


def fuzz(name: str, count: int, seed: int = 0) -> Tally:
    """Mutants of one kind in a process of its own; its death or silence is a fault."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_child, args=(name, count, seed, theirs))
    child.start()
    theirs.close()
    last = Tally()
    while last.mutants < count:
        if not ours.poll(MOST_S + 30):
            last.faults["hangs"] += 1
            child.kill()
            break
        try:
            last = ours.recv()
        except EOFError:
            child.join()
            last.faults[f"the process died: exit code {child.exitcode}"] += 1
            break
    child.join()
    return last


def main(count: int = 2000, *names: str) -> int:
    """Print what became of the mutants; returns 1 if there is a fault."""
    print(f"{'kind':20} mutants    read refused executed  worst s  worst MB  faults")
    clean = True
    for name in names or KINDS:
        tally = fuzz(name, count)
        clean &= tally.clean
        print(
            f"{name:20} {tally.mutants:7,} {tally.read:7,} {tally.refused:7,} {tally.executed:8} "
            f"{tally.worst_s:8.2f} {tally.worst_bytes / 1e6:9.1f}  {tally.faults.total()}",
            flush=True,
        )
        for fault, times in tally.faults.most_common(8):
            print(f"    {times} x {fault}", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(*[int(words[0]), *words[1:]] if words else []))
