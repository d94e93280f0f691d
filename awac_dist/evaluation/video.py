"""Frames -> an .mp4 or .gif file, streamed to ffmpeg: none is kept in memory.

Episodes that are shown side by side are filmed one after the other, then put together.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Self

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from awac_dist.envs.make import Environment, make_task
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec

GIF_FRAMES_PER_S = 50.0  # its clock ticks in hundredths, and viewers play 1/100 s as 1/10 s
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
MP4 = ("-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
GIF = "fps={:g},split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"
ENDINGS = (".mp4", ".gif")
LETTERS = 18  # of a caption's height make up that of a frame
PLANE = 0  # mujoco.mjtGeom.mjGEOM_PLANE
WIDE_M = 10.0  # half the side of a floor that something runs across
WIDER = 25  # a 40 m floor then reaches 1 km each way
SHADOW = 1024  # texels a side: a processor that draws 4,096 takes 109 ms a frame, of these 45


def filmed_env(spec: EnvSpec) -> Environment:
    """Build an environment that can be drawn.

    The floor of Gymnasium's locomotion tasks ends after 40 m, where their contacts do not: it is
    drawn larger, by the same tiles. Physics knows planes without end, whatever their size. Shadows
    are no finer than a frame shows.
    """
    env = make_task(spec, render_mode="rgb_array")
    model: Any = getattr(env.unwrapped, "model", None)
    if not hasattr(model, "geom_type"):
        return env
    model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, SHADOW)
    for floor in np.flatnonzero(model.geom_type == PLANE):
        material = model.geom_matid[floor]
        if min(model.geom_size[floor, :2]) >= WIDE_M and material >= 0:
            model.geom_size[floor, :2] *= WIDER
            model.mat_texrepeat[material] *= WIDER
    return env


def drawn(env: Environment, path: Path) -> np.ndarray:
    """A frame, uint8 [height, width, 3], of an environment that was reset.

    Raises:
        InputError: It cannot be drawn; names the file that it is for.
    """
    try:
        picture: Any = env.render()
    except Exception as error:  # whatever a task's renderer may raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: the task cannot be drawn: {reason}") from error
    return np.asarray(picture)


class Filmed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose every observation is a frame of a film."""

    def __init__(self, env: Environment, film: Film) -> None:
        super().__init__(env)
        self._film = film

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        answer = super().reset(**options)
        self._film.shoot(self.env)
        return answer

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        answer = super().step(action)
        self._film.shoot(self.env)
        return answer


class Film:
    """A video file that takes frames one by one.

    Args:
        path: The file to write; its ending says the format.
        frames_per_s: How fast it plays. A .gif drops frames beyond `GIF_FRAMES_PER_S`.
        caption: Written into each frame.

    Raises:
        InputError: The ending is another one, the folder or ffmpeg is not there.
    """

    def __init__(self, path: Path, frames_per_s: float, caption: str = "") -> None:
        _check(path)
        self._ffmpeg, self._caption = _find_ffmpeg(), caption
        self.path, self._frames_per_s, self.frames = path, frames_per_s, 0
        self._shape: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by __exit__

    def shoot(self, env: Environment) -> None:
        """Add what the environment looks like now.

        Raises:
            InputError: It cannot be drawn, or the file cannot be written.
        """
        self.add(drawn(env, self.path))

    def add(self, frame: np.ndarray) -> None:
        """Add a frame, uint8 [height, width, 3], all of one size.

        Raises:
            InputError: The file cannot be written.
        """
        if self._process is None:
            self._shape = frame.shape
            self._process = self._start()
        if frame.dtype != np.uint8 or frame.shape != self._shape:
            wanted = f"uint8 {self._shape}"
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, the first was {wanted}")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_captioned(frame, self._caption))
        except OSError:  # ffmpeg has gone
            self._close()
            raise
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._said:
            self._close(whole=kind is None)

    def _close(self, *, whole: bool = True) -> None:
        """Finish the file, or remove it: half a film is of no use."""
        process, self._process = self._process, None
        if process is None:
            return
        if not whole:
            process.kill()
        process.communicate()
        if whole and process.returncode == 0:
            return
        self.path.unlink(missing_ok=True)
        if whole:
            self._said.seek(0)
            raise _cannot_be_written(self.path, self._said.read(), process.returncode)

    def _start(self) -> subprocess.Popen[bytes]:
        height, width = self._shape[:2]
        rate = f"{self._frames_per_s:g}"
        frames_in = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate]
        words = [self._ffmpeg, "-y", "-v", "error", *frames_in, "-i", "-"]
        words += ["-vf", *_out(self.path, self._frames_per_s)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said)


