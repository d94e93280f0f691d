"""The Ray that a run works with: who cannot be reached, what is lost, who was stopped."""

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import threading
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


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "USERS", set())


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


class FakeRay:
    """As much of Ray as begins and ends, slowly, and dies with the thread that began it."""

    def __init__(self) -> None:
        self.is_up, self.begun, self.ended = False, 0, 0
        self.starter = threading.main_thread()

    def is_initialized(self) -> bool:
        return self.is_up

    def start(self, talks: object) -> None:
        assert not self.is_up
        time.sleep(0.01)
        self.begun, self.is_up, self.starter = self.begun + 1, True, threading.current_thread()

    def shutdown(self) -> None:
        assert self.is_up
        time.sleep(0.01)
        self.ended, self.is_up = self.ended + 1, False


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session, "ray", ray)
    monkeypatch.setattr(session, "_start", ray.start)
    return ray


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_one_process_share_ray_from_the_first_to_the_last(fake: FakeRay, seed: int) -> None:
    rng, given_back, wrong = random.Random(seed), list[int](), list[int]()
    pauses = [[rng.random() / 50 for _ in range(2 * n)] for n in (1, 3, 6, 12)]

    def work(number: int) -> None:
        for wait, run in zip(pauses[number][::2], pauses[number][1::2], strict=True):
            time.sleep(wait)
            found, begun = Session(), fake.begun
            time.sleep(run)
            if not (fake.is_up and fake.starter.is_alive() and fake.begun == begun):
                wrong.append(number)
            found.close(lambda: given_back.append(number))

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not fake.is_up
    assert fake.begun == fake.ended
    assert len(given_back) == 1 + 3 + 6 + 12 - fake.ended  # by all but those who ended it


def test_ray_outlives_the_thread_that_began_it(fake: FakeRay) -> None:
    thread = threading.Thread(target=Session)
    thread.start()
    thread.join()
    assert fake.starter.is_alive()
    assert fake.is_up


def test_a_session_of_the_program_is_left_running(fake: FakeRay) -> None:
    fake.start({})
    one, other, given_back = Session(), Session(), list[int]()
    for number, found in enumerate((one, other)):
        found.close(lambda number=number: given_back.append(number))  # type: ignore[misc]
    assert (fake.is_up, given_back) == (True, [0, 1])


@pytest.mark.parametrize("ended", [True, False])
def test_nothing_is_given_back_to_a_ray_that_is_gone(fake: FakeRay, ended: bool) -> None:
    """Ray would start another one, which nobody ends."""
    first, second = Session(), Session()
    if ended:
        fake.shutdown()  # by the program
    else:
        first.is_lost = True
    first.close(lambda: pytest.fail("Ray was called"))
    assert fake.is_up != ended
    fake.is_up = True
    second.close()
    assert not fake.is_up


def test_a_lost_ray_begins_again_for_a_run_that_is_alone(
    fake: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Session(), Session()
    monkeypatch.setattr(session, "_death", lambda parts: "Ray's raylet died")
    for found, again in ((first, False), (second, True)):
        with pytest.raises(RuntimeLost) as lost:
            found.check()
        assert lost.value.again == again
        found.close()
    assert not fake.is_up


def test_two_runs_that_want_different_rays_are_told(fake: FakeRay) -> None:
    first = Session()
    with pytest.raises(InputError) as caught:
        Session("10.0.0.1:6379")
    assert str(caught.value) == (
        "a run of this process works with a Ray that it starts, and this one is to work with the "
        "Ray cluster at 10.0.0.1:6379: start it when that has ended, or in another process"
    )
    first.close()
    assert not fake.is_up


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
