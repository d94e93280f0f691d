"""New datasets that are whole or absent, written episode by episode."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from pyarrow import fs

from awac_dist.data.experience import STEPS_PER_FILE
from awac_dist.data.parquet import write_episodes
from awac_dist.envs.guard import GUARD, EnvironmentFault
from awac_dist.envs.make import GOAL_KEYS, GoalAsInput, make_env
from awac_dist.errors import InputError, writable
from awac_dist.files import PART, beside, resolve
from awac_dist.reporting.run_place import LOCK_FILE, new_folder_alone, only_one_at_a_time
from awac_dist.types import EnvSpec, Episode

MINARI = "minari:"
Write = Callable[[Iterable[Episode]], None]


def open_writer(target: str, spec: EnvSpec) -> AbstractContextManager[Write]:
    """A function that takes all episodes; they are there after the `with`, or nothing is.

    The target is NAME.parquet, the path or URI of a folder that does not exist yet, or minari:ID.
    Of the task, the id, the sizes and the bounds are written. Raises InputError where the target
    exists, or is neither.
    """
    if target.startswith(MINARI):
        return _minari_writer(target.removeprefix(MINARI), spec)
    if not target.rstrip("/").endswith(".parquet"):
        raise InputError(f"--to {target}: is neither NAME.parquet nor minari:ID")
    return _parquet_writer(target, spec)


@contextmanager
def new_folder(option: str, target: str) -> Iterator[str]:
    """A folder to write to, which is the target, a path or URI, from the end of the `with` on.

    Object stores move no folders: at a URI it is the target itself, which others keep out of, and
    a process that is killed leaves what it had written. Raises InputError where the target that
    this option names exists, or cannot be written.
    """
    target = target.rstrip("/")
    place, (filesystem, name) = f"{option} {target}", resolve(target)
    with writable(place):
        _refuse_taken(place, filesystem, name)
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    with _moved_there(place, target) if is_local else _filled_there(option, target) as folder:
        yield folder


@contextmanager
def _moved_there(place: str, target: str) -> Iterator[str]:
    """A folder beside the target, which becomes it."""
    aside = beside(target)
    (filesystem, name), (_, part) = resolve(target), resolve(aside)
    with writable(place):
        filesystem.create_dir(part, recursive=True)
    try:
        with _held(name, part):
            yield aside
        _refuse_taken(place, filesystem, name)  # by another process, meanwhile
        with writable(place):
            filesystem.move(part, name)
    except BaseException:
        with suppress(FileNotFoundError):
            filesystem.delete_dir(part)
        raise


@contextmanager
def _filled_there(option: str, target: str) -> Iterator[str]:
    """The target itself, which is gone where not all of it could be written."""
    with new_folder_alone(target, option):
        try:
            yield target
        except BaseException:
            filesystem, name = resolve(target)
            with suppress(OSError):
                filesystem.delete_dir(name)
            raise


def _refuse_taken(place: str, filesystem: Any, name: str) -> None:
    if filesystem.get_file_info(name).type != fs.FileType.NotFound:
        raise InputError(f"{place}: exists already: remove it, or name another one")


@contextmanager
def _held(name: str, part: str) -> Iterator[None]:
    """Hold a folder that is to become another one, by a lock in it.

    Those that nobody holds any more are removed: their processes died.
    """
    for lock in Path(name).parent.glob(f"{escape(Path(name).name)}{PART}/{LOCK_FILE}"):
        with suppress(InputError), only_one_at_a_time(lock.parent):
            shutil.rmtree(lock.parent, ignore_errors=True)
    with only_one_at_a_time(Path(part)):
        yield
        Path(part, LOCK_FILE).unlink()


@contextmanager
def _parquet_writer(target: str, spec: EnvSpec) -> Iterator[Write]:
    with new_folder("--to", target) as folder:

        def write(episodes: Iterable[Episode]) -> None:
            for number, chunk in enumerate(_chunks(episodes)):
                with writable(f"--to {target}"):
                    write_episodes(f"{folder}/episodes-{number:06d}.parquet", chunk, spec)

        yield write


@contextmanager
def _minari_writer(dataset_id: str, spec: EnvSpec) -> Iterator[Write]:
    _new_minari_folder(dataset_id)
    made: list[Path] = []

    def write(episodes: Iterable[Episode]) -> None:
        dataset: Any = None
        env = _recoverable(spec.env_id)
        for chunk in _chunks(episodes):
            buffers = [_minari_buffer(episode) for episode in chunk]
            if dataset is None:
                made.append(_new_minari_folder(dataset_id))  # unless another process has, meanwhile
                dataset = _minari_dataset(dataset_id, buffers, spec, env)
            else:
                dataset.update_dataset_from_buffer(buffers)

    try:
        yield write
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _chunks(episodes: Iterable[Episode]) -> Iterator[list[Episode]]:
    """Episodes in stretches of about 20,000 steps."""
    chunk, steps = list[Episode](), 0
    for episode in episodes:
        chunk.append(episode)
        steps += len(episode)
        if steps >= STEPS_PER_FILE:
            yield chunk
            chunk, steps = [], 0
    if chunk:
        yield chunk


def _new_minari_folder(dataset_id: str) -> Path:
    """Where the dataset will lie; refuses an id that is malformed or taken."""
    try:
        from minari.dataset.minari_dataset import parse_dataset_id
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError:
        raise InputError("--to minari:ID needs a package: pip install 'minari[hdf5]'") from None
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError):
        raise InputError(
            f"--to minari:{dataset_id}: is no Minari id: name it as in mujoco/halfcheetah/mine-v0"
        ) from None
    folder = Path(get_dataset_path()) / dataset_id
    if folder.exists():
        raise InputError(f"--to minari:{dataset_id}: exists already: name another version")
    return folder


def _minari_dataset(dataset_id: str, buffers: list[Any], spec: EnvSpec, env: Any) -> Any:
    from minari import create_dataset_from_buffers

    low, high = (np.array(edge, np.float32) for edge in (spec.action_low, spec.action_high))
    sizes = (spec.observation_size, spec.goal_size, spec.goal_size)
    boxes = [Box(-np.inf, np.inf, (size,), np.float32) for size in sizes]
    goal_space = Dict(dict(zip(GOAL_KEYS, boxes, strict=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about authors and permalinks, which we cannot know
        return create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=env,
            observation_space=goal_space if spec.goal_size else boxes[0],
            action_space=Box(low, high, dtype=np.float32),
            description=f"Episodes of {spec.env_id}, converted by awac_dist",
            data_format="hdf5",
        )


def _recoverable(env_id: str) -> Any:
    """What Gymnasium makes a task from again, as it is stored; None where that cannot be done.

    Of a goal task, as it is below the wrapper that makes it flat.
    """
    with suppress(InputError, EnvironmentFault), GUARD, closing(make_env(env_id)) as env:
        spec: Any = (env.env if isinstance(env, GoalAsInput) else env).spec
        gymnasium.make(type(spec).from_json(spec.to_json())).close()
        return spec
    return None


def _minari_buffer(episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    last = np.arange(len(episode)) == len(episode) - 1
    columns = (episode.observations, episode.desired_goals, episode.achieved_goals)
    with_goals = dict(zip(GOAL_KEYS, columns, strict=True))
    successes = episode.successes
    unknown = successes is not None and np.isnan(successes).any()
    return EpisodeBuffer(
        seed=episode.origin.seed if episode.origin.seed >= 0 else None,
        observations=columns[0] if episode.desired_goals is None else with_goals,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
        infos=None if successes is None else {"success": successes if unknown else successes > 0},
    )
