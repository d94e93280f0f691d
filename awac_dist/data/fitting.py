"""What prior data must be for a task: of it, of its sizes, with its goals, within its bounds."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from awac_dist.data.format import FileInfo
from awac_dist.data.fragments import GOALS
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode

VERSION = re.compile(r"-v\d+$")


def check_sizes(place: str, info: FileInfo, spec: EnvSpec) -> None:
    """Refuse a file whose vectors are not as wide as the task's."""
    found, wanted = ((its.observation_size, its.action_size) for its in (info, spec))
    if found != wanted:
        of = f" of {info.env_id}" if info.env_id else ""
        raise InputError(
            f"{place}: observations [T+1, {found[0]}] and actions [T, {found[1]}]{of} "
            f"do not fit {spec.env_id}, which has {wanted[0]} and {wanted[1]}: "
            "give --data of that task"
        )
    if spec.goal_size not in (0, info.goal_size):
        raise InputError(
            f"{place}: goals [{info.goal_size}] do not fit {spec.env_id}, which has "
            f"[{spec.goal_size}]: its data needs desired_goals and achieved_goals"
        )


def goal_fault(episode: Episode, goal_size: int) -> str | None:
    """Column, fault and remedy of an episode that lacks the goals of a task that has some."""
    for name in GOALS if goal_size else ():
        column, wanted = getattr(episode, name), (len(episode) + 1, goal_size)
        if column is None or column.shape != wanted:
            found = "is missing" if column is None else f"has shape {column.shape}"
            remedy = "write one a row of observations, or leave the episode out"
            return f"{name}: {found}, and the task needs {wanted}: {remedy}"
    return None


def check_goals(place: str, episode: Episode, goal_size: int) -> None:
    """Refuse what `goal_fault` finds."""
    if fault := goal_fault(episode, goal_size):
        raise InputError(f"{place}: {fault}")


def out_of_range(episode: Episode, spec: EnvSpec) -> int:
    """Steps whose action leaves the task's bounds in some dimension."""
    return int((clipped(episode, spec).actions != episode.actions).any(axis=1).sum())


def clipped(episode: Episode, spec: EnvSpec) -> Episode:
    """The episode with its actions clipped to the task's bounds."""
    low, high = (np.array(bound, np.float32) for bound in (spec.action_low, spec.action_high))
    return replace(episode, actions=np.clip(episode.actions, low, high))


def is_same(named: str, env_id: str) -> bool:
    """Whether the name of a task in a file means a task, in whatever version.

    A name without a version, such as robomimic's, need only be part of the other.
    """
    names = [name.rpartition(":")[2].casefold() for name in (named, env_id)]
    short, long = sorted((VERSION.sub("", name) for name in names), key=len)
    return short == long or (short in long and not all(map(VERSION.search, names)))
