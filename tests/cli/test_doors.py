"""The doors: what they list, how soon they answer, and what they leave alone until it is needed."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

import awac_dist
from awac_dist.cli.commands import COMMANDS
from awac_dist.cli.main import main, told
from awac_dist.cli.options import parse, to_mapping
from awac_dist.config import RunConfig
from awac_dist.errors import REMEDIES, RunFailed
from awac_dist.files import seal
from awac_dist.reporting import screen

SLOW = {"torch._C", "ray", "pyarrow", "scipy", "matplotlib", "mujoco", "pandas", "rich"}
DOOR = """
import contextlib, io, json, sys, time
from awac_dist.cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(words)
print(json.dumps([time.process_time(), sorted(sys.modules)]))
"""


def through(*commands: list[str]) -> tuple[float, set[str]]:
    """Seconds of the CPU that commands take from the start of Python, and what they import."""
    words = [sys.executable, "-c", DOOR, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    return seconds, set(modules)


def test_help_is_at_hand() -> None:
    for commands in (["launch"],), [name.split() for name in COMMANDS if name != "launch"]:
        seconds, modules = through([], *([*words, "--help"] for words in commands))
        assert not modules & SLOW
        assert seconds < 1


@pytest.mark.parametrize("name", ["", "data", "experiments", *COMMANDS])
def test_help_fits_a_narrow_terminal_and_a_pipe(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        main([*name.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    text = [line for line in lines if not line.startswith("  python -m ")]
    assert len(text) > 2
    assert max(map(len, text)) <= screen.WIDTH_OF_A_PIPE


def test_a_dry_run_imports_nothing_of_what_trains() -> None:
    seconds, modules = through(["launch", "--env", "Pendulum-v1", "--data", "nowhere", "--dry-run"])
    assert "gymnasium" in modules
    assert not modules & (SLOW - {"pyarrow", "pandas"})
    assert seconds < 3


def test_a_finished_run_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_mapping(RunConfig())))
    progress = {"grad_steps": 7, "env_steps": RunConfig().online.env_steps, "finished": True}
    seal(f"{tmp_path}/checkpoints/000000007", {"progress.json": json.dumps(progress).encode()})
    seconds, modules = through(["launch", "--resume", str(tmp_path)])
    assert not modules & (SLOW - {"pyarrow", "pandas"})
    assert seconds < 1.5
    more_steps = f"online.env_steps={RunConfig().online.env_steps + 1}"
    more = parse(["--resume", str(tmp_path), "--override", more_steps])
    assert (parse(["--resume", str(tmp_path)]).module, more.module) == ("finished", "launch")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("env: Pendulum-v1\nseed: nine", "the seed is 'nine': give --seed N"),
        ("env: Pendulum-v1\nseed: -3", "the seed is -3: give --seed N"),
        ("env: {id: Pendulum-v1, kwargs: {3: x}}", "the task's kwargs are {3: 'x'}, which is no"),
        ("env: [1]", "the task is [1], which is no name: give --env ID"),
    ],
)
def test_what_a_run_says_of_itself_may_be_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random").mkdir()  # a run folder of the name of a policy
    (tmp_path / "random" / "config.yaml").write_text(f"{config}\n")
    assert main(["evaluate", "random", "--episodes", "1"]) == 2
    assert f"awac_dist: random: config.yaml: {words}" in capsys.readouterr().err


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"\n  {name} " in shown
        assert command.what in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"awac_dist {awac_dist.__version__}\n"
    assert main(["lanch"]) == 2
    assert "no command 'lanch'; did you mean launch?" in capsys.readouterr().err


@pytest.mark.parametrize("door", ["launch", "data", "evaluation", "plotting", "bench", "cli.main"])
def test_every_door_opens(door: str) -> None:
    command = [sys.executable, "-m", f"awac_dist.{door}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")
    assert done.stderr == ""


def fail() -> int:
    raise OSError("of something else")


@contextmanager
def nobody_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        yield


@pytest.mark.parametrize("words", [["--help"], ["launch", "--dry-run"]])
def test_a_pipe_that_is_closed_ends_a_command_silently(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with nobody_reads(monkeypatch):
        assert main(words) == 128 + signal.SIGPIPE
    assert capfd.readouterr() == ("", "")


def test_a_disk_that_is_full_is_one_line() -> None:
    command = f"{sys.executable} -m awac_dist.cli.main --version > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "awac_dist: standard output: cannot be written: No space left on device: "
        f"{REMEDIES[errno.ENOSPC]}\n"
    )


def test_a_run_that_fails_while_nobody_reads_says_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def lose() -> int:
        error = RunFailed("it cannot go on")
        error.add_note("To go on:\nthe command")
        raise error

    with nobody_reads(monkeypatch):
        assert told(lose) == 128 + signal.SIGPIPE
    assert capfd.readouterr() == ("", "awac_dist: it cannot go on\n")


def test_an_output_that_is_closed_is_nobodys_fault() -> None:
    command = f"{sys.executable} -m awac_dist.data inspect halfcheetah-demonstrations >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_another_fault_of_the_system_keeps_its_traceback() -> None:
    with pytest.raises(OSError, match="of something else"):
        told(fail)


def test_a_command_may_be_called_from_any_thread(capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, ["--help"]).result() == 0
    assert capsys.readouterr().out.startswith("usage: awac-dist")
