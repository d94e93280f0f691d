"""The scripts of `cluster/`, its dashboard, and who is let in."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
import ray

from awac_dist.cli import launch
from awac_dist.config import RunConfig

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_CPUS_PER_TASK_HET_GROUP_0": "8",
    "SLURM_CPUS_PER_TASK_HET_GROUP_1": "16",
    "SLURM_JOB_NUM_NODES_HET_GROUP_1": "2",
}
SAY = 'echo "$RAY_AUTH_MODE: $(basename "$0") $*" >> $SAID'
STAND_INS = {
    "srun": f"{SAY}; exec sleep 60",
    "hostname": "echo 192.0.2.5",
    "python": f"{SAY}; [ $1 = - ] || {{ trap 'exit 143' TERM; sleep $RUNS_FOR & wait; exit 3; }}",
}


@pytest.fixture
def slurm(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A place where `cluster/slurm.sh` finds stand-ins that write down what they are asked for."""
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("secret")
    said = tmp_path / "said"
    path = f"{tmp_path}:{os.environ['PATH']}"
    return said, os.environ | SLURM | {"PATH": path, "HOME": str(tmp_path), "SAID": str(said)}


def script(name: str) -> Any:
    """A script of `cluster/` as a module."""
    specification = importlib.util.spec_from_file_location(name, CLUSTER / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("moved", ["HERE", "prefix"])
def test_a_rehearsal_says_whom_its_hosts_would_not_find(
    monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    monkeypatch.syspath_prepend(str(CLUSTER))
    rehearse = script("rehearse")
    monkeypatch.setattr(sys, "argv", ["rehearse.py", "local"])
    for place, name in ((rehearse, "HERE"), (sys, "prefix"), (sys, "base_prefix")):
        path = "/tmp/checkout/cluster" if name == moved else "/opt/elsewhere"
        monkeypatch.setattr(place, name, path)
    with pytest.raises(SystemExit, match="would not find /tmp/checkout/cluster: keep checkout"):
        rehearse.main()


def test_slurm_starts_a_locked_labelled_cluster_and_ends_as_the_run_does(
    slurm: tuple[Path, dict[str, str]],
) -> None:
    said, environment = slurm
    command = [str(CLUSTER / "slurm.sh"), "--seed", "1"]
    done = subprocess.run(command, env=environment | {"RUNS_FOR": "0.1"}, timeout=20, check=False)
    lines = said.read_text().splitlines()
    assert done.returncode == 3  # the run's
    (head,) = (line for line in lines if "--het-group=0" in line)
    (workers,) = (line for line in lines if "--het-group=1" in line)
    assert "--node-ip-address=192.0.2.5 --port=20007 --dashboard-host=127.0.0.1" in head
    assert head.endswith("--num-cpus=8 --labels=awac-dist/role=learner")
    assert workers.endswith(
        "--address=192.0.2.5:20007 --num-cpus=16 --labels=awac-dist/role=worker"
    )
    assert "token: python - 3" in lines
    assert "token: python -m awac_dist.launch --seed 1" in lines
    assert all(line.startswith("token: srun") for line in (head, workers))


def test_slurms_warning_before_the_time_is_over_reaches_the_run(
    slurm: tuple[Path, dict[str, str]],
) -> None:
    said, environment = slurm
    job = subprocess.Popen([str(CLUSTER / "slurm.sh")], env=environment | {"RUNS_FOR": "30"})
    for _ in range(200):
        if said.exists() and "awac_dist.launch" in said.read_text():
            break
        time.sleep(0.05)
    time.sleep(0.2)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=20) == 143


def test_slurm_without_a_token_does_not_start(slurm: tuple[Path, dict[str, str]]) -> None:
    said, environment = slurm
    (said.parent / ".ray/auth_token").unlink()
    done = subprocess.run(
        [str(CLUSTER / "slurm.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "no token: run cluster/make_token.sh first\n")
    assert not said.exists()


def test_the_token_is_readable_by_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    def make() -> subprocess.CompletedProcess[str]:
        command = [str(CLUSTER / "make_token.sh")]
        environment = os.environ | {"HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done, token = make(), tmp_path / ".ray/auth_token"
    first = token.read_text()
    assert (done.returncode, len(first), token.stat().st_mode & 0o777) == (0, 64, 0o600)
    assert first not in done.stdout + done.stderr
    token.chmod(0o644)
    again = make()
    assert (again.returncode, token.read_text()) == (0, first)
    assert (again.stdout, again.stderr) == ("the token in ~/.ray/auth_token is kept\n", "")
    assert token.stat().st_mode & 0o777 == 0o600


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    board = json.loads((CLUSTER / "grafana.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    shown = {name for one in expressions for name in re.findall(r"ray_awac_dist_(\w+)", one)}
    table = (ROOT / "docs/metrics.md").read_text()
    documented = {name.replace("/", "_") for name in re.findall(r"`([a-z]+/[a-z_]+)`", table)}
    assert shown - documented == set()
    assert len(shown) > 20


@pytest.mark.parametrize("runs", ["{tmp}", "file://{tmp}/bucket/awac-dist"])
def test_a_run_without_a_folder_lies_where_the_cluster_keeps_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: str
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = runs.format(tmp=tmp_path)
    monkeypatch.setenv("AWAC_DIST_RUNS", runs)
    place = launch._new_place(RunConfig())
    assert place.shared.startswith(f"{runs}/HalfCheetah-v5-")
    assert place.is_remote == runs.startswith("file:")


@pytest.mark.ray
def test_a_client_without_the_token_is_refused(ray_session: None) -> None:
    listening = script("listening")
    address = ray.get_runtime_context().gcs_address
    host, port = address.split(":")
    assert listening.protection_of(host, int(port)) == "token"
    token = Path("~/.ray/auth_token").expanduser().read_text().strip()
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(listening.METHODS[0])
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            ask(b"", metadata=[("authorization", "Bearer wrong")], timeout=10)
        assert ask(b"", metadata=[("authorization", f"Bearer {token}")], timeout=10)
