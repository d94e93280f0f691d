"""Runs as processes."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from awac_dist.experiments.processes import Meter

PARENT = """
import os, signal, sys
from pathlib import Path
sys.executable = sys.argv[1]
from awac_dist.experiments.processes import launch
if len(sys.argv) > 2:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
launch(["--word"], Path("log"))
while not Path("log").read_text():
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("way", [[], ["as by nohup"]])
def test_a_run_ends_in_order_when_who_started_it_is_killed(way: list[str], tmp_path: Path) -> None:
    """By what a run hears of as often as its starter has threads; SIGTERM it hears once."""
    run, log = tmp_path / "run", tmp_path / "log"
    run.write_text("#!/bin/sh\ntrap 'echo told $3 to end; exit' HUP\necho on\nsleep 60 & wait\n")
    run.chmod(0o755)
    subprocess.run([sys.executable, "-c", PARENT, str(run), *way], cwd=tmp_path, check=False)
    until = time.monotonic() + 10
    while log.read_text() == "on\n" and time.monotonic() < until:
        time.sleep(0.01)
    assert log.read_text() == "on\ntold --word to end\n"


def test_the_time_of_a_run_is_known_to_its_end() -> None:
    """Of two side by side, each its own, though nobody looked since they began."""
    busy = "import time\nwhile time.process_time() < {}: pass"
    runs = [psutil.Popen([sys.executable, "-c", busy.format(s)]) for s in (0.6, 0.2)]
    meters = [Meter(), Meter(cpu_s=10.0)]
    meters[1].wait(runs[1])
    while not meters[0].has_ended(runs[0]):
        time.sleep(0.01)
    assert 0.6 <= meters[0].cpu_s < 0.8
    assert 10.2 <= meters[1].cpu_s < 10.4
