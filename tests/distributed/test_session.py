"""The Ray that a run works with: who cannot be reached, what is lost, who was stopped."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from awac_dist.distributed import session
from awac_dist.distributed.process import LOOKS, Process
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.distributed.session import Session, unreachable
from awac_dist.errors import InputError, RuntimeLost


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}"])
def test_whoever_listens_can_be_reached(port: int, form: str) -> None:
    assert not unreachable(form.format(port))
    assert unreachable(form.format(port + 1)) == "Connection refused"


@pytest.mark.parametrize("address", ["auto", "local", "a-name-without-a-port"])
def test_what_names_no_port_is_left_to_ray(address: str) -> None:
    assert not unreachable(address)


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize("from_environment", [True, False])
def test_a_cluster_that_is_gone_is_told_at_once(
    port: int, monkeypatch: pytest.MonkeyPatch, from_environment: bool
) -> None:
    address, began = f"127.0.0.1:{port + 1}", time.monotonic()
    if from_environment:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=f"no Ray cluster at {address}.*refused") as told:
        RayRuntime(None if from_environment else address)
    assert ("unset it" in str(told.value)) == from_environment
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("no_session")
def test_too_few_files_are_told_before_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(InputError, match=r"may open 64 files here.*ulimit -n"):
        RayRuntime()


@pytest.fixture
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process that is called like a program of Ray's."""
    program = tmp_path / request.param
    program.symlink_to(shutil.which("sleep") or "")
    with subprocess.Popen(["sleep", "60"], executable=program) as process:
        yield process
        process.kill()


def end(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal that ends it, and leave it to others to be told so by the system."""
    process.send_signal(number)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("part", "what"),
    [("raylet", "raylet"), ("gcs_server", "control store")],
    indirect=["part"],
)
@pytest.mark.parametrize("known", [False, True])
def test_ray_that_died_is_told_and_nobody_else_is_blamed(
    part: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, what: str, known: bool
) -> None:
    monkeypatch.setattr(session.ray, "is_initialized", lambda: True)
    found = Session()
    found.check()
    assert not found.is_lost
    end(part, signal.SIGKILL)
    if known:  # to Ray
        part.wait()
    how = "" if known else ": SIGKILL"
    with pytest.raises(RuntimeLost, match=f"^Ray's {what} .process {part.pid}. died{how}$"):
        found.check()
    assert found.is_lost
    assert part.wait() == -signal.SIGKILL  # still there to be told


def test_how_a_child_died() -> None:
    with subprocess.Popen(["sh", "-c", "exit 3"]) as child:
        process = Process("Ray's raylet", child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.death() == "died: exit code 3"
    assert not Process("learner").death()


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize("part", ["gcs_server"], indirect=True)
@pytest.mark.parametrize("interrupted", [False, True])
def test_ray_that_dies_as_it_starts_is_the_last_word_unless_nobody_waits_for_it(
    part: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    monkeypatch.setattr(session, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(session, "STUCK_S", 0.1)
    told: list[str] = []

    def start(talks: object) -> None:
        end(part, signal.SIGKILL)
        if interrupted:
            raise KeyboardInterrupt
        time.sleep(0.5)

    monkeypatch.setattr(session, "_start", start)
    with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
        Session(last_word=told.append)._is_over.set()
    time.sleep(0.3)
    line = f"Ray is gone: Ray's control store (process {part.pid}) died: SIGKILL"
    assert set(told) == (set() if interrupted else {line})


def test_a_cluster_that_was_joined_is_lost_once_it_does_not_answer_or_gave_this_machine_up(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = [True]
    context = SimpleNamespace(get_node_id=lambda: "own")
    monkeypatch.setattr(session.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(session.ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(session.ray, "nodes", lambda: [{"NodeID": "own", "Alive": alive[0]}])
    found = Session()
    found._joined = f"127.0.0.1:{port}"
    found.check(at_once=True)
    alive[0] = False
    found.check()  # which looks now and then
    with pytest.raises(
        RuntimeLost, match=f"^the Ray cluster at .*:{port} has given up this"
    ) as lost:
        found.check(at_once=True)
    assert not lost.value.again
    found._joined = f"127.0.0.1:{port + 1}"
    found.check(at_once=True)  # it may answer again
    monkeypatch.setattr(session, "GIVEN_UP_AFTER_S", 0.0)
    with pytest.raises(RuntimeLost, match="does not answer: Connection refused"):
        found.check(at_once=True)
    assert found.is_lost


def test_a_process_is_ended_once_it_was_stopped_for_long(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = Process("rollout worker 1")
    process.is_at(sleeper.pid)
    for stopped in (LOOKS - 1, LOOKS):  # in between it goes on
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        assert not process.end_if_stopped()
        sleeper.send_signal(signal.SIGSTOP)
        time.sleep(0.02)
        assert [process.end_if_stopped() for _ in range(stopped)] == [
            look == LOOKS for look in range(1, stopped + 1)
        ]
    assert sleeper.wait() == -signal.SIGKILL
    assert process.has_left
    assert Process("", sleeper.pid).has_left  # before somebody looked
    assert str(process) == f"rollout worker 1 (process {sleeper.pid})"


def test_a_process_elsewhere_is_left_alone() -> None:
    process = Process("learner")
    process.is_at(1, here=False)
    assert not any(process.end_if_stopped() for _ in range(2 * LOOKS))
    assert not process.has_left
