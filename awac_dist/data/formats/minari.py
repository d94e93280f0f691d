"""Minari: a dataset id such as `mujoco/hopper/medium-v0`, or the local folder of a dataset.

Read through the `minari` package, in its three storage forms (hdf5, arrow, parquet). An id that
is not on this machine is downloaded to describe and to read it, never to recognise it.

Observations are a Box of floats, flattened, or the Dict of a goal environment, of such boxes.
Actions are a Box. An episode terminated or was truncated as the flags of its last step say; where
both are set it terminated, with neither it is a fragment. `infos/success` or `infos/is_success`,
where there, become `successes`.

Minari builds the environment that a file names when the file leaves out its spaces: that could
run any code, so such a file is refused before Minari sees it, and one that would fill the memory.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from awac_dist.data.arrow import check_ipc, check_types
from awac_dist.data.format import OPTIONS, FileInfo, Format, as_text, needed_package
from awac_dist.data.formats.hdf5 import count_bytes, find, open_hdf5
from awac_dist.data.parquet import open_file
from awac_dist.errors import InputError, naming
from awac_dist.files import RECORD_BYTES, Budget
from awac_dist.floats import as_float32
from awac_dist.types import Array, Episode, Origin

DATASET_ID = re.compile(r"([-\w]+/)*[-\w]+-v\d+")  # as `minari` has it, with a version
METADATA, MAIN = "metadata.json", "main_data.hdf5"
FORMS = ("hdf5", "arrow", "parquet")
GOAL_KEYS = {"observation", "desired_goal", "achieved_goal"}
FLAT = ("rewards", "terminations", "truncations")
SUCCESS_KEYS = ("success", "is_success")
SHOWN = ("dataset_id", "algorithm_name", "author", "description", "data_format", "minari_version")


def _looks_like(path: str) -> bool:
    """Whether it is a Minari folder, or nothing on this machine and an id by its form."""
    folder = _local_folder(path)
    if folder is None:
        return _is_id(path)
    found = json.loads((folder / METADATA).read_text())
    return isinstance(found, dict) and found.get("data_format") in FORMS


def _describe(path: str) -> FileInfo:
    dataset, metadata, _ = _open(path)
    spaces = _parts(dataset.observation_space)
    sizes = {name: int(np.prod(space.shape)) for name, space in spaces.items()}
    stated, actions = dataset.env_spec, dataset.action_space
    low, high = (tuple(edge.ravel().tolist()) for edge in (actions.low, actions.high))
    facts = {name: as_text(metadata[name]) for name in SHOWN if metadata.get(name)}
    options = {} if stated is None else stated.kwargs | {"render_mode": None}
    if told := {name: value for name, value in options.items() if value is not None}:
        facts[OPTIONS] = as_text(told)
    return FileInfo(
        None if stated is None else as_text(stated.id),
        sizes["observation"],
        int(np.prod(actions.shape)),
        len(dataset),
        facts,
        sizes.get("desired_goal", 0),
        (low, high) if actions.is_bounded() else None,
    )


def _read(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    index, of = share
    dataset, _, budget = _open(path)
    for number in range(index, len(dataset), of):
        place = f"{path}: episode {number}"
        with naming(f"{place} cannot be read"):
            _count(place, number, dataset.storage, budget)
            yield number, _episode(place, number, dataset)


def _is_id(path: str) -> bool:
    return DATASET_ID.fullmatch(path) is not None and not Path(path).exists()


def _local_folder(path: str) -> Path | None:
    """The folder with the metadata: of a dataset, or its `data`."""
    here = (Path(path), Path(path) / "data")
    return next((folder for folder in here if (folder / METADATA).is_file()), None)


def _parts(space: Any) -> dict[str, Any]:
    """The spaces that an observation consists of."""
    return dict(getattr(space, "spaces", {"observation": space}))


def _open(path: str) -> tuple[Any, dict[str, Any], Budget]:
    """The dataset and its metadata, which must hold all that keeps `minari` from running code."""
    minari = needed_package("minari", path)
    folder = _folder(path)
    budget = Budget.of(str(folder))
    with naming(f"{path}: {METADATA} cannot be read"):
        metadata: dict[str, Any] = json.loads((folder / METADATA).read_text())
        for name in ("observation_space", "action_space", "data_format"):
            if not isinstance(metadata.get(name), str):
                raise InputError(f"{path}: {METADATA} lacks {name}: write it with minari >= 0.5")
        if metadata["data_format"] not in FORMS:
            form = as_text(metadata["data_format"])
            raise InputError(f"{path}: data_format is {form}: convert it to {', '.join(FORMS)}")
        budget.take(int(metadata["total_episodes"]) * RECORD_BYTES, f"{path}: total_episodes")
    with naming(f"{path}: cannot be read as a Minari dataset"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages to recover the environment with
        observations = json.loads(metadata["observation_space"])
        is_dict = observations["type"] == "Dict"
        parts = observations["subspaces"] if is_dict else {"observation": observations}
        _check_boxes(path, {**parts, "action": json.loads(metadata["action_space"])}, budget)
        if set(parts) not in ({"observation"}, GOAL_KEYS):
            keys, known = as_text(", ".join(parts)), ", ".join(sorted(GOAL_KEYS))
            raise InputError(
                f"{path}: observations have keys {keys}: only those of a goal environment are "
                f"read ({known}): flatten them first"
            )
        dataset = minari.MinariDataset(str(folder))
        if len(dataset) == 0:
            raise InputError(f"{path}: total_episodes is 0: nothing to read")
    return dataset, metadata, budget


def _check_boxes(path: str, spaces: dict[str, Any], budget: Budget) -> None:
    """Refuse what is no Box of floats, before anything is made of it."""
    for name, space in spaces.items():
        place = f"{path}: {as_text(name)} space"
        if space["type"] != "Box" or not str(space["dtype"]).startswith("float"):
            raise InputError(f"{place} {as_text(space)} is no Box of floats: convert")
        budget.take(16 * math.prod(space["shape"]), place)


def _folder(path: str) -> Path:
    """The folder of a dataset; for an id where `minari` keeps it, after a download if need be."""
    if folder := _local_folder(path):
        return folder
    if not _is_id(path):
        raise InputError(
            f"{path}: neither a folder with {METADATA} nor a dataset id such as "
            "mujoco/hopper/medium-v0: give one of them"
        )
    places = needed_package("minari.storage.datasets_root_dir", path)
    root = str(places.get_dataset_path(path))
    if _local_folder(root) is None:
        _download(path)
    if folder := _local_folder(root):
        return folder
    raise InputError(f"{path}: {root} has no {METADATA}: delete it and download again")


def _download(dataset_id: str) -> None:
    try:
        needed_package("minari", dataset_id).download_dataset(dataset_id)
    except Exception as error:  # every remote has its own
        reason = as_text(error) or type(error).__name__
        if isinstance(error, ImportError):
            what = "is not on this machine, and downloads need more: pip install 'awac_dist[data]'"
        elif isinstance(error, ValueError) and ("find" in reason or "exist" in reason):
            what = f"not found: {reason}: `minari list remote` shows what there is"
        else:
            what = (
                "is not on this machine and could not be downloaded: no network? "
                f"({type(error).__name__}: {reason}) Download it where there is one, with `minari "
                f"download {dataset_id}`, and copy the folder to MINARI_DATASETS_PATH"
            )
        raise InputError(f"{dataset_id}: {what}") from error


def _episode(place: str, number: int, dataset: Any) -> Episode:
    """An episode, whose columns must agree with what the writer counted."""
    found, stated = dataset[number], next(iter(dataset.storage.get_episode_metadata([number])))
    steps, seed = int(stated["total_steps"]), stated.get("seed")
    flat = {name: _checked(place, name, getattr(found, name), (steps,)) for name in FLAT}
    whole, spaces = found.observations, _parts(dataset.observation_space)
    parts = whole if isinstance(whole, dict) else {"observation": whole}
    columns: dict[str, Any] = {"rewards": flat["rewards"]}
    for name, space in spaces.items():
        values = _checked(place, f"observations/{name}", parts[name], (steps + 1, *space.shape))
        columns[f"{name}s"] = values.reshape(steps + 1, -1)
    actions = _checked(place, "actions", found.actions, (steps, *dataset.action_space.shape))
    columns["actions"] = actions.reshape(steps, -1)
    terminated = bool(flat["terminations"][-1])
    return Episode(
        **columns,
        successes=_successes(found.infos, steps),
        terminated=terminated,
        truncated=bool(flat["truncations"][-1]) and not terminated,
        origin=Origin("prior", episode=number, seed=seed if isinstance(seed, int) else -1),
    )


def _count(place: str, number: int, storage: Any, budget: Budget) -> None:
    """Count what an episode takes before `minari` makes room for it."""
    if storage.FORMAT == "hdf5":
        with open_hdf5(str(storage.data_path / MAIN)) as file:
            group = find(file, f"episode_{number}")
            for name in ("observations", "actions", *FLAT):
                if find(group, name) is None:
                    raise InputError(f"{place}: column {name} is missing: drop that episode")
            _count_group(place, group, budget)
        return
    for path in sorted((storage.data_path / str(number)).iterdir()):
        if not path.is_file():
            raise InputError(f"{place}: {path.name} is no file: remove it")
        if path.name == METADATA or path.name.startswith((".", "_")):
            continue
        if storage.FORMAT == "arrow":
            check_ipc(str(path), budget, place)
        else:
            file = open_file(str(path), budget)
            check_types(file.schema_arrow)
            budget.take(file.metadata.num_rows * RECORD_BYTES, place)


def _count_group(place: str, group: Any, budget: Budget) -> None:
    for name in group:
        found = find(group, name)
        if hasattr(found, "keys"):
            _count_group(f"{place}: {name}", found, budget)
        else:
            count_bytes(f"{place}: {name}", found, budget)


def _checked(place: str, name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise InputError(
            f"{place}: {name} has shape {array.shape} of {array.dtype}, total_steps and the space "
            f"need {shape} of numbers: drop that episode"
        )
    return as_float32(array)


def _successes(infos: Any, steps: int) -> Array | None:
    """[T]; an entry more is the reset's."""
    for key in SUCCESS_KEYS:
        values = np.asarray((infos or {}).get(key, ()))
        if values.shape in ((steps,), (steps + 1,)) and values.dtype.kind in "biuf":
            return values[-steps:].astype(np.float32)
    return None


FORMAT = Format("Minari", _looks_like, _describe, _read, place=lambda path: str(_folder(path)))
