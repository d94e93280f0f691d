"""The Ray that this process works with: started here behind closed doors, or joined; or gone."""

from __future__ import annotations

import logging
import os
import resource
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit

import psutil
import ray
from ray._private import ray_constants

from awac_dist.distributed.process import Process
from awac_dist.errors import InputError, RuntimeLost, first_line
from awac_dist.runs.plan import named_address

LEAST_FILES = 256  # that each process of Ray may open
LOOK_EVERY_S = 5.0  # at a cluster that was joined
CONNECT_S = 2.0
GIVEN_UP_AFTER_S = 20.0  # without an answer
TURNS, USERS = threading.Lock(), set["Session"]()  # who shares the Ray that began with a run here
KEEPER = ThreadPoolExecutor(1, "ray")
STUCK_S = 30.0  # after which nobody will call `check` any more; after 60 Ray ends the process
PARTS = {"raylet": "Ray's raylet", "gcs_server": "Ray's control store"}  # by program


class Session:
    """Starts Ray on this machine, or joins a cluster, unless this process has a session already.

    Where several runs of this process, in threads, need one, they share it: the last one ends it.

    Args:
        address: Of a cluster; None: of the one that RAY_ADDRESS names, if it names one.
        last_word: Is told why Ray is gone, by another thread, where nobody calls `check`: this one
            waits inside of Ray, which ends the process without a word. None: nobody is told
            anything, neither what processes print nor Ray's warnings.

    Attributes:
        is_ours: Whether it began with a run of this process, and has to end with the last one.
        is_lost: Whether it was found to be gone.
        parts: Processes that Ray cannot live without, if they were started by this one.

    Raises:
        InputError: There is no cluster at the address, or Ray does not start here.
    """

    def __init__(
        self, address: str | None = None, last_word: Callable[[str], object] | None = None
    ) -> None:
        address = address or named_address()
        self._joined, self.is_lost = "", False
        self._is_over, self._answered, self._look_at = threading.Event(), time.monotonic(), 0.0
        self.parts: list[Process] = []
        talks: dict[str, Any] = {
            "logging_level": logging.WARNING if last_word else logging.ERROR,
            "log_to_driver": last_word is not None,
        }
        if last_word is not None:
            threading.Thread(target=self._watch, args=[last_word], daemon=True).start()
        try:
            with TURNS:
                self._open(address, talks)
        except BaseException:  # Ctrl-C, too, after which nobody is to end this process
            self._is_over.set()
            raise
        self.parts = _parts()

    def _open(self, address: str | None, talks: Mapping[str, Any]) -> None:
        """Begin what no other run of this process has begun."""
        self._address, begins = address, not ray.is_initialized()
        first = next(iter(USERS), self)
        if not begins and first._address != address:
            raise InputError(
                f"a run of this process works with {_told(first._address)}, and this one is to "
                f"work with {_told(address)}: start it when that has ended, or in another process"
            )
        if begins and address is None:
            _begin(talks)
        elif begins and address is not None:
            _join(address, talks)
            self._joined = ray.get_runtime_context().gcs_address
        elif USERS:
            self._joined = first._joined
        self.is_ours = begins or bool(USERS)
        if self.is_ours:
            USERS.add(self)

    def check(self, *, at_once: bool = False) -> None:
        """Look whether it is still there; a cluster is asked now and then, or `at_once`.

        Raises:
            RuntimeLost: It is not, and all that ran there is gone with it.
        """
        why = _death(self.parts)
        if self._joined and (at_once or time.monotonic() > self._look_at):
            self._look_at = time.monotonic() + LOOK_EVERY_S
            why = self._loss_of_cluster()
        if why:
            self.is_lost = True
            alone = {self} == USERS  # if not, it cannot be ended, and another one begun
            raise RuntimeLost(why, again=alone and not self._joined)

    def close(self, give_back: Callable[[], object] = lambda: None) -> None:
        """End what began here; where it goes on, for others, give back what this run had of it."""
        with TURNS:
            USERS.discard(self)
            if self.is_ours and not USERS:
                ray.shutdown()
            elif ray.is_initialized() and not self.is_lost:  # else Ray would start another one
                give_back()
        self._is_over.set()

    def _watch(self, last_word: Callable[[str], object]) -> None:
        gone_s = 0.0
        while not self._is_over.wait(LOOK_EVERY_S):
            joined = self._joined
            why = unreachable(joined) if joined else _death(self.parts or _parts())
            gone_s = gone_s + LOOK_EVERY_S if why else 0.0
            if gone_s > STUCK_S:
                last_word(f"Ray is gone: {why}")

    def _loss_of_cluster(self) -> str:
        """Why the cluster that was joined counts as gone; empty if it does not."""
        cluster = f"the Ray cluster at {self._joined}"
        if why := unreachable(self._joined):
            is_late = time.monotonic() > self._answered + GIVEN_UP_AFTER_S
            return f"{cluster} does not answer: {why}" if is_late else ""
        self._answered = time.monotonic()
        own = ray.get_runtime_context().get_node_id()
        is_here = any(node["Alive"] and node["NodeID"] == own for node in ray.nodes())
        return "" if is_here else f"{cluster} has given up this machine"


