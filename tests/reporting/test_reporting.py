"""What a run shows and writes: screen, displays, metrics, run folder, summary."""

import fcntl
import io
import json
import math
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, SupportsFloat
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import yaml
from fuzzing import damaged
from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

from awac_dist.envs.config import EnvConfig
from awac_dist.errors import InputError
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import RolloutReport, UpdateReport
from awac_dist.reporting import provenance, run_place
from awac_dist.reporting.display import LiveDisplay, PlainDisplay, Status, open_display
from awac_dist.reporting.metrics import MetricsLog
from awac_dist.reporting.recorder import Rate, Recorder
from awac_dist.reporting.rows import read_table
from awac_dist.reporting.screen import Screen, safe, say
from awac_dist.reporting.summary import summary, welch_half_width
from awac_dist.reporting.wording import (
    duration,
    mean_and_half_width,
    number,
    program,
    success,
    to_go_on,
    to_resume,
)

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def evaluation(label: str, *returns: float) -> Evaluation:
    return Evaluation(label, 7, returns, (1000,) * len(returns))


def solving(label: str, steps: tuple[int, ...], last: tuple[bool, ...]) -> Evaluation:
    returns = tuple(float(count - 200) for count in steps)
    return Evaluation(label, 7, returns, (200,) * len(steps), steps, last, sustained_steps=26)


STATUS = Status(
    phase="online",
    done=31_000,
    total=50_000,
    unit="env_steps",
    env_steps_per_s=812.3,
    updates_per_s=240.4,
    evaluation=evaluation("offline", 4000.0, 4100.0, 4200.0),
    elapsed_s=192.0,
    remaining_s=125.0,
    extras={"actor/effective_batch": 512.3},
)


# --- status and wording


def test_rate_looks_back_over_its_window_only() -> None:
    now = 0.0
    rate = Rate(window_s=10.0, clock=lambda: now)
    assert rate.update(1000) == 0.0
    for now, count in ((5.0, 1050), (10.0, 1100), (15.0, 1600), (20.0, 2100)):  # noqa: B007
        last = rate.update(count)
    assert last == pytest.approx(100.0)  # from 1100 at 10 s to 2100 at 20 s


def test_rate_starts_afresh_when_the_count_goes_back() -> None:
    now = 0.0
    rate = Rate(clock=lambda: now)
    rate.update(500)
    now = 1.0
    assert rate.update(0) == 0.0
    now = 3.0
    assert rate.update(8) == pytest.approx(4.0)


def test_share_stays_between_0_and_1() -> None:
    assert STATUS.share == pytest.approx(0.62)
    assert replace(STATUS, done=60_000).share == 1.0
    assert replace(STATUS, total=0).share == 0.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4812.4, "4,812"),
        (-17.26, "-17.3"),
        (1.0, "1.00"),
        (0.0, "0"),
        (0.0034, "0.0034"),
        (math.nan, "nan"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(42.4, "0:42"), (59.7, "1:00"), (581.0, "9:41"), (3723.0, "1:02:03")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_half_width_shares_the_decimals_of_its_mean() -> None:
    # Student's t for 2 degrees of freedom is 4.3027; 4.3027 * 1 / sqrt(3) = 2.484
    assert mean_and_half_width(evaluation("a", 199.0, 200.0, 201.0)) == "200 ± 2"
    assert mean_and_half_width(evaluation("a", 4.0, 5.0, 6.0)) == "5.00 ± 2.48"
    assert mean_and_half_width(evaluation("a", 200.0)) == "200 ± ?"


def test_success_is_written_by_each_definition() -> None:
    found = solving("a", (0, 1, 25, 26, 200, 30, 40, 50), (False,) * 3 + (True,) * 5)
    assert success(found) == "62.5 % last step, 87.5 % any step, 62.5 % 26 steps or more"
    assert success(evaluation("a", 1.0)) == ""
    ends_when_solved = solving("a", (0, 1, 1, 0), (False, True, True, False))
    assert success(ends_when_solved) == "50 % last step, 50 % any step"


def test_the_command_that_goes_on_can_be_pasted() -> None:
    start = "To go on:\npython -m awac_dist.launch --resume"
    assert to_go_on("runs/a", *EnvConfig("Ant-v5", {"a": 1}).to_type) == f"{start} runs/a"
    task = EnvConfig("mine:Task-v0", {"arm": "mine:Arm"})  # no file may name either
    words = to_go_on("/my runs/it's", *task.to_type, "--override", "workers=2", what="More")
    told, command = words.split("\n")
    assert told == "More:"
    assert shlex.split(command)[4:] == [
        *("/my runs/it's", "--env", "mine:Task-v0", "--env.kwargs", '{"arm": "mine:Arm"}'),
        *("--override", "workers=2"),
    ]


# --- what is printed


def test_text_is_safe_whatever_is_in_it() -> None:
    everything = "".join(map(chr, range(0x3000))) + "\u202e\ud800\udcff\U000e0001"
    assert all(letter.isprintable() or letter == "\n" for letter in safe(everything))
    assert safe("café ± 5 █ 机器人\n") == "café ± 5 █ 机器人\n"
    assert safe("\x1b[31m\x9b\r\t\udcff") == r"\x1b[31m\x9b\r\t\udcff"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_text_can_be_printed(encoding: str) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding)
    say("± 机 \x1b[0m \ud800", written)
    shown = written.buffer.getvalue()  # type: ignore[attr-defined]
    assert shown.endswith(rb" \x1b[0m \ud800" + b"\n")
    assert b"\x1b" not in shown


