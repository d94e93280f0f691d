"""Lists of trajectory dicts: the demonstrations of the hand tasks, and AWAC's own `.npy`.

Both hold one dict a trajectory: `observations` (an array, or a dict a step), `actions`,
`rewards`, and perhaps `next_observations` and `terminals`. The first is a pickle of a list
(Rajeswaran et al., 2018), the second an object array (Nair et al., 2020). reward[t] belongs to
action[t] and to the observation after it. Without that observation, a last step that did not
terminate is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from awac_dist.data.columns import Place, widths
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.formats import restricted_pickle
from awac_dist.errors import InputError
from awac_dist.files import head
from awac_dist.types import Episode, Kind, Origin

REQUIRED = ("observations", "actions", "rewards")
HEAD_BYTES = 256
PICKLE_HEAD = re.compile(
    rb"\x80[\x02-\x05]"  # protocols 2 to 5 say so
    rb"|\(lp?\d*\n?.{0,8}\(d"  # protocols 0 and 1: a list that opens with a dict
    rb"|\](q.)?\(?\}(q.)?"
    rb"|[ci][\w.]+\n[\w.]+\n"  # a name to import: recognised to be refused by its name
    rb"|\([ci][\w.]+\n[\w.]+\n",
    re.DOTALL,
)


def _read(
    path: str, share: tuple[int, int], load: Callable[[str], Any], kind: Kind
) -> Iterator[tuple[int, Episode]]:
    yield from _episodes(path, share, _listed(path, load(path)), kind)


def _episodes(
    path: str, share: tuple[int, int], trajectories: list[Any], kind: Kind
) -> Iterator[tuple[int, Episode]]:
    limit, (index, of) = restricted_pickle.size_limit(path), share
    first: tuple[int, int] | None = None
    for number in sorted({0, *range(index, len(trajectories), of)}):
        place = Place(path, f"episode {number}", limit)
        episode = _episode(trajectories[number], place, number, kind)
        first = first or widths(episode)
        place.check_widths(episode, first)
        if number % of == index:
            yield number, episode


def _episode(trajectory: Any, place: Place, number: int, kind: Kind) -> Episode:
    if not isinstance(trajectory, dict):
        raise place.error("columns", f"is a {type(trajectory).__name__}", "store one dict each")
    for name in REQUIRED:
        if name not in trajectory:
            found = ", ".join(map(ascii, list(trajectory)[:8])) or "nothing"
            raise place.error(name, f"is missing, there is {found}", "add it")
    observations = place.matrix(trajectory["observations"], "observations")
    actions = place.matrix(trajectory["actions"], "actions")
    rewards, steps = place.vector(trajectory["rewards"], "rewards"), len(actions)
    if steps and len(rewards) == steps + 1:  # the hand demonstrations have one for no action
        rewards = rewards[:-1]
    terminals, following = trajectory.get("terminals"), trajectory.get("next_observations")
    terminated, successor = False, None
    if steps and terminals is not None:
        terminated = place.ends(terminals, steps, "terminals", "split the trajectory there")
    if steps and following is not None:
        successor = place.successor(observations, following, steps, "next_observations")
    return place.assemble(
        observations,
        actions,
        rewards,
        successor=successor,
        terminated=terminated,
        truncated=not terminated,
        origin=Origin(kind, episode=number),
    )


def _listed(path: str, found: Any) -> list[Any]:
    if isinstance(found, np.ndarray) and found.dtype.kind == "O":
        found = list(found.ravel())
    if not isinstance(found, list | tuple) or not found:
        what = "nothing" if isinstance(found, list | tuple) else f"a {type(found).__name__}"
        raise InputError(f"{path}: holds {what}: store a list of dicts, one a trajectory")
    return list(found)


def _load_array(path: str) -> list[Any]:
    found = restricted_pickle.load_npy(path)
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def _describe(path: str, load: Callable[[str], Any], kind: Kind) -> FileInfo:
    trajectories = _listed(path, load(path))
    lengths, ended = [], []
    for _, episode in _episodes(path, (0, 1), trajectories, kind):
        lengths.append(len(episode))
        ended.append(episode.terminated)
    steps = sum(len(trajectory["actions"]) for trajectory in trajectories)
    facts = {"steps in the file": f"{steps:,}", "transitions": f"{sum(lengths):,}"}
    if steps > sum(lengths):
        facts["left out"] = (
            f"{steps - sum(lengths):,} last steps: the observation after them is not in the file"
        )
    longest = max(lengths)
    at_limit = [end for length, end in zip(lengths, ended, strict=True) if length == longest]
    if len(at_limit) > 1 and any(at_limit):
        facts["terminals"] = (
            f"{sum(at_limit)} of the {len(at_limit)} longest episodes, all of {longest:,} steps, "
            "end with a terminal at their last step: kept, but it may be a time limit"
        )
    return FileInfo(None, *widths(episode), len(lengths), facts)


def _is_pickle(path: str) -> bool:
    return PICKLE_HEAD.match(head(path, HEAD_BYTES)) is not None


def _format(name: str, looks_like: Callable[[str], bool], **given: Any) -> Format:
    return Format(name, looks_like, partial(_describe, **given), partial(_read, **given))


DEMONSTRATIONS = _format(
    "demonstration pickle", _is_pickle, load=restricted_pickle.load_pickle, kind="demonstration"
)
AWAC_NPY = _format("AWAC .npy", restricted_pickle.holds_objects, load=_load_array, kind="prior")
FORMATS = (DEMONSTRATIONS, AWAC_NPY)
