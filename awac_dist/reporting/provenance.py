"""What is written before step one: all that it takes to repeat a run."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from awac_dist.files import write_file
from awac_dist.plain_yaml import dump_yaml

PACKAGES = ("awac_dist", "ray", "torch", "gymnasium", "mujoco", "numpy", "pyarrow")


def write_provenance(
    folder: Path, config: Mapping[str, object], argv: Sequence[str], session: int = 0
) -> None:
    """Write what it takes to repeat the run: `config.yaml` and `provenance.json`.

    The config is the resolved one, as plain nested mappings and lists. The session, how often the
    run was started before, names the file of a resumed run.
    """
    write_file(f"{folder}/config.yaml", dump_yaml(config).encode())
    facts = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": list(argv),
        "versions": {"python": platform.python_version()} | {p: version_of(p) for p in PACKAGES},
        "git": _git_state(Path(__file__).parents[1]),
        "platform": platform.platform(),
        "cpu": cpu_model(cpu_info()),
        "hostname": socket.gethostname(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    name = f"provenance-{session:03d}.json" if session else "provenance.json"
    write_file(f"{folder}/{name}", f"{json.dumps(facts, indent=2)}\n".encode())


def cpu_info() -> dict[str, str]:
    """What Linux says of its first CPU; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    first = path.read_text().partition("\n\n")[0] if path.exists() else ""
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_model(info: Mapping[str, str]) -> str:
    """A virtual machine may name the maker only; family and model tell more."""
    name = info.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key} {info[key]}" for key in ("cpu family", "model", "stepping") if key in info]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def version_of(package: str) -> str | None:
    """Of a package that is installed, else None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state(package: Path) -> dict[str, object] | None:
    """Tell the commit, and whether the package's files differ from it; None outside git.

    A package that was installed into somebody else's checkout is not tracked there, and that
    checkout's commit would say nothing about it.
    """

    def git(*arguments: str) -> str:
        words = ["git", "-C", str(package), *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        changes = git("status", "--porcelain", "--", ".")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return None
