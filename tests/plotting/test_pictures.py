"""Pictures and pages as files: whole, or what was there before."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from matplotlib.figure import Figure

from awac_dist.cli.main import main
from awac_dist.errors import InputError
from awac_dist.plotting.pictures import write_picture
from awac_dist.plotting.sweep import Scale, Tried, draw_sweep

ROW = {"phase": "offline", "grad_steps": 5, "env_steps": 0, "elapsed_s": 1.0, "eval/return": 1.0}
COMMANDS = {
    "a.png": ["compare", "RUN", "--plot", "FILE"],
    "a.html": ["compare", "RUN", "--html", "FILE"],
    "run/learning_curve.png": ["plot", "RUN"],
    "b.png": ["data", "inspect", "halfcheetah-demonstrations", "--plot", "FILE"],
    "c.json": ["evaluate", "random", "--env", "Pendulum-v1", "--episodes", "1", "--json", "FILE"],
}


@contextmanager
def full_disk() -> Iterator[None]:
    """No file has room for more than a few bytes."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_there_stays_where_the_disk_is_full(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = tmp_path / "run", tmp_path / name
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"env": "A-v0"}))
    (run / "metrics.jsonl").write_text(json.dumps(ROW) + "\n")
    words = {"RUN": str(run), "FILE": str(file)}
    command = [words.get(word, word) for word in COMMANDS[name]]
    assert main(command) == 0
    good, names = file.read_bytes(), {*tmp_path.rglob("*")}
    with full_disk():
        assert main(command) == 2
    assert "cannot be written: File too large" in capsys.readouterr().err
    assert file.read_bytes() == good
    assert {*tmp_path.rglob("*")} == names


def test_a_sweeps_picture_stays_where_the_disk_is_full(tmp_path: Path) -> None:
    path, scales = tmp_path / "a.png", {"mode": Scale("choice", ("$x$", r"$\frac$"))}
    trials = [Tried({"mode": name}, [ROW], True) for name in scales["mode"].values]
    draw_sweep(trials, scales, "eval/return", "grad_steps", path)
    good = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match="File too large"):
        draw_sweep(trials, scales, "eval/return", "grad_steps", path)
    assert path.read_bytes() == good


@pytest.mark.parametrize("name", ["noend", "a.odd", ".png", "a.png/b", "a."])
def test_an_ending_that_tells_no_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^--plot {tmp_path}/{name}: its ending tells no format"):
        write_picture(Figure(), tmp_path / name, "--plot")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("name", "first"), [("a.PNG", b"\x89PNG"), ("a.b.pdf", b"%PDF")])
def test_the_ending_tells_the_format(name: str, first: bytes, tmp_path: Path) -> None:
    write_picture(Figure(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes().startswith(first)