def test_nothing_but_say_prints() -> None:
    """What a file names would reach the terminal as it is."""
    package = Path(run_place.__file__).parents[1]
    rooms = [package / room for room in ("cli", "plotting", "reporting", "runs", "evaluation")]
    printing = re.compile(r"(?<![\w.])print\(|std(out|err)\.write\(")
    modules = [path for room in rooms for path in room.rglob("*.py")]
    assert [path for path in modules if printing.search(path.read_text())] == []


def test_displays_print_no_escapes_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, pipe, name = Terminal(80), io.StringIO(), "\x1b]0;owned\x07\x9b31m"
    with open_display(pipe, name, io.StringIO()) as display:
        display.note(name)
    with open_display(terminal.stream, name, io.StringIO()) as display:
        display.note(name)
        panel = terminal.read()
    terminal.close()
    for shown in (pipe.getvalue(), panel):
        assert shown.count(r"\x1b]0;owned\x07\x9b31m") >= 2
        assert "\x1b]" not in shown
        assert "\x9b" not in shown


# --- displays


def test_plain_display_is_sparse_and_knows_no_escape_codes() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, "the title", interval_s=10.0)
    for elapsed_s in (0.0, 4.0, 9.9, 10.0, 12.0):
        display.show(replace(STATUS, elapsed_s=elapsed_s, phase="offline"))
    display.note("offline done")
    display.show(replace(STATUS, elapsed_s=13.0))
    lines = stream.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["the", "title"],
        ["[0:00]", "offline"],
        ["[0:10]", "offline"],
        ["offline", "done"],
        ["[0:13]", "online"],
    ]
    assert "\x1b" not in stream.getvalue()
    for part in ("31,000 of 50,000 env steps (62 %)", "812 env_steps/s", "240 updates/s"):
        assert part in lines[-1]
    for part in ("2:05 left", "actor/effective_batch 512"):
        assert part in lines[-1]
    assert "4,100" not in lines[-1]  # which a note said


def test_what_goes_on_with_a_run_is_what_began_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/of/a/wheel/bin/awac-dist", "launch"])
    assert to_go_on("runs/a") == "To go on:\nawac-dist launch --resume runs/a"
    monkeypatch.setattr(sys, "argv", ["train.py", "launch", "--algorithm", "mine"])
    assert to_go_on("runs/a") == "To go on:\npython train.py launch --resume runs/a"
    assert program("sweep") == ["awac-dist", "sweep"]
    monkeypatch.setattr(sys, "argv", ["train.py", "sweep", "sweep.yaml"])
    assert program("sweep") == ["python", "train.py", "sweep"]
    monkeypatch.setattr(sys, "argv", ["/bin/my-robot", "launch"])
    assert to_go_on("runs/a") == "To go on:\n/bin/my-robot launch --resume runs/a"
    monkeypatch.setattr(sys, "argv", [])  # in an interpreter that a program holds
    assert to_go_on("runs/a").endswith("\npython -m awac_dist.launch --resume runs/a")