def _told(address: str | None) -> str:
    return f"the Ray cluster at {address}" if address else "a Ray that it starts"


def _parts() -> list[Process]:
    """Children of this process that Ray cannot live without, also while it starts them."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if name := PARTS.get(child.name()):
                found.append(Process(name, child.pid))
    return found


def _death(parts: Iterable[Process]) -> str:
    """Which of them died, and how; empty if none did."""
    return next((f"{part} {how}" for part in parts if (how := part.death())), "")


def unreachable(address: str) -> str:
    """Why nothing listens at an address; empty if something does, or it names no port."""
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        if place.hostname and place.port:
            socket.create_connection((place.hostname, place.port), CONNECT_S).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _join(address: str, talks: Mapping[str, Any]) -> None:
    whence = "" if address != named_address() else " (RAY_ADDRESS; unset it to run on this machine)"
    why = unreachable(address)
    try:
        if not why:
            ray.init(address=address, **talks)
            return
    except Exception as error:  # Ray raises this very class, too
        why = first_line(error)
    raise InputError(f"no Ray cluster at {address}{whence}: {why}")


def _begin(talks: Mapping[str, Any]) -> None:
    """Start Ray from a thread that outlives it: the system ends its processes with that one."""
    if threading.current_thread() is threading.main_thread():  # which hears Ctrl-C
        _start(talks)
    else:
        KEEPER.submit(_start, talks).result()


def _start(talks: Mapping[str, Any]) -> None:
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token":
        keep_token_private()
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < LEAST_FILES:
        raise InputError(
            f"a process may open {files} files here, and Ray needs {LEAST_FILES}: allow more, as "
            "`ulimit -n 4096` does, or go without Ray: --runtime inline"
        )
    try:
        with _behind_closed_doors():
            ray.init(address="local", include_dashboard=False, **talks)
    except SystemExit as error:  # Ray's answer to SIGTERM as soon as it has begun to start
        raise KeyboardInterrupt from error
    except Exception as error:  # Ray raises this very class where it does not start in time
        raise InputError(
            f"Ray does not start on this machine: {first_line(error)} Its logs are below /tmp/ray "
            "unless RAY_TMPDIR names another folder; --runtime inline goes without Ray"
        ) from error


@contextmanager
def _behind_closed_doors() -> Iterator[None]:
    """What starts inside listens on loopback alone, and outlives the terminal as we do.

    Ray does so by itself where it is not meant to form clusters, as on macOS, and then takes
    loopback for the address of the node.
    """
    name, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    named = os.environ.get(name)
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ray_constants.ENABLE_RAY_CLUSTER = before
        os.environ.pop(name) if named is None else os.environ.update({name: named})


def keep_token_private() -> None:
    """Make the token of this user's local sessions before Ray does, which lets everybody read it.

    One that is there already becomes private. A token that the environment names is left alone.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return
    token = Path.home() / ".ray" / "auth_token"
    with suppress(OSError):  # Ray says what is wrong with the folder
        token.parent.mkdir(exist_ok=True)
        with NamedTemporaryFile("w", dir=token.parent) as file:  # readable by nobody else
            file.write(secrets.token_hex(32))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, token)  # whole, and never over another process's
        token.chmod(0o600)
