"""Videos: how MuJoCo is brought to draw, and what is in the files."""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments import VARIES
from imageio_ffmpeg import read_frames
from PIL import Image

from awac_dist.cli import evaluate
from awac_dist.cli.evaluate import chosen
from awac_dist.cli.main import main as awac_dist
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.evaluation import headless
from awac_dist.evaluation.video import SHADOW, WIDER, Film, Grid, filmed_env

SHORT = "tests/ShortHalfCheetah-v0"  # 4 steps
VARIABLES = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Start from no wish and no screen, and put back what a test changed."""
    before = {name: os.environ.pop(name, None) for name in VARIABLES}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def drawing() -> None:
    """Skip where nothing can draw."""
    problem = headless.prepare_drawing()
    if problem:
        pytest.skip(problem)
    if SHORT not in gymnasium.registry:
        entry = "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv"
        size = {"width": 96, "height": 80}  # drawing without a GPU takes its time
        gymnasium.register(SHORT, entry, max_episode_steps=4, kwargs=size)


def read(path: Path) -> tuple[dict[str, object], np.ndarray]:
    """What a player sees: facts of the file, frames [N, height, width, 3]."""
    if path.suffix == ".gif":
        with Image.open(path) as film:
            pictures = []
            for number in range(getattr(film, "n_frames", 1)):
                film.seek(number)
                pictures.append(np.asarray(film.convert("RGB")))
            return film.info, np.stack(pictures)
    stream = read_frames(str(path))
    facts = next(stream)
    width, height = facts["size"]
    shape = (height, width, 3)
    return facts, np.stack([np.frombuffer(frame, np.uint8).reshape(shape) for frame in stream])


def squares(count: int, height: int = 64, width: int = 96) -> Iterator[np.ndarray]:
    """A white square that moves by four pixels a frame, on blue."""
    for number in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[:, :, 2] = 200
        frame[10:30, 4 * number : 4 * number + 20] = 255
        yield frame


def write(path: Path, frames: Iterator[np.ndarray], frames_per_s: float) -> None:
    with Film(path, frames_per_s) as film:
        for frame in frames:
            film.add(frame)


# --- how MuJoCo draws


def test_ways_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    assert headless.ways() == ("egl", "osmesa")
    os.environ["DISPLAY"] = ":0"
    assert headless.ways() == ("glfw", "egl", "osmesa")
    os.environ["MUJOCO_GL"] = "osmesa"
    assert headless.ways() == ("osmesa",)


def test_the_first_way_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless, "why_not", lambda way: None if way == "osmesa" else "broken")
    assert headless.prepare_drawing() is None
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_no_way_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless, "why_not", lambda way: f"no lib{way}")
    problem = headless.prepare_drawing()
    assert problem is not None
    for part in ("egl: no libegl", "osmesa: no libosmesa", "apt-get install libegl1", "libosmesa6"):
        assert part in problem
    assert "MUJOCO_GL" not in os.environ


def test_a_wish_that_does_not_work_is_told_and_stays() -> None:
    """This one truly tries."""
    os.environ["MUJOCO_GL"] = "paper"
    problem = headless.prepare_drawing()
    assert problem is not None
    assert "invalid value for environment variable MUJOCO_GL: paper" in problem
    assert problem.endswith("set MUJOCO_GL to what works here, or unset it")
    assert os.environ["MUJOCO_GL"] == "paper"


# --- files


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_every_frame_is_in_the_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"squares{ending}"
    write(path, squares(12), 20.0)
    facts, frames = read(path)
    assert frames.shape == (12, 64, 96, 3)
    if ending == ".mp4":
        assert facts["fps"] == 20.0
    else:
        assert facts["duration"] == 50  # ms of a frame
    for number, frame in enumerate(frames):
        inside = frame[12:28, 4 * number + 2 : 4 * number + 18]
        assert inside.min() > 200
        np.testing.assert_allclose(frame[50], np.full((96, 3), (0, 0, 200)), atol=16)


def test_a_gif_plays_as_fast_as_the_task_by_leaving_frames_out(tmp_path: Path) -> None:
    path = tmp_path / "fast.gif"
    write(path, squares(20), 100.0)
    facts, frames = read(path)
    assert len(frames) == 10
    assert facts["duration"] == 20


def test_an_odd_size_is_made_even_for_mp4(tmp_path: Path) -> None:
    write(tmp_path / "odd.mp4", squares(3, 63, 95), 20.0)
    assert read(tmp_path / "odd.mp4")[1].shape == (3, 64, 96, 3)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"film\.avi: a video ends in \.mp4 or \.gif"):
        Film(tmp_path / "film.avi", 20.0)
    with pytest.raises(InputError, match="there is no folder"):
        Film(tmp_path / "no" / "film.mp4", 20.0)
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        Film(tmp_path / "folder.gif", 20.0)
    full = tmp_path / "full.mp4"
    full.symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"full\.mp4: cannot be written: .*[Nn]o space left"):
        write(full, squares(12), 20.0)


def test_half_a_film_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "half.gif"

    def interrupted() -> Iterator[np.ndarray]:
        for frame in squares(2000):
            yield frame
            if path.exists():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, interrupted(), 20.0)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with Film(tmp_path / "two.mp4", 20.0) as film:
        film.add(next(squares(1)))
        with pytest.raises(ValueError, match=r"the first was uint8 \(64, 96, 3\)"):
            film.add(next(squares(1, 32)))


def test_without_the_package_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"pip install 'awac_dist\[video\]'"):
        Film(tmp_path / "film.mp4", 20.0)


# --- the command


def play(*words: str) -> int:
    return awac_dist(["evaluate", "random", "--env", SHORT, "--episodes", "3", *words])


@pytest.mark.usefixtures("drawing")
def test_best_median_and_worst_are_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, with_film, without = (tmp_path / name for name in ("film.mp4", "a.json", "b.json"))
    assert play("--video", str(film), "--json", str(with_film)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"filmed: {film} (best | median | worst)"
    assert play("--json", str(without)) == 0
    assert json.loads(with_film.read_text()) == json.loads(without.read_text())
    _, frames = read(film)
    assert frames.shape == (5, 80, 3 * 96, 3)  # 5 observations of 4 steps
    assert all(frame.mean() > 30 and frame.std() > 10 for frame in frames)
    moved = np.abs(np.diff(frames.astype(float), axis=0)).reshape(4, 80, 3, 96, 3)
    assert (moved.max(axis=(1, 3, 4)) > 30).all()  # in each of the three


def test_episodes_are_chosen_by_their_return() -> None:
    returns = dict(enumerate([5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0]))
    assert chosen(returns, 1) == {2: "best", 0: "median", 1: "worst"}
    rows = chosen(returns, 2)
    assert list(rows) == [2, 4, 5, 6, 0, 1]  # row by row: the third and fourth are the middle
    assert list(rows.values()) == ["best", "median", "worst"] * 2
    assert chosen({0: 1.0, 1: 2.0}, 1) == {1: "best", 0: "worst"}
    assert chosen({4: 1.0}, 1) == {4: "best"}


def test_cells_lie_in_rows_and_wait_for_the_longest(tmp_path: Path) -> None:
    path = tmp_path / "grid.mp4"
    with Grid(path, 20.0, columns=2) as grid:
        for number, level in enumerate((40, 120, 200)):
            with grid.film("") as film:
                for _ in range(3 + number):
                    film.add(np.full((64, 96, 3), level, np.uint8))
    facts, frames = read(path)
    assert facts["fps"] == 20.0
    assert frames.shape == (5, 128, 192, 3)
    cells = frames.reshape(5, 2, 64, 2, 96, 3).mean(axis=(2, 4, 5))
    np.testing.assert_allclose(cells, [[[40, 120], [200, 0]]] * 5, atol=4)


def test_a_caption_is_written_into_each_frame(tmp_path: Path) -> None:
    with Film(tmp_path / "film.gif", 20.0, "best: 12") as film:
        for _ in range(2):
            film.add(np.full((90, 160, 3), 128, np.uint8))
    for frame in read(tmp_path / "film.gif")[1]:
        assert np.ptp(frame[:30, :80].astype(int)) > 240
        assert (frame[40:] == 128).all()


def test_a_grid_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (full := tmp_path / "full.mp4").symlink_to("/dev/full")
    with (
        pytest.raises(InputError, match=r"full\.mp4: cannot be written: .*[Nn]o space left"),
        Grid(full, 20.0, columns=1) as grid,
        grid.film("") as film,
    ):
        film.add(next(squares(1)))
    with pytest.raises(InputError, match=r"film\.avi: a video ends in \.mp4 or \.gif"):
        Grid(tmp_path / "film.avi", 20.0, columns=1)


@pytest.mark.usefixtures("drawing")
def test_the_floor_reaches_as_far_as_a_cheetah_runs() -> None:
    env = filmed_env(env_spec(SHORT))
    env.reset(seed=0)
    task = env.unwrapped
    place = task.data.qpos.copy()  # type: ignore[attr-defined]
    place[0] = 100.0
    task.set_state(place, task.data.qvel)  # type: ignore[attr-defined]
    picture = np.asarray(env.render())
    env.close()
    assert 40.0 * WIDER > 100.0
    assert task.model.vis.quality.shadowsize == SHADOW  # type: ignore[attr-defined]
    assert picture[-12:].std() > 40  # tiles, not an empty grey


def test_a_task_that_cannot_be_filmed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["random", "--env", VARIES, "--video", str(tmp_path / "film.gif")]
    assert awac_dist(["evaluate", *words]) == 2
    assert "cannot be filmed: it has no render mode rgb_array" in capsys.readouterr().err


def test_a_task_that_does_not_draw_is_told_before_it_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_picture() -> None:
        raise ImportError("no\npygame")

    it: Any = SimpleNamespace(reset=lambda seed: None, render=no_picture, close=lambda: None)
    it.metadata = {"render_modes": ["rgb_array"]}
    for name in ("make_task", "filmed_env"):
        monkeypatch.setattr(evaluate, name, lambda spec: it)
    monkeypatch.setattr(evaluate, "_play", None)
    film = tmp_path / "film.gif"
    assert awac_dist(["evaluate", "random", "--env", VARIES, "--video", str(film)]) == 2
    said = capsys.readouterr().err
    assert said == f"awac_dist: {film}: the task cannot be drawn: no pygame\n"


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize("option", ["--json", "--video"])
def test_what_was_played_is_told_though_a_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (full := tmp_path / "full.gif").symlink_to("/dev/full")
    assert play(option, str(full)) == 2
    out, err = capsys.readouterr()
    assert "\nreturn " in out
    assert "cannot be written: " in err
    assert "filmed: " not in out


@pytest.mark.usefixtures("drawing")
def test_figures_go_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(pipe.read_text)
        assert play("--json", str(pipe)) == 0
        assert json.loads(heard.result())["episodes"] > 0
    assert pipe.is_fifo()


def test_no_renderer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mujoco  # noqa: F401 as the task does

    monkeypatch.setattr(headless, "why_not", lambda way: "not installed")
    words = ["random", "--env", VARIES, "--video", str(tmp_path / "film.gif")]
    assert awac_dist(["evaluate", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "apt-get install libegl1" in said