@pytest.mark.parametrize("live", [False, True])
def test_notes_are_in_the_log_too_and_what_is_for_it_alone_is_there_alone(
    live: bool, tmp_path: Path
) -> None:
    stream, log = io.StringIO(), io.StringIO()
    if live:
        stream.isatty = lambda: True  # type: ignore[method-assign]
    with open_display(stream, "title", log) as display:
        display.show(Status("offline", total=10))
        display.note("a note")
        display.log("KeyError")
    assert log.getvalue() == "title\na note\nKeyError\n"
    assert "a note" in stream.getvalue()
    assert "KeyError" not in stream.getvalue()


def test_the_first_fault_of_an_environment_is_in_the_log_in_full(tmp_path: Path) -> None:
    stream, log = io.StringIO(), io.StringIO()
    recorder = Recorder(PlainDisplay(stream, "title", log), MetricsLog(tmp_path), {}, "Pendulum-v1")
    for trace in ("Traceback:\n  first", "Traceback:\n  second"):
        report = RolloutReport(1, [], 5, 0, 1.0, 1.0, dropped=1, fault="KeyError: 3", trace=trace)
        recorder.collected(report, 0)
    dropped = "1 episode dropped: KeyError: 3"
    assert stream.getvalue().splitlines()[1:] == [dropped, dropped]
    assert log.getvalue().splitlines()[1:] == [dropped, "Traceback:", "  first", dropped]


@pytest.mark.parametrize(
    ("env_id", "call"),
    [
        ("Ant-v5", "Run('runs/a').resume()"),
        ("mine:Task-v0", "Run('runs/a').resume(env='mine:Task-v0')"),
        ("own/Reach", "Run('runs/a').resume(env=Reach)"),
        ("own/lambda", "Run('runs/a').resume(env=...)"),
    ],
)
def test_a_program_is_told_the_call_that_goes_on(env_id: str, call: str) -> None:
    assert to_resume("runs/a", EnvConfig(env_id).by_code) == call


def test_plain_display_is_silent_of_what_does_not_go_on() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, "the title")
    display.show(replace(STATUS, phase="offline", env_steps_per_s=0.0))
    display.show(replace(STATUS, phase="collect", updates_per_s=0.0, env_steps_per_s=0.0))
    offline, collect = stream.getvalue().splitlines()[1:]
    assert ") | 240 updates/s | actor/" in offline
    assert "/s" not in collect


def test_the_panel_shows_success_where_the_task_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    status = replace(STATUS, evaluation=solving("offline", (0, 100), (False, True)))
    words = "50 % last step, 50 % any step, 50 % 26 steps or more"
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal(90)
    with open_display(terminal.stream, "title", io.StringIO()) as display:
        display.show(status)
        display.note("offline done")
        panel = ESCAPES.sub("", terminal.read())
    terminal.close()
    assert re.search(rf"success +{words}", panel)


class Terminal:
    """A pseudo-terminal of a given width; `stream` is its inner end."""

    def __init__(self, columns: int) -> None:
        self._outer, inner = os.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(inner, "w", buffering=1, encoding="utf-8")

    def read(self) -> str:
        """Take what came since the last call; a bell marks the end, for a terminal is slow."""
        self.stream.write("\a")
        self.stream.flush()
        data = b""
        while not data.endswith(b"\a"):
            data += os.read(self._outer, 1 << 16)
        return data.decode().removesuffix("\a")

    def close(self) -> None:
        self.stream.close()
        os.close(self._outer)


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_live_display_fits_its_own_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal(columns)
    with open_display(terminal.stream, "AWAC on HalfCheetah-v5", io.StringIO()) as display:
        assert isinstance(display, LiveDisplay)
        display.show(STATUS)
        display.note("offline done")
        lines = [line.strip("\r") for line in ESCAPES.sub("", terminal.read()).split("\n")]
    terminal.close()
    assert max(map(len, lines)) == min(columns, 90)
    panel = lines[lines.index("offline done") + 1 :]
    text = " ".join(line.strip("│ ") for line in panel)
    for part in ("AWAC on HalfCheetah-v5", "online", "31,000", "50,000", "812 env_steps/s", "240"):
        assert part in text
    for part in ("4,100 ± 248", "3:12 elapsed", "2:05 left", "actor/effective_batch 512"):
        assert part in text


def test_a_start_that_takes_long_has_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    began = time.monotonic()
    terminal = Terminal(80)
    with open_display(terminal.stream, "title", io.StringIO()) as display:
        monkeypatch.setattr(time, "monotonic", lambda: began + 65)
        display.note("connecting")
        panel = terminal.read()
    terminal.close()
    assert "starting, 1:05 elapsed" in panel