class Grid:
    """A video file of several episodes side by side, each with a caption.

    One that is over stays as it ended until all are.

    Args:
        path, frames_per_s: As a film's.
        columns: Of the grid, which is filled row by row.

    Raises:
        InputError: As a film.
    """

    def __init__(self, path: Path, frames_per_s: float, columns: int) -> None:
        _check(path)
        self._ffmpeg = _find_ffmpeg()
        self.path, self._frames_per_s, self._columns = path, frames_per_s, columns
        self._cells: list[Path] = []
        self._aside = tempfile.TemporaryDirectory()

    def film(self, caption: str) -> Film:
        """What takes the next episode."""
        self._cells.append(Path(self._aside.name, f"{len(self._cells)}.mp4"))
        return Film(self._cells[-1], self._frames_per_s, caption)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._aside:
            if kind is None:
                self._put_together()

    def _put_together(self) -> None:
        words = [self._ffmpeg, "-y", "-v", "error"]
        words += [word for cell in self._cells for word in ("-i", str(cell))]
        graph, *rest = _out(self.path, self._frames_per_s)
        if len(self._cells) > 1:
            graph = f"xstack=inputs={len(self._cells)}:layout={self._layout()}:fill=black,{graph}"
        done = subprocess.run(
            [*words, "-filter_complex", graph, *rest], capture_output=True, check=False
        )
        if done.returncode:
            self.path.unlink(missing_ok=True)
            raise _cannot_be_written(self.path, done.stderr, done.returncode)

    def _layout(self) -> str:
        """Where each cell begins, in widths and heights of the first, as ffmpeg reads it."""
        places = [divmod(number, self._columns) for number in range(len(self._cells))]
        across, down = (
            (lambda n: "+".join(["w0"] * n) or "0"),
            (lambda n: "+".join(["h0"] * n) or "0"),
        )
        return "|".join(f"{across(column)}_{down(row)}" for row, column in places)


def _check(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: a video ends in {' or '.join(ENDINGS)}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder: name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}: make it first")


def _out(path: Path, frames_per_s: float) -> list[str]:
    """What ffmpeg is told of a file: its last filter, and all that follows."""
    if path.suffix.lower() == ".gif":
        return [GIF.format(min(frames_per_s, GIF_FRAMES_PER_S)), f"file:{path}"]
    return [EVEN, *MP4, f"file:{path}"]


def _cannot_be_written(path: Path, said: bytes, code: int) -> InputError:
    lines = said.decode(errors="replace").strip().splitlines()
    return InputError(f"{path}: cannot be written: {[*lines, f'ffmpeg ended with {code}'][0]}")


def _captioned(frame: np.ndarray, caption: str) -> bytes:
    """A frame's bytes, with a caption in its upper left corner, white on black."""
    if not caption:
        return frame.tobytes()
    picture = Image.fromarray(frame)
    size = max(10.0, len(frame) / LETTERS)
    font, place = ImageFont.load_default(size), (size / 2, size / 2)
    ImageDraw.Draw(picture).text(place, caption, "white", font, stroke_width=2, stroke_fill="black")
    return picture.tobytes()


def _find_ffmpeg() -> str:
    """The program that comes with `imageio_ffmpeg`, or the one that IMAGEIO_FFMPEG_EXE names."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise InputError("videos need a package: pip install 'awac_dist[video]'") from None
    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError(f"no ffmpeg: {' '.join(str(error).split())}") from error
