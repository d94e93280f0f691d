"""The folder that holds a run, and what is written there before step one."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import yaml

from awac_dist.errors import InputError, writable
from awac_dist.files import write_file

LOCK_FILE = ".lock"
REMEDY = "choose another one with --run-dir"
PACKAGES = ("awac_dist", "ray", "torch", "gymnasium", "mujoco", "numpy", "pyarrow")


def default_run_name(env_id: str, seed: int, now: datetime) -> str:
    """Name a run that the user gave no folder for: HalfCheetah-v5-20261121-113000-seed0."""
    return f"{safe_name(env_id)}-{now:%Y%m%d-%H%M%S}-seed{seed}"


def safe_name(words: str) -> str:
    """The words as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-.")


def create_run_folder(path: Path) -> Path:
    """Make the folder of a new run.

    Raises:
        InputError: Something is there already, or the folder cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        taken = any(entry.name != LOCK_FILE for entry in path.iterdir())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot create the run folder {path}: {reason}; {REMEDY}") from error
    if taken:
        raise already_there(str(path))
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to the run folder {path}; {REMEDY}")
    return path


def already_there(place: str) -> InputError:
    """What to raise where a new run finds something."""
    return InputError(f"the run folder {place} exists already and is not empty; {REMEDY}")


@contextmanager
def only_one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine from going on with the same run meanwhile.

    Raises:
        InputError: One does already, or the folder cannot be written.
    """
    with writable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: this run is still going on in another process") from None
        yield


def write_provenance(
    folder: Path, config: Mapping[str, object], argv: Sequence[str], session: int = 0
) -> None:
    """Write what it takes to repeat the run: `config.yaml` and `provenance.json`.

    Args:
        folder: The run folder.
        config: The resolved config, as plain nested mappings and lists.
        argv: The command line.
        session: How often the run was started before; names the file of a resumed run.
    """
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    write_file(f"{folder}/config.yaml", text.encode())
    facts = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": list(argv),
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "git": _git_state(Path(__file__).parents[1]),
        "platform": platform.platform(),
        "hostname": socket.gethostname(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    name = f"provenance-{session:03d}.json" if session else "provenance.json"
    write_file(f"{folder}/{name}", f"{json.dumps(facts, indent=2)}\n".encode())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state(package: Path) -> dict[str, object] | None:
    """Tell the commit, and whether the package's files differ from it; None outside git.

    A package that was installed into somebody else's checkout is not tracked there, and that
    checkout's commit would say nothing about it.
    """
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(package, "rev-parse", "HEAD")
    changes = _git(package, "status", "--porcelain", "--", ".")
    if tracked is None or commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