def test_live_display_leaves_a_tidy_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal(80)
    with open_display(terminal.stream, "title", io.StringIO()) as display:
        display.show(STATUS)
        display.note("offline done")
        panel = terminal.read()
    closing = terminal.read()
    terminal.close()
    assert "\x1b[?25l" in panel  # the cursor hides ...
    assert closing.count("\x1b[?25h") == 1  # ... and is back,
    height = panel[panel.rindex("╭") :].count("\n") + 1
    assert closing.count("\x1b[2K") >= height  # and the panel's lines are erased
    assert closing[closing.rindex("\x1b[2K") + 4 :].strip("\r\n") == ""


def test_open_display_is_plain_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_display(io.StringIO(), "title", io.StringIO()) as display:
        assert isinstance(display, PlainDisplay)
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(80)
    with open_display(terminal.stream, "title", io.StringIO()) as display:
        assert isinstance(display, PlainDisplay)
    terminal.close()


# --- screen

NOISE = """
import logging, os, subprocess, sys
from pathlib import Path
from awac_dist.reporting.screen import Screen

def noise(tag):
    os.write(1, f"raw-{tag}\\n".encode())
    subprocess.run([sys.executable, "-c", f"import os; os.write(2, b'child-{tag}\\\\n')"])
    print(f"print-{tag}")
    logging.getLogger("ray").warning("log-%s", tag)

logging.basicConfig(stream=sys.stderr)
print("before")
"""


def run_python(body: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NOISE + body, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )


def test_screen_keeps_everybody_else_out(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("an earlier run\n")
    body = """
with Screen() as screen:
    noise("spooled")
    screen.stream.write("ours 1\\n")
    screen.divert(Path(sys.argv[1]))
    noise("diverted")
    screen.stream.write("ours 2\\n")
    assert not screen.stream.isatty()
print("after")
"""
    done = run_python(body, log)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "before\nours 1\nours 2\nafter\n"
    assert done.stderr == ""
    logged = log.read_text().splitlines()
    assert logged[0] == "an earlier run"
    kinds = ("raw-{}", "child-{}", "print-{}", "WARNING:ray:log-{}")
    assert set(logged[1:5]) == {kind.format("spooled") for kind in kinds}
    assert set(logged[5:]) == {kind.format("diverted") for kind in kinds}


def test_what_somebody_closed_is_open_again(tmp_path: Path) -> None:
    body = """
with Screen() as screen:
    sys.stdout.close()
    screen.divert(Path(sys.argv[1]))
    sys.stderr.close()
print("after")
print("wrong", file=sys.stderr)
"""
    done = run_python(body, tmp_path / "log.txt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "wrong\n")


@pytest.mark.parametrize("divert", ["", "screen.divert(Path(sys.argv[1]))"])
def test_a_fault_keeps_its_traceback_on_the_real_stderr(divert: str, tmp_path: Path) -> None:
    body = f"""
with Screen() as screen:
    {divert}
    noise("inside")
    raise RuntimeError("an unexpected fault")
"""
    done = run_python(body, tmp_path / "log.txt")
    assert done.returncode == 1
    assert done.stdout == "before\n"
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: an unexpected fault\n")
    assert "inside" not in done.stderr


def test_a_full_disk_keeps_no_traceback_away(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    body = """
with Screen() as screen:
    screen.divert(Path(sys.argv[1]))
    print("no room for this")
    raise RuntimeError("the first fault")
"""
    done = run_python(body, full)
    assert done.returncode != 0
    assert "RuntimeError: the first fault" in done.stderr
    assert "No space left on device" in done.stderr


def test_screen_has_its_streams_back_whatever_was_put_there() -> None:
    body = """
with Screen():
    sys.stdout = sys.stderr = None
print("after")
"""
    assert run_python(body).stdout.split() == ["before", "after"]


def test_screen_needs_room_for_a_temporary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", mock.Mock(side_effect=OSError(28, "full")))
    with pytest.raises(InputError, match=r"TMPDIR\): cannot be written: .*: make room$"):
        Screen().__enter__()


def test_screen_leaves_no_spool_and_tells_a_terminal(tmp_path: Path) -> None:
    body = """
with Screen() as screen:
    noise("dropped")
    print(screen.stream.isatty(), file=screen.stream)
"""
    terminal = Terminal(80)
    subprocess.run(
        [sys.executable, "-c", NOISE + body],
        stdout=terminal.stream,
        stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=True,
    )
    assert terminal.read().split() == ["before", "True"]
    terminal.close()
    assert list(tmp_path.iterdir()) == []


# --- metrics


def test_a_screen_that_is_gone_takes_everything() -> None:
    """In a process of its own: pytest holds descriptors 1 and 2."""
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$CODE" | true; echo ${{PIPESTATUS[0]}}'],
        env={**os.environ, "CODE": GONE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("7\n", "True\n")


GONE = """
import sys, time
from awac_dist.reporting.screen import Screen
with Screen() as screen:
    while not screen.is_gone:
        screen.stream.write("a line\\n")
        time.sleep(0.01)
    screen.stream.write("another line\\n")
print(screen.is_gone, file=sys.stderr)
sys.exit(7)
"""


def test_an_evaluation_is_noted_and_logged(tmp_path: Path) -> None:
    stream, log = io.StringIO(), MetricsLog(tmp_path)
    recorder = Recorder(PlainDisplay(stream, "the title"), log, {}, "awac_dist/DoorBinary-v0")
    recorder.evaluated(solving("offline", (0, 27, 1, 26), (False, True, False, False)))
    recorder.evaluated(evaluation("clone", 4.0, 5.0, 6.0))
    recorder.evaluated(replace(evaluation("clone", 200.0), faults=("ValueError: a", "OSError: b")))
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert {name: value for name, value in rows[0].items() if "success" in name} == {
        "eval/success_final": 0.25,
        "eval/success_any": 0.75,
        "eval/success_sustained": 0.5,
    }
    assert (rows[0]["eval/return"], rows[0]["eval/length"]) == (-186.5, 200.0)
    assert (rows[1]["phase"], rows[1]["grad_steps"], rows[1]["eval/return"]) == ("clone", 7, 5.0)
    assert not any("success" in name for name in rows[1])
    assert stream.getvalue().splitlines()[1:] == [
        "offline after 7 updates and 0 online steps: success 25 % last step, 75 % any step, "
        "50 % 26 steps or more; return -186 ± 24 (4 episodes)",
        "clone after 7 updates and 0 online steps: return 5.00 ± 2.48 (3 episodes)",
        "clone after 7 updates and 0 online steps: return 200 ± ? (1 episode)",
        "2 episodes of it dropped; the last: OSError: b",
    ]


def write_row(log: MetricsLog, grad_steps: int, **values: SupportsFloat) -> None:
    named = {name.replace("_", "/", 1): value for name, value in values.items()}
    log.write(named, phase="offline", grad_steps=grad_steps, env_steps=0, elapsed_s=1.23456)


def test_pandas_reads_the_metrics_of_a_run_and_of_its_resumption(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    write_row(log, 100, critic_loss=1.5, actor_loss=float("nan"))
    write_row(log, 200, critic_loss=float("inf"), eval_return=np.float32(2.0))
    log.close()
    resumed = MetricsLog(tmp_path)
    write_row(resumed, 300, critic_loss=0.5)
    table = pd.read_json(tmp_path / "metrics.jsonl", lines=True)  # flushed, not yet closed
    resumed.close()
    assert list(table.columns[:4]) == ["phase", "grad_steps", "env_steps", "elapsed_s"]
    assert table["grad_steps"].tolist() == [100, 200, 300]
    assert table["elapsed_s"].tolist() == [1.235] * 3
    np.testing.assert_array_equal(table["critic/loss"], [1.5, np.nan, 0.5])
    np.testing.assert_array_equal(table["eval/return"], [np.nan, 2.0, np.nan])
    assert table["actor/loss"].isna().all()


def test_tensorboard_has_the_hyper_parameters_typed_and_by_their_paths(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    algorithm = {"name": "awac", "temperature": 0.5, "actor": {"hidden": [64, 64]}}
    log.describe({"seed": 3, "init": None, "replay": {"x": True}, "algorithm": algorithm})
    write_row(log, 100, eval_return=1.0)
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    told = events.SummaryMetadata("_hparams_/session_start_info")
    start = parse_session_start_info_plugin_data(told.plugin_data.content)
    kept = {name: MessageToDict(value) for name, value in start.hparams.items()}
    assert kept == {
        "seed": 3,
        "init": "None",
        "replay.x": True,
        "algorithm.name": "awac",
        "algorithm.temperature": 0.5,
        "algorithm.actor.hidden": "[64, 64]",
    }
    assert [point.value for point in events.Scalars("eval/return")] == [1.0]


def test_rows_are_shown_elsewhere_with_their_counters(tmp_path: Path) -> None:
    first, second = list[Any](), list[Any]()
    log = MetricsLog(tmp_path, first.append, second.append)
    write_row(log, 100, critic_loss=1.5)
    log.close()
    counters = {"grad_steps": 100, "env_steps": 0, "elapsed_s": 1.235}
    assert first == second == [{**counters, "critic/loss": 1.5}]


def test_a_torn_row_is_cut_off_before_the_run_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "metrics.jsonl"
    table.write_text('{"phase": "offline", "grad_steps": 1, "env_steps": 0}\n{"phase": "offl')
    log = MetricsLog(tmp_path)
    assert log.damaged == 0
    write_row(log, 2)
    log.close()
    assert [json.loads(line)["grad_steps"] for line in table.open()] == [1, 2]


DAMAGED_ROWS = [
    b"",
    b'{"phase": "offline", "grad_steps": 1',
    b"\0" * 64,
    b'{"phase": "offline", "grad_steps": 1, "env_steps": 0, "a": "\xff\xfe"}',
    b"\x1b[2J garbage",
    b"null",
    b"[1, 2]",
    b"7",
    b"{}",
    b'{"phase": 3, "grad_steps": 1, "env_steps": 0}',
    b'{"phase": "offline", "grad_steps": "1", "env_steps": 0}',
    b'{"phase": "offline", "grad_steps": 1, "env_steps": null}',
    b'{"phase": "offline", "grad_steps": 1, "env_steps": 0, "eval/return": "x"}',
    b'{"phase": "offline", "grad_steps": 1, "env_steps": 0, "eval/return": [1]}',
    b'{"phase": "offline", "grad_steps": 1, "env_steps": 0, "eval/return": NaN}',
    b'{"phase": "offline", "grad_steps": 1, "env_steps": 0, "eval/return": 1' + b"0" * 400 + b"}",
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", DAMAGED_ROWS, ids=lambda line: repr(line[-30:]))
def test_lines_that_are_no_rows_are_left_out_and_counted(line: bytes, tmp_path: Path) -> None:
    table = tmp_path / "metrics.jsonl"
    rows = [
        b'{"phase": "offline", "grad_steps": %d, "env_steps": 0, "eval/return": null}\n' % number
        for number in (1, 2, 3)
    ]
    table.write_bytes(rows[0] + line + b"\n" + rows[1] + line + b"\n" + rows[2])
    found = read_table(table)
    assert ([row["grad_steps"] for row in found.rows], found.damaged) == ([1, 2, 3], 2)
    log = MetricsLog(tmp_path)
    assert (log.damaged, table.read_bytes()) == (2, b"".join(rows))
    log.forget_after(2, evaluating=False)
    write_row(log, 3)
    log.close()
    assert [json.loads(line)["grad_steps"] for line in table.open()] == [1, 2, 3]


def test_a_table_that_is_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    for look in (lambda: MetricsLog(tmp_path), lambda: read_table(tmp_path / "metrics.jsonl")):
        with pytest.raises(InputError, match=r"metrics\.jsonl: is a pipe"):
            look()


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damage_keeps_a_table_from_being_read(tmp_path: Path, data: st.DataObject) -> None:
    rows = [b'{"phase": "a", "grad_steps": %d, "env_steps": 0, "b": 1.5}\n' % n for n in range(9)]
    (tmp_path / "metrics.jsonl").write_bytes(damaged(b"".join(rows), data))
    found = read_table(tmp_path / "metrics.jsonl")
    assert len(found.rows) == len(found.lines)
    assert all(isinstance(row["grad_steps"], int) for row in found.rows)


def test_metrics_that_are_not_there_are_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*metrics\.jsonl.*the folder of a run"):
        read_table(tmp_path / "metrics.jsonl")


def test_tensorboard_reads_the_scalars(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    write_row(log, 100, critic_loss=1.5)
    write_row(log, 250, critic_loss=float("nan"), actor_loss=0.25)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()  # flushed, not yet closed
    log.close()
    losses = events.Scalars("critic/loss")
    assert [event.step for event in losses] == [100, 250]
    np.testing.assert_array_equal([event.value for event in losses], [1.5, np.nan])
    assert [(e.step, e.value) for e in events.Scalars("actor/loss")] == [(250, 0.25)]


# --- run folder


def test_default_run_name_is_one_safe_name() -> None:
    now = datetime(2026, 11, 21, 11, 30)
    name = run_place.default_run_name("HalfCheetah-v5", 0, now)
    assert name == "HalfCheetah-v5-20261121-113000-seed0"
    name = run_place.default_run_name("../ALE/Pong-v5", 3, now)
    assert name == "ALE-Pong-v5-20261121-113000-seed3"


def test_create_folder_takes_a_new_or_an_empty_one(tmp_path: Path) -> None:
    new = tmp_path / "runs" / "new"
    run_place.create_folder(str(new))
    run_place.create_folder(f"file://{new}")
    assert new.is_dir()


def test_create_folder_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"exists already and is not empty; .*--run-dir"
    ) as refused:
        run_place.create_folder(str(tmp_path))
    assert "\n" not in str(refused.value)
    for blocked in (tmp_path / "file", tmp_path / "file" / "below"):
        why = "cannot be reached: (Not a directory|File exists); choose another one with --run-dir$"
        with pytest.raises(InputError, match=f"^the folder {blocked} {why}"):
            run_place.create_folder(str(blocked))


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reached: File name too long; choose another"):
        run_place.RunPlace.at(str(tmp_path / ("a" * 300))).create()


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, who runs CI, may write anywhere
    with pytest.raises(InputError, match="cannot be reached: Permission denied; choose another"):
        run_place.create_folder(str(tmp_path))


def test_provenance_repeats_the_run(tmp_path: Path) -> None:
    config = {
        "seed": 3,
        "algorithm": {"temperature": 0.3, "hidden": [256, 256]},
        "data": ["a"],
    }
    provenance.write_provenance(tmp_path, config, ["awac-dist", "--seed", "3"])
    text = (tmp_path / "config.yaml").read_text()
    assert list(yaml.safe_load(text)) == ["seed", "algorithm", "data"]
    assert yaml.safe_load(text) == config
    facts = json.loads((tmp_path / "provenance.json").read_text())
    assert facts["argv"] == ["awac-dist", "--seed", "3"]
    assert facts["versions"]["numpy"] == np.__version__
    assert set(facts["versions"]) == {"python", *provenance.PACKAGES}
    assert facts["memory_bytes"] > 1 << 28
    assert facts["cpus"] == os.cpu_count()
    assert (
        abs(datetime.fromisoformat(facts["time_utc"]).timestamp() - datetime.now().timestamp()) < 60
    )


def test_git_state_follows_the_package_and_no_foreign_checkout(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    module = package / "__init__.py"
    module.write_text("")
    assert provenance._git_state(package) is None

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, "-C", str(tmp_path), *arguments], check=True)

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "somebody else's")
    assert provenance._git_state(package) is None
    git("add", ".")
    git("commit", "--quiet", "--message", "ours")
    state = provenance._git_state(package)
    assert state is not None
    assert re.fullmatch("[0-9a-f]{40}", str(state["commit"]))
    assert state["dirty"] is False
    module.write_text("changed = True\n")
    changed = provenance._git_state(package)
    assert changed is not None
    assert changed["dirty"] is True


# --- summary


def test_welch_half_width_by_hand() -> None:
    # variances of the means 2 / 2 and 4 / 3, so (7/3)^2 / (1 + (4/3)^2 / 2) degrees of freedom
    half = stdtrit(49 / 17, 0.975) * math.sqrt(7 / 3)
    assert welch_half_width([1.0, 3.0], [0.0, 2.0, 4.0]) == pytest.approx(half)
    assert welch_half_width([1.0, 1.0], [2.0, 2.0]) == 0.0
    assert welch_half_width([1.0], [2.0, 3.0]) == math.inf


def closing(
    evaluations: list[Evaluation],
    elapsed_s: float,
    env_steps: int,
    grad_steps: int,
    stopped_early: str | None,
) -> str:
    """The closing text of a run of which a recorder would know this."""
    known = {"elapsed_s": elapsed_s, "env_steps": env_steps, "grad_steps": grad_steps}
    run = SimpleNamespace(evaluations={one.label: one for one in evaluations}, **known)
    return summary(run, "runs/a", stopped_early)  # type: ignore[arg-type]


def test_summary_lists_what_was_reached_and_what_it_cost() -> None:
    phases = [
        evaluation("clone", 990.0, 1000.0, 1010.0),
        evaluation("offline", 1790.0, 1800.0, 1810.0),
        evaluation("online", 1690.0, 1700.0, 1710.0),
    ]
    text = closing(phases, 581.0, 60_000, 42_000, None)
    assert text.splitlines() == [
        "Run finished",
        "",
        "return of   mean         95 % interval  episodes",
        "clone      1,000  ± 25    975 to 1,025         3",
        "offline    1,800  ± 25  1,775 to 1,825         3",
        "online     1,700  ± 25  1,675 to 1,725         3",
        "",
        "difference        mean        95 % interval",
        "offline - clone   +800  ± 23   +777 to +823",
        "online - offline  -100  ± 23    -123 to -77",
        "",
        "9:41 in all, 60,000 env steps online, 42,000 updates",
        "Run folder: runs/a",
    ]


def test_summary_of_a_run_that_was_stopped_before_it_began() -> None:
    text = closing([], 2.0, 0, 0, "Ctrl-C")
    assert text.splitlines()[0] == "Run stopped early: Ctrl-C"
    assert text.splitlines()[-1] == "Run folder: runs/a"
    assert "difference" not in text
    one = closing([evaluation("clone", 5.0)], 2.0, 0, 0, "Ctrl-C")
    assert "unknown" in one
    assert "inf" not in one


@pytest.mark.filterwarnings("error")
def test_summary_leads_with_success_where_the_task_tells() -> None:
    phases = [
        solving("offline", (0,) * 18 + (27, 3), (False,) * 20),
        solving("online", (100,) * 20, (True,) * 10 + (False,) * 10),
    ]
    text = closing(phases, 581.0, 60_000, 42_000, None)
    # Wilson: none of 20 is 0 to 16.1 %, one 0.9 to 23.6, two 2.8 to 30.1, ten 29.9 to 70.1
    assert text.splitlines()[2:10] == [
        "success in               offline             online",
        "last step          0 % (0 to 16)    50 % (30 to 70)",
        "any step          10 % (3 to 30)  100 % (84 to 100)",
        "26 steps or more   5 % (1 to 24)  100 % (84 to 100)",
        "return                  -198 ± 3           -100 ± 0",
        "episodes                      20                 20",
        "in brackets: 95 % intervals; after ±: half of one",
        "",
    ]


@pytest.mark.parametrize("scale", [1.0, -1e5])
def test_the_closing_table_fits_80_columns_and_leaves_out_what_says_nothing(scale: float) -> None:
    labels, rng = ("clone", "offline", "online"), np.random.default_rng(0)
    plain = [evaluation(label, *(scale * rng.normal(9, 1, 40)).tolist()) for label in labels]
    solved = [replace(one, success_steps=(1,) * 40, success_last=(True,) * 40) for one in plain]
    long = [replace(one, success_steps=(200,) * 40, success_last=(True,) * 40) for one in plain]
    for found in (plain, solved, long):
        text = closing(found, 1e5, 10**9, 10**9, None)
        assert max(map(len, text.splitlines())) <= 80
        assert ("10 steps or more" in text) == (found is long)


def test_where_the_workers_time_goes(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    recorder = Recorder(PlainDisplay(io.StringIO(), "the title"), log, {}, "Pendulum-v1")
    for wait_s, env_s in ((30.0, 5.0), (10.0, 7.0)):
        report = RolloutReport(1, [], 250, 4, 8.0, 2.0, env_s=env_s, policy_s=1.5, wait_s=wait_s)
        recorder.collected(report, lag=3)
    recorder.updated(UpdateReport(8, 4, {}, seconds=2.0, wait_s=0.5))
    log.close()
    (row,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert {name: value for name, value in row.items() if name.endswith("_share")} == {
        "learner/wait_share": 0.25,
        "learner/copy_share": 0.0,
        "rollout/env_share": 12 / 20,
        "rollout/policy_share": 3 / 20,
        "rollout/send_share": 4 / 20,
        "rollout/wait_share": 40 / 60,
    }


def test_time_of_earlier_sessions_counts_once_however_often_a_run_loads(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    recorder = Recorder(PlainDisplay(io.StringIO(), "the title"), log, {}, "Pendulum-v1")
    state = {**recorder.state(), "elapsed_s": 1000.0}
    for _ in range(2):  # a learner died over the first
        recorder.restore(state)
    assert 1000 <= recorder.elapsed_s < 1100
    log.close()
