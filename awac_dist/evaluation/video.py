"""Frames -> an .mp4 or .gif file, streamed to ffmpeg: none is kept in memory."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Self

import gymnasium
import numpy as np

from awac_dist.envs.make import Environment, make_task
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec

GIF_FRAMES_PER_S = 50.0  # its clock ticks in hundredths, and viewers play 1/100 s as 1/10 s
MP4 = ("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", "20")
MP4_PLAYS_ANYWHERE = ("-pix_fmt", "yuv420p", "-movflags", "+faststart")
GIF = "fps={:g},split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"
ENDINGS = (".mp4", ".gif")
PLANE = 0  # mujoco.mjtGeom.mjGEOM_PLANE
WIDE_M = 10.0  # half the side of a floor that something runs across
WIDER = 25  # a 40 m floor then reaches 1 km each way


def filmed_env(spec: EnvSpec) -> Environment:
    """Build an environment that can be drawn.

    The floor of Gymnasium's locomotion tasks ends after 40 m, where their contacts do not: it is
    drawn larger, by the same tiles. Physics knows planes without end, whatever their size.
    """
    env = make_task(spec, render_mode="rgb_array")
    model: Any = getattr(env.unwrapped, "model", None)
    if not hasattr(model, "geom_type"):
        return env
    for floor in np.flatnonzero(model.geom_type == PLANE):
        material = model.geom_matid[floor]
        if min(model.geom_size[floor, :2]) >= WIDE_M and material >= 0:
            model.geom_size[floor, :2] *= WIDER
            model.mat_texrepeat[material] *= WIDER
    return env


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

    Raises:
        InputError: The ending is another one, the folder or ffmpeg is not there.
    """

    def __init__(self, path: Path, frames_per_s: float) -> None:
        if path.suffix.lower() not in ENDINGS:
            raise InputError(f"{path}: a video ends in {' or '.join(ENDINGS)}")
        if path.is_dir():
            raise InputError(f"{path}: is a folder: name a file")
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}: make it first")
        self._ffmpeg = _find_ffmpeg()
        self.path, self._frames_per_s, self.frames = path, frames_per_s, 0
        self._shape: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by __exit__

    def shoot(self, env: Environment) -> None:
        """Add what the environment looks like now.

        Raises:
            InputError: It cannot be drawn, or the file cannot be written.
        """
        try:
            picture: Any = env.render()
        except Exception as error:  # whatever a task's renderer may raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self.path}: the task cannot be drawn: {reason}") from error
        self.add(np.asarray(picture))

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
            self._process.stdin.write(frame.tobytes())
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
            said = self._said.read().decode(errors="replace").strip().splitlines()
            reason = said[0] if said else f"ffmpeg ended with {process.returncode}"
            raise InputError(f"{self.path}: cannot be written: {reason}")

    def _start(self) -> subprocess.Popen[bytes]:
        height, width = self._shape[:2]
        rate = f"{self._frames_per_s:g}"
        frames_in = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate]
        gif = ("-vf", GIF.format(min(self._frames_per_s, GIF_FRAMES_PER_S)))
        frames_out = gif if self.path.suffix.lower() == ".gif" else MP4 + MP4_PLAYS_ANYWHERE
        words = ["-y", "-v", "error", *frames_in, "-i", "-", *frames_out, f"file:{self.path}"]
        return subprocess.Popen(
            [self._ffmpeg, *words], stdin=subprocess.PIPE, stdout=self._said, stderr=self._said
        )


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
