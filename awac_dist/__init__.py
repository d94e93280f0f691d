"""Distributed advantage-weighted actor-critic: prior data in, an improving policy out."""

from __future__ import annotations

from os import PathLike, fspath
from os.path import expanduser
from typing import TYPE_CHECKING

from awac_dist.interrupts import ends_at_once

with ends_at_once():
    from awac_dist.envs.registration import register_tasks
    from awac_dist.errors import InputError
    from awac_dist.types import EnvSpec, Episode, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from awac_dist.policies.acting import SavedPolicy

__version__ = "0.1.0"
__all__ = [
    "EnvSpec",
    "Episode",
    "InputError",
    "Origin",
    "__version__",
    "load_policy",
    "write_episodes",
]

register_tasks()


def load_policy(source: str | PathLike[str]) -> SavedPolicy:
    """A policy that acts without torch and Ray: `action = policy(observation)`.

    Args:
        source: The folder of a run (its newest checkpoint), a checkpoint, or a policy file (.npz);
            a path, where ~ is the home folder, or URI.

    Raises:
        InputError: There is none, or it is damaged.
    """
    from awac_dist.policies.acting import SavedPolicy
    from awac_dist.policies.npz import find_policy, read_policy

    return SavedPolicy(read_policy(find_policy(expanduser(fspath(source)))))


def write_episodes(path: str | PathLike[str], episodes: Iterable[Episode], spec: EnvSpec) -> None:
    """Write episodes as our Parquet, which `--data` reads: whole, or not at all.

    Args:
        path: The file, a path or URI; its name should end with .parquet.
        episodes: In any number; their columns may be arrays of any type of numbers.
        spec: The task: its id, the sizes of observations, actions and goals, and the bounds.

    Raises:
        ValueError: An episode is not as wide as the task's.
        OSError: The file cannot be written.
    """
    from awac_dist.data.parquet import write_episodes as write

    write(expanduser(fspath(path)), episodes, spec)
