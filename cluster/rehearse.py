"""Rehearse a file of `cluster/` on this machine, from `ray up` to `ray down`, with no cloud.

    python cluster/rehearse.py aws           # about 10 minutes
    python cluster/rehearse.py local

Needs root, `pip install -e '.[cluster,test]'` and Debian's openssh-server, rsync and iproute2.
Hosts are network namespaces (`rehearsal/hosts.py`), AWS is moto's server, and Docker, which cannot
run in them, is a stand-in that runs a command on the host. Only endpoint, credentials, network
and key of the file are replaced. Nothing stays but, after a failure, the logs in STATE.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rehearsal.cloud import ALIVE, BUCKET, CREDENTIALS, Cloud
from rehearsal.hosts import HERE, NETWORK, OUTSIDE, MachineRoom, remove_leftovers

ROOT = HERE.parents[1]
STATE = Path("/var/tmp/awac-dist-rehearsal")
JOB = (
    "python -m awac_dist.launch --workers 2 --shards 1 --learner.gpus 0"
    " --clone.updates 50 --clone.episodes 2 --offline.updates 100 --learner.batch_size 64"
    " --online.env_steps 1000 --online.updates_per_step 0.1 --evaluation.episodes 1"
)


def main() -> None:
    """Rehearse what is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", choices=["aws", "local"])
    parser.add_argument("--job", default=JOB, help="what `ray job submit` runs")
    parser.add_argument("--idle-minutes", type=float, help="instead of the file's own number")
    arguments = parser.parse_args()
    hidden = [path for path in (str(HERE), sys.prefix, sys.base_prefix) if is_hidden(path)]
    if hidden:
        sys.exit(
            "rehearse: hosts have a /tmp and a /home of their own, and would not find "
            f"{' and '.join(dict.fromkeys(hidden))}: keep checkout and Python elsewhere, as in /opt"
        )
    missing = [tool for tool in ("ip", "rsync", "sshd", "unshare") if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        sys.exit(f"rehearse: needs root, and {', '.join(missing) or 'nothing else'}; see the top")
    remove_leftovers(STATE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    rehearse = {"aws": rehearse_aws, "local": rehearse_local}[arguments.file]
    rehearse(arguments.job, arguments.idle_minutes)
    remove_leftovers(STATE)


def is_hidden(path: str) -> bool:
    """Whether a host does not see what lies there."""
    return any(Path(path).resolve().is_relative_to(folder) for folder in ("/tmp", "/home"))


def rehearse_aws(job: str, idle_minutes: float | None) -> None:
    """`cluster/aws.yaml` against moto: up, a job, idle nodes ended, down, nothing left."""
    path = ROOT / "cluster/aws.yaml"
    region = yaml.safe_load(path.read_text())["provider"]["region"]
    os.environ |= CREDENTIALS
    profile = machine() | CREDENTIALS | {"AWS_DEFAULT_REGION": region}
    with MachineRoom(STATE, profile) as room, Cloud(room, region) as cloud:
        laptop = Laptop(room)
        laptop.do("cluster/make_token.sh")
        prepare = f"cluster/prepare_aws.py --ssh-from {OUTSIDE}/32 --bucket {BUCKET}"
        laptop.do(f"python {prepare} --vpc {cloud.vpc}")
        with laptop.cluster(path, cloud.overlay(), idle_minutes):
            head = cloud.instances(*ALIVE)[0]["PrivateIpAddress"]
            with laptop.dashboard(room, head):
                laptop.submit(job)
            laptop.note("what listens on the head")
            subprocess.run([*room.ssh(head), f"python {HERE.parent}/listening.py"], check=True)
            print("kept:", *cloud.objects(), sep="\n  ")
            wait_for("all nodes but the head to end", lambda: cloud.instances(*ALIVE)[1:] == [])
        wait_for("the last node to end", lambda: cloud.instances(*ALIVE) == [])
        laptop.do("python cluster/prepare_aws.py --remove")
        print(f"left: {len(cloud.instances(*ALIVE))} instances, {len(room.hosts)} hosts")


def rehearse_local(job: str, idle_minutes: float | None) -> None:
    """`cluster/local.yaml` over SSH: up, a job, down."""
    head, worker = f"{NETWORK}.11", f"{NETWORK}.12"
    os.environ |= {"RAY_UP_enable_autoscaler_v2": "0"}
    with MachineRoom(STATE, machine()) as room:
        for address in (head, worker):
            room.start(address)
            room.wait(address)
            installed = room.state / address / "home/ray/awac_dist"  # as by an earlier `ray up`
            installed.mkdir()
            (installed / "venv").symlink_to(sys.prefix)
        laptop = Laptop(room)
        laptop.do("cluster/make_token.sh")
        overlay = {
            "provider": {"head_ip": head, "worker_ips": [worker]},
            "auth": {"ssh_private_key": str(room.state / "key")},
        }
        with (
            laptop.cluster(ROOT / "cluster/local.yaml", overlay, idle_minutes),
            laptop.dashboard(room, head),
        ):
            laptop.submit(job)
            run = "/home/ray/runs/stopped"
            laptop.submit_and_stop(f"{job} --run-dir {run} --online.env_steps 100000")
            enough = "--override online.env_steps=1000"  # which it has: it finishes its updates
            laptop.submit(f"python -m awac_dist.launch --resume {run} {enough}")


def machine() -> dict[str, str]:
    """Environment of a login on a host: they share the cores of one machine."""
    return {
        "OMP_NUM_THREADS": "1",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_worker_niceness": "0",
    }


class Laptop:
    """The machine beside the hosts from which a person works: own home, own /tmp."""

    def __init__(self, room: MachineRoom) -> None:
        self.home, self.tmp = room.state / "laptop/home", room.state / "laptop/tmp"
        for folder in (self.home, self.tmp):
            folder.mkdir(parents=True)
        self.environment = os.environ | {
            "HOME": str(self.home),
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:8265",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.began = time.monotonic()

    def start(self, command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command of the shell in the repository's root."""
        self.note(f"$ {command}")
        script = f"mount --bind {self.tmp} /tmp; {command}"
        return subprocess.Popen(
            ["unshare", "-m", "bash", "-c", script], env=self.environment, cwd=ROOT, **options
        )

    def do(self, command: str) -> None:
        """Run a command, which must succeed."""
        if code := self.start(command, stdin=subprocess.DEVNULL).wait():
            sys.exit(f"exit code {code}: {command}")

    def note(self, line: str) -> None:
        """Say something, with the time."""
        print(f"\n[{time.monotonic() - self.began:6.1f} s] {line}", flush=True)

    @contextmanager
    def cluster(
        self, path: Path, overlay: Mapping[str, Any], idle_minutes: float | None
    ) -> Iterator[None]:
        """`ray up` of a file with what the rehearsal replaces, `ray down` at the end."""
        config = merge(yaml.safe_load(path.read_text()), overlay)
        self.note(f"{path.relative_to(ROOT)}, of which this is replaced: {json.dumps(overlay)}")
        if idle_minutes is not None:
            print(f"and idle_timeout_minutes: {idle_minutes:g}", flush=True)
            config["idle_timeout_minutes"] = idle_minutes
        file = self.home / path.name
        file.write_text(yaml.safe_dump(config))
        try:
            self.do(f"ray up -y --no-config-cache --log-style pretty --log-color false {file}")
            yield
        finally:
            self.do(f"ray down -y --log-style pretty --log-color false {file}")

    @contextmanager
    def dashboard(self, room: MachineRoom, head: str) -> Iterator[None]:
        """The tunnel that `ray dashboard` opens."""
        ssh = room.ssh(head)
        tunnel = subprocess.Popen([*ssh[:-1], "-N", "-L", "8265:127.0.0.1:8265", ssh[-1]])
        try:
            time.sleep(3)
            yield
        finally:
            tunnel.terminate()
            tunnel.wait()

    def submit(self, job: str) -> None:
        """`ray job submit`, to its end."""
        self.do(f"ray job submit --working-dir . -- {job}")

    def submit_and_stop(self, job: str) -> None:
        """`ray job stop` in the midst of a job: SIGTERM, and SIGKILL three seconds later."""
        self.do(f"ray job submit --submission-id long --no-wait --working-dir . -- {job}")
        online = "online [1-9][0-9,]* of 100,000"
        self.do(f"until ray job logs long | grep -q '{online}'; do sleep 2; done")
        self.do("ray job stop long")
        self.do("ray job logs long | tail -n 5")


def merge(below: Any, above: Any) -> Any:
    """`above` laid over `below`, mapping by mapping."""
    if not (isinstance(below, dict) and isinstance(above, Mapping)):
        return above
    return below | {key: merge(below.get(key), value) for key, value in above.items()}


def wait_for(what: str, holds: Callable[[], bool], timeout_s: float = 900.0) -> None:
    """Wait until something holds."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > timeout_s:
            sys.exit(f"gave up after {timeout_s:g} s: waited for {what}")
        time.sleep(1)
    print(f"waited {time.monotonic() - began:.0f} s for {what}", flush=True)


if __name__ == "__main__":
    main()
