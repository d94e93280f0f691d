"""New datasets that are whole or absent, written episode by episode."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from pyarrow import fs

from awac_dist.data.experience import STEPS_PER_FILE
from awac_dist.data.parquet import write_episodes
from awac_dist.envs.goals import GOAL_KEYS
from awac_dist.envs.make import make_env
from awac_dist.errors import InputError, first_line
from awac_dist.files import resolve
from awac_dist.types import EnvSpec, Episode

MINARI = "minari:"
Write = Callable[[Episode], None]


def open_writer(target: str, spec: EnvSpec) -> AbstractContextManager[Write]:
    """A function that takes episodes; what it took is there after the `with`, or nothing is.

    Args:
        target: A folder of ours that does not exist yet, named NAME.parquet, a path or URI; or
            minari:ID.
        spec: The task; of its fields, the id, the sizes and the bounds are written.

    Raises:
        InputError: The target exists, or is neither.
    """
    if target.startswith(MINARI):
        return _minari_writer(target.removeprefix(MINARI), spec)
    if not target.rstrip("/").endswith(".parquet"):
        raise InputError(f"--to {target}: is neither NAME.parquet nor minari:ID")
    return _parquet_writer(target.rstrip("/"), spec)


@contextmanager
def _parquet_writer(target: str, spec: EnvSpec) -> Iterator[Write]:
    filesystem, name = resolve(target)
    if filesystem.get_file_info(name).type != fs.FileType.NotFound:
        raise InputError(f"--to {target}: exists already: remove it, or name another one")
    aside = f"{target}.part"
    _create(filesystem, f"{name}.part")
    chunks = _Chunks(lambda number, chunk: _write_chunk(aside, number, chunk, spec))
    try:
        yield chunks.add
        chunks.flush()
        filesystem.move(f"{name}.part", name)
    except BaseException:
        filesystem.delete_dir(f"{name}.part")
        raise


@contextmanager
def _minari_writer(dataset_id: str, spec: EnvSpec) -> Iterator[Write]:
    folder = _new_minari_folder(dataset_id)
    made: list[Any] = []

    def write(number: int, chunk: list[Episode]) -> None:
        buffers = [_minari_buffer(episode) for episode in chunk]
        if made:
            made[0].update_dataset_from_buffer(buffers)
        else:
            made.append(_minari_dataset(dataset_id, buffers, spec))

    chunks = _Chunks(write)
    try:
        yield chunks.add
        chunks.flush()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _minari() -> Any:
    try:
        return import_module("minari")
    except ImportError:
        raise InputError("--to minari:ID needs a package: pip install 'minari[hdf5]'") from None


class _Chunks:
    """Hands episodes on in chunks of about 20,000 steps."""

    def __init__(self, write: Callable[[int, list[Episode]], None]) -> None:
        self._write = write
        self._chunk: list[Episode] = []
        self._steps, self._number = 0, 0

    def add(self, episode: Episode) -> None:
        self._chunk.append(episode)
        self._steps += len(episode)
        if self._steps >= STEPS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        if self._chunk:
            self._write(self._number, self._chunk)
            self._chunk, self._steps, self._number = [], 0, self._number + 1


def _create(filesystem: Any, name: str) -> None:
    try:
        if filesystem.get_file_info(name).type != fs.FileType.NotFound:
            filesystem.delete_dir(name)  # of a conversion that died
        filesystem.create_dir(name, recursive=True)
    except OSError as error:
        raise InputError(f"--to: cannot write {name}: {first_line(error)}") from error


def _write_chunk(folder: str, number: int, chunk: list[Episode], spec: EnvSpec) -> None:
    write_episodes(f"{folder}/episodes-{number:06d}.parquet", chunk, spec)


def _new_minari_folder(dataset_id: str) -> Path:
    """Where the dataset will lie; refuses an id that is malformed or taken."""
    _minari()
    try:
        import_module("minari.dataset.minari_dataset").parse_dataset_id(dataset_id)
    except (TypeError, ValueError):
        raise InputError(
            f"--to minari:{dataset_id}: is no Minari id: name it as in mujoco/halfcheetah/mine-v0"
        ) from None
    root = import_module("minari.storage.datasets_root_dir").get_dataset_path()
    folder = Path(root) / dataset_id
    if folder.exists():
        raise InputError(f"--to minari:{dataset_id}: exists already: name another version")
    return folder


def _minari_dataset(dataset_id: str, buffers: list[Any], spec: EnvSpec) -> Any:
    low, high = (np.array(edge, np.float32) for edge in (spec.action_low, spec.action_high))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about authors and permalinks, which we cannot know
        return _minari().create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=_gymnasium_spec(spec.env_id),
            observation_space=_minari_space(spec),
            action_space=Box(low, high, dtype=np.float32),
            description=f"Episodes of {spec.env_id}, converted by awac_dist",
            data_format="hdf5",
        )


def _minari_space(spec: EnvSpec) -> gymnasium.Space[Any]:
    sizes = (spec.observation_size, spec.goal_size, spec.goal_size)
    boxes = [Box(-np.inf, np.inf, (size,), np.float32) for size in sizes]
    return Dict(dict(zip(GOAL_KEYS, boxes, strict=True))) if spec.goal_size else boxes[0]


def _minari_observations(episode: Episode) -> Any:
    columns = (episode.observations, episode.desired_goals, episode.achieved_goals)
    has_goals = episode.desired_goals is not None
    return dict(zip(GOAL_KEYS, columns, strict=True)) if has_goals else episode.observations


def _gymnasium_spec(env_id: str) -> Any:
    """What Minari keeps of an environment, None if it cannot be made here."""
    try:
        env = make_env(env_id)
    except InputError:
        return None
    env.close()
    return env.spec


def _minari_buffer(episode: Episode) -> Any:
    last = np.arange(len(episode)) == len(episode) - 1
    successes = episode.successes
    return import_module("minari.data_collector").EpisodeBuffer(
        seed=episode.origin.seed if episode.origin.seed >= 0 else None,
        observations=_minari_observations(episode),
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
        infos=None if successes is None else {"success": successes > 0},
    )
