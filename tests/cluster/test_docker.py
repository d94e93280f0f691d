"""The images of `docker/`: no container engine runs here, so what can be checked without one."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker/Dockerfile"
EXTRAS = ("cluster", "data", "video")  # of docker/lock.sh


def locked() -> dict[str, str]:
    """Version of every package in the lock."""
    text = (ROOT / "docker/requirements.lock").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\$", text, re.MULTILINE))


def required() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = (line for extra in EXTRAS for line in project["optional-dependencies"][extra])
    return [Requirement(line) for line in (*project["dependencies"], *optional)]


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    command = [f"{sys.prefix}/bin/hadolint", str(dockerfile)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_hadolint_has_nothing_to_say() -> None:
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_say_something(tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.read_text().replace("rsync=3.* ", "rsync "))
    assert "DL3008" in hadolint(worse).stdout  # pin versions


@pytest.mark.parametrize("requirement", required(), ids=lambda one: one.name)
def test_the_lock_satisfies_the_project(requirement: Requirement) -> None:
    version = locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), "docker/lock.sh writes the lock anew"


def test_every_package_is_locked_by_hash() -> None:
    text = (ROOT / "docker/requirements.lock").read_text()
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(locked()) > 100
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_image_for_cpus_is_the_lock_without_cuda() -> None:
    script = (ROOT / "docker/install.sh").read_text()
    found = re.search(r"awk '(.*)' \"\$lock\"", script)
    assert found is not None
    lock = ROOT / "docker/requirements.lock"
    done = subprocess.run(["awk", found[1], lock], capture_output=True, text=True, check=True)
    kept = re.findall(r"^([a-z0-9.-]+)==", done.stdout, re.MULTILINE)
    left_out = set(locked()) - set(kept)
    assert {"torch", "triton"} < left_out
    assert all(name.split("-")[0] in ("torch", "triton", "nvidia", "cuda") for name in left_out)


def test_images_are_pinned_and_do_not_run_as_root() -> None:
    text = DOCKERFILE.read_text()
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    bases = {base for base, _ in stages} - {name for _, name in stages}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())
    for kind in ("cpu", "gpu"):
        stage = re.split(rf"^FROM system AS {kind}$", text, flags=re.MULTILINE)[1]
        assert "USER 1000" in stage.split("FROM ")[0]


def copied() -> set[str]:
    """What an image is built from."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    return {name.split("/")[0] for line in lines for name in line.split()}


def test_what_is_copied_into_an_image_is_not_ignored() -> None:
    ignore = (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    assert copied() == {line[1:] for line in ignore if line.startswith("!")}


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_every_node_has_what_its_image_is_built_from(name: str) -> None:
    mounts = yaml.safe_load((ROOT / "cluster" / name).read_text())["file_mounts"]
    context = {to: own for to, own in mounts.items() if to.startswith("/home/ray/source/")}
    assert context == {f"/home/ray/source/{own}": own for own in copied()}
