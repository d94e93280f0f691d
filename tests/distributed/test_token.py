"""Ray's token and doors: whoever gets in may run anything in the session."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from awac_dist.distributed.session import keep_token_private


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".ray" / "auth_token"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_that_nobody_else_reads(token: Path) -> None:
    keep_token_private()
    made = token.read_text()
    assert (len(bytes.fromhex(made)), mode(token)) == (32, 0o600)
    keep_token_private()
    assert token.read_text() == made
    assert list(token.parent.iterdir()) == [token]


def test_one_that_all_may_read_becomes_private(token: Path) -> None:
    token.parent.mkdir()
    token.write_text("as it was")
    token.chmod(0o644)
    keep_token_private()
    assert (token.read_text(), mode(token)) == ("as it was", 0o600)


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_of_the_environment_is_left_alone(
    token: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "elsewhere")
    keep_token_private()
    assert not token.exists()


LOCAL = """
import psutil, ray
from awac_dist.distributed.ray_runtime import RayRuntime

runtime = RayRuntime()
print(ray.get(ray.remote(lambda: 7).remote()))
me = psutil.Process()
for process in [me, *me.children(recursive=True)]:
    for door in process.net_connections():
        if door.status == psutil.CONN_LISTEN:
            print("door", door.laddr.ip, door.laddr.port, process.name())
runtime.close()
"""


@pytest.mark.ray
def test_a_local_session_uses_the_private_token_and_listens_on_loopback_alone(token: Path) -> None:
    environment = {name: x for name, x in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", LOCAL], capture_output=True, text=True, env=environment, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    doors = [line[1:] for line in lines if line[0] == "door"]
    assert ["7"] in lines
    assert mode(token) == 0o600
    assert len(doors) >= 5
    inside = ("127.0.0.1", "::ffff:127.0.0.1", "::1")
    assert [door for door in doors if door[0] not in inside] == []
