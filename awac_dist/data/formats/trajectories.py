"""Trajectory dicts: the demonstrations of the hand tasks, AWAC's own `.npy`, and `.npz`.

A dict holds `observations` (an array, or a dict a step), `actions`, `rewards`, and perhaps
`next_observations`, `terminals` and `timeouts`. The first are a pickle of a list of them
(Rajeswaran et al., 2018), the second an object array (Nair et al., 2020), an `.npz` is one. One
dict of whole arrays may be several trajectories: it is cut after each terminal and timeout.
Gymnasium's names of these flags do as well, and `dones` marks ends beside them.
reward[t] belongs to action[t] and to the observation after it. Without that observation, a last
step that did not terminate is left out, and an episode that has no other step with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any
from zipfile import ZipFile

import numpy as np

from awac_dist.data.columns import EITHER, ENDS, Place, end_keys, widths
from awac_dist.data.format import FileInfo, Format, Keys
from awac_dist.data.formats import restricted_pickle
from awac_dist.errors import InputError, naming
from awac_dist.files import BOUNDS_BYTES, Budget, head, open_input, read_file, unpack_npz
from awac_dist.types import Episode, Kind, Origin

REQUIRED = ("observations", "actions", "rewards")
CHOICES = (*REQUIRED, "next_observations", *ENDS)
POLICY_NAMES = ("spec.npy", "weight_0.npy")  # ours, and a plain network's
HEAD_BYTES = 256
PICKLE_HEAD = re.compile(
    rb"\x80[\x02-\x05]"  # protocols 2 to 5 say so
    rb"|\(lp?\d*\n?.{0,8}\(d"  # protocols 0 and 1: a list that opens with a dict
    rb"|\](q.)?\(?\}(q.)?"
    rb"|[ci][\w.]+\n[\w.]+\n"  # a name to import: recognised to be refused by its name
    rb"|\([ci][\w.]+\n[\w.]+\n",
    re.DOTALL,
)
Load = Callable[[str, Budget], Any]


def _read(
    path: str, share: tuple[int, int], keys: Keys, load: Load, kind: Kind
) -> Iterator[tuple[int, Episode]]:
    budget = Budget.of(path)
    trajectories = _listed(path, load(path, budget), keys, budget)
    yield from _episodes(Place(path, "", budget), share, trajectories, keys, kind)


def _episodes(
    file: Place, share: tuple[int, int], trajectories: Sequence[Any], keys: Keys, kind: Kind
) -> Iterator[tuple[int, Episode]]:
    index, of = share
    places = map(partial(_place, file), range(len(trajectories)))
    pairs = enumerate(zip(places, trajectories, strict=True))
    kept = [number for number, its in pairs if not _lacks_successor(*its, keys)]
    if not kept:
        what = "every episode is one step, and no observation follows it"
        raise InputError(f"{file.file}: {what}: write next_observations")
    first: tuple[int, int] | None = None
    for number in sorted({0, *range(index, len(kept), of)}):
        place, trajectory = _place(file, kept[number]), trajectories[kept[number]]
        place.take(BOUNDS_BYTES)
        episode = _episode(trajectory, keys, place, Origin(kind, episode=number))
        first = first or widths(episode)
        place.check_widths(episode, first)
        if number % of == index:
            yield number, episode


def _place(file: Place, number: int) -> Place:
    return replace(file, episode=f"episode {number}")


def _lacks_successor(place: Place, trajectory: Any, keys: Keys) -> bool:
    """Whether it has one step, after which nothing was seen and which is no true end."""
    if not isinstance(trajectory, dict):
        return False
    seen, acted = (trajectory.get(keys.get(name, (name,))[0]) for name in REQUIRED[:2])
    if _rows(acted) != 1 or _rows(seen) != 1:
        return False
    named = {**keys, **end_keys(f"{place.file}: {place.episode}", keys, trajectory)}
    followed, ended = (
        trajectory.get(named.get(name, (name,))[0]) for name in ("next_observations", "terminals")
    )
    return followed is None and (ended is None or not place.ends(ended, 1, "terminals", ""))


def _rows(column: Any) -> int:
    return len(column) if isinstance(column, list | tuple) or np.ndim(column) else 0


def _episode(trajectory: Any, keys: Keys, place: Place, origin: Origin) -> Episode:
    if not isinstance(trajectory, dict):
        raise place.error("columns", f"is a {type(trajectory).__name__}", "store one dict each")
    keys = {**keys, **end_keys(f"{place.file}: {place.episode}", keys, trajectory)}
    columns = {
        name: place.chosen(name, keys.get(name, (name,)), trajectory)
        for name in CHOICES
        if name in REQUIRED or name in keys or name in trajectory
    }
    observations, actions = (place.matrix(columns[name], name) for name in REQUIRED[:2])
    rewards, steps = place.vector(columns["rewards"], "rewards"), len(actions)
    if steps and len(rewards) == steps + 1:  # the hand demonstrations have one for no action
        rewards = rewards[:-1]
    following, successor = columns.get("next_observations"), None
    there = [name for name in ENDS if steps and columns.get(name) is not None]
    remedy = "split the trajectory there"
    ended = {name: place.ends(columns[name], steps, name, remedy) for name in there}
    terminated = ended.get("terminals", False)
    if steps and following is not None:
        successor = place.successor(observations, following, steps, "next_observations")
    return place.assemble(
        observations,
        actions,
        rewards,
        successor=successor,
        terminated=terminated,
        truncated=not terminated,
        origin=origin,
    )


def _listed(path: str, found: Any, keys: Keys, budget: Budget) -> Sequence[Any]:
    if isinstance(found, dict):
        return _cut(path, found, keys, budget)
    if isinstance(found, np.ndarray) and found.dtype.kind == "O":
        found = list(found.ravel())
    if not isinstance(found, list | tuple) or not found:
        what = "nothing" if isinstance(found, list | tuple) else f"a {type(found).__name__}"
        raise InputError(f"{path}: holds {what}: store a list of dicts, one a trajectory")
    return list(found)


def _cut(path: str, whole: dict[Any, Any], keys: Keys, budget: Budget) -> Sequence[Any]:
    """The trajectories in one dict of columns, as the flags of their ends tell."""
    observations, actions = (keys.get(name, (name,))[0] for name in REQUIRED[:2])
    arrays = {key: its for key, its in whole.items() if getattr(its, "ndim", 0)}
    steps = len(arrays.get(actions, ()))
    columns = {key: its for key, its in arrays.items() if len(its) == steps}
    named = [name for names in end_keys(path, keys, whole).values() for name in names]
    flags = [columns[name] for name in (*named, *EITHER) if name in columns]
    if not steps or not flags or observations not in columns:
        return [whole]
    ended = np.any([Place(path, "all steps").decisive(its, "ends") != 0 for its in flags], axis=0)
    ends = (np.flatnonzero(ended) + 1).tolist()
    budget.take(len(ends) * BOUNDS_BYTES, path)
    return _Stretches(columns, list(pairwise(sorted({0, *ends, steps}))))


class _Stretches(Sequence[Any]):
    """Trajectories that lie one after the other in columns, each made where it is asked for."""

    def __init__(self, columns: dict[Any, Any], bounds: list[tuple[int, int]]) -> None:
        self._columns, self._bounds = columns, bounds

    def __len__(self) -> int:
        return len(self._bounds)

    def __getitem__(self, number: Any) -> Any:
        return {key: its[slice(*self._bounds[number])] for key, its in self._columns.items()}


def _load_array(path: str, budget: Budget) -> Any:
    found = restricted_pickle.load_npy(path, budget)
    return found[0] if len(found) == 1 and isinstance(found[0], list | dict) else found


def _load_npz(path: str, budget: Budget) -> dict[str, Any]:
    with naming(f"{path}: cannot be read as .npz"):
        return unpack_npz(path, read_file(path))


def _describe(path: str, keys: Keys, load: Load, kind: Kind) -> FileInfo:
    budget = Budget.of(path)
    trajectories = _listed(path, load(path, budget), keys, budget)
    lengths, ended = [], []
    for _, episode in _episodes(Place(path, "", budget), (0, 1), trajectories, keys, kind):
        lengths.append(len(episode))
        ended.append(episode.terminated)
    (actions,) = keys.get("actions", ("actions",))[:1]
    steps = sum(len(trajectory[actions]) for trajectory in trajectories)
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


def _is_npz(path: str) -> bool:
    """Whether it is a zip of arrays, whatever they are called, and not of those of a policy."""
    with open_input(path) as file, ZipFile(file) as archive:
        names = archive.namelist()
    return all(name.endswith(".npy") for name in names) and not {*POLICY_NAMES} & {*names}


def _format(name: str, looks_like: Callable[[str], bool], **given: Any) -> Format:
    describes, reads = partial(_describe, **given), partial(_read, **given)
    return Format(name, looks_like, describes, reads, choices=CHOICES)


DEMONSTRATIONS = _format(
    "demonstration pickle", _is_pickle, load=restricted_pickle.load_pickle, kind="demonstration"
)
AWAC_NPY = _format("AWAC .npy", restricted_pickle.holds_objects, load=_load_array, kind="prior")
NPZ = _format("NumPy .npz", _is_npz, load=_load_npz, kind="prior")
FORMATS = (DEMONSTRATIONS, AWAC_NPY, NPZ)
