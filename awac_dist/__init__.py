"""Distributed advantage-weighted actor-critic: prior data in, an improving policy out."""

from __future__ import annotations

import warnings
from os import PathLike, fspath
from os.path import expanduser
from typing import TYPE_CHECKING, Any

from awac_dist.interrupts import ends_at_once

with ends_at_once():
    from awac_dist.envs.registration import register_tasks
    from awac_dist.errors import InputError
    from awac_dist.types import EnvSpec, Episode, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from awac_dist.api import Run, evaluate, train
    from awac_dist.policies.acting import SavedPolicy

__version__ = "0.1.0"
__all__ = [
    "EnvSpec",
    "Episode",
    "InputError",
    "Origin",
    "Run",
    "__version__",
    "evaluate",
    "load_data",
    "load_policy",
    "train",
    "write_episodes",
]

register_tasks()


def __getattr__(name: str) -> Any:
    """What trains is imported once it is asked for: who acts, or writes data, needs none of it."""
    if name not in ("Run", "evaluate", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from awac_dist import api

    return getattr(api, name)


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


def load_data(source: str | PathLike[str]) -> list[Episode]:
    """The episodes of some data in any format that is read, as arrays.

    Args:
        source: As `--data` names it: a file, a folder, a glob, the folder of a run, the name of an
            embedded dataset; options follow after commas. What looks like data in a folder and
            is not read is passed over with a warning.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    from awac_dist.data.sources import episodes, find

    found = find(fspath(source))
    for remark in found.remarks:
        warnings.warn(remark, stacklevel=2)
    return [episode for *_, episode in episodes(found)]


def write_episodes(path: str | PathLike[str], episodes: Iterable[Episode], spec: EnvSpec) -> None:
    """Write episodes as our Parquet, which `--data` reads: whole, or not at all.

    Args:
        path: The file, a path or URI; its name should end with .parquet.
        episodes: In any number; their columns may be arrays of any type of numbers.
        spec: The task: its id, the sizes of observations, actions and goals, and the bounds.

    Raises:
        InputError: An episode of a goal task lacks goals, or they are not as wide as the task's.
        ValueError: An episode is not as wide as the task's.
        OSError: The file cannot be written.
    """
    from awac_dist.data.parquet import write_episodes as write

    write(expanduser(fspath(path)), episodes, spec)
