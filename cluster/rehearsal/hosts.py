"""Hosts that are network namespaces: own address, processes, /tmp, /dev/shm, /home, and sshd.

All of them share this machine's other files, so what is installed here is installed on them, but
for what lies in /tmp or /home. Users `root` and `ubuntu` are the same there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

NETWORK = "10.77.0"
OUTSIDE = f"{NETWORK}.1"  # address of the launcher, and of the cloud
HUB = "rehearsal-hub"
CLONE_NEWNET = 0x40000000
HERE = Path(__file__).parent

UNSHARE = "unshare -m -p -f --mount-proc --kill-child"
BOOT = """
mount --make-rprivate /
mount -t tmpfs tmpfs /dev/shm
mount --bind $STATE/../passwd /etc/passwd
mkdir -p /run/sshd
mount --rbind $STATE/home /home
mount --rbind $STATE/tmp /tmp
exec /usr/sbin/sshd -D -e -f $STATE/../sshd_config -o ListenAddress=$ADDRESS
"""
SSHD = """\
HostKey {state}/host_key
AuthorizedKeysFile {state}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


class MachineRoom:
    """A switch, the launcher's machine beside it, and hosts as they are started.

    Args:
        state: A folder for everything that the hosts write, outside /tmp and /home.
        profile: Environment of every login on a host, beside what `machine` sets.
    """

    def __init__(self, state: Path, profile: Mapping[str, str]) -> None:
        self.state, self.profile = state, dict(profile)
        self.hosts: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> MachineRoom:
        self.state.mkdir(parents=True)
        _make_keys(self.state)
        accounts = [f"{user}:x:0:0::/home/ray:/bin/bash" for user in ("root", "ubuntu")]
        others = Path("/etc/passwd").read_text().splitlines()[1:]
        (self.state / "passwd").write_text("\n".join([*accounts, *others, ""]))
        (self.state / "sshd_config").write_text(SSHD.format(state=self.state))
        ip(f"netns add {HUB}")
        ip(f"-n {HUB} link set lo up")
        ip(f"-n {HUB} link add switch type bridge")
        ip(f"-n {HUB} addr add {OUTSIDE}/24 dev switch")
        ip(f"-n {HUB} link set switch up")
        _enter(HUB)
        return self

    def __exit__(self, *exception: object) -> None:
        for address in list(self.hosts):
            self.stop(address)
        ip(f"netns del {HUB}")

    def start(self, address: str) -> None:
        """Switch a host on; it answers to SSH within a second."""
        name, number = _name(address), address.split(".")[-1]
        ip(f"netns add {name}")
        ip(f"-n {name} link set lo up")
        ip(f"-n {HUB} link add port{number} type veth peer name eth0 netns {name}")
        ip(f"-n {HUB} link set port{number} master switch up")
        ip(f"-n {name} addr add {address}/24 dev eth0")
        ip(f"-n {name} link set eth0 up")
        ip(f"-n {name} route add default via {OUTSIDE}")  # by which Ray finds the node's address
        folder = self.state / address
        self._furnish(folder)
        with (folder / "sshd.log").open("wb") as log:
            self.hosts[address] = subprocess.Popen(
                [*f"ip netns exec {name} {UNSHARE} sh -ec".split(), BOOT],
                env={"STATE": str(folder), "ADDRESS": address, "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _furnish(self, folder: Path) -> None:
        for part in ("home/ray", "tmp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        exports = [f"export {name}={value!r}" for name, value in self.profile.items()]
        path = f"export PATH={HERE}/bin:{sys.prefix}/bin:$PATH"
        (folder / "home/ray/.bashrc").write_text("\n".join([*exports, path, ""]))
        (folder / "home/ray/.profile").write_text("PATH=$HOME/.local/bin:$PATH\n")

    def stop(self, address: str) -> None:
        """Switch a host off, with everything that runs there."""
        host = self.hosts.pop(address)
        host.kill()  # unshare takes its namespace of processes along
        host.wait()
        ip(f"netns del {_name(address)}")

    def wait(self, address: str, timeout_s: float = 10.0) -> None:
        """Wait until a host answers."""
        give_up = time.monotonic() + timeout_s
        while subprocess.run([*self.ssh(address), "true"], capture_output=True).returncode:
            if time.monotonic() > give_up:
                sys.exit(f"{address} does not answer: {self.state / address / 'sshd.log'}")
            time.sleep(0.2)

    def ssh(self, address: str) -> list[str]:
        """The command that runs another one on a host."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return ["ssh", *options.split(), "-i", str(self.state / "key"), f"ubuntu@{address}"]


def ip(arguments: str) -> None:
    """Run `ip`, which must succeed."""
    subprocess.run(["ip", *arguments.split()], check=True)


def remove_leftovers(state: Path) -> None:
    """What a rehearsal that was killed has left behind."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        if (name := line.split()[0]).startswith("rehearsal-"):
            ip(f"netns del {name}")
    shutil.rmtree(state, ignore_errors=True)


def _make_keys(state: Path) -> None:
    for name in ("key", "host_key"):
        command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(state / name)]
        subprocess.run(command, check=True)


def _enter(name: str) -> None:
    """Move this process, and what it starts, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{name}") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")


def _name(address: str) -> str:
    return f"rehearsal-{address.split('.')[-1]}"
