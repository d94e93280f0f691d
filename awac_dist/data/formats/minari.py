"""Minari: a dataset id such as `mujoco/hopper/medium-v0`, or the local folder of a dataset.

Read through the `minari` package, in its three storage forms (hdf5, arrow, parquet). An id that
is not on this machine is downloaded to describe and to read it, never to recognise it.

Observations are a Box of floats, flattened, or the Dict of a goal environment, of such boxes.
Actions are a Box. An episode terminated or was truncated as the flags of its last step say; where
both are set it terminated, with neither it is a fragment. `infos/success` or `infos/is_success`,
where there, become `successes`.

Minari builds the environment that a file names when the file leaves out its spaces: that could
run any code, so a file without them is refused before Minari sees it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from awac_dist.data.columns import check_finite
from awac_dist.data.format import FileInfo, Format, as_text, naming, needed_package
from awac_dist.data.formats.hdf5 import find_column, open_hdf5
from awac_dist.errors import InputError
from awac_dist.types import Array, Episode, Origin

DATASET_ID = re.compile(r"([-\w]+/)*[-\w]+-v\d+")  # as `minari` has it, with a version
METADATA = "metadata.json"
FORMS = ("hdf5", "arrow", "parquet")
GOAL_KEYS = {"observation", "desired_goal", "achieved_goal"}
FLAT = ("rewards", "terminations", "truncations")
SUCCESS_KEYS = ("success", "is_success")
SHOWN = ("dataset_id", "algorithm_name", "author", "description", "data_format", "minari_version")
INSTALL = "pip install 'awac_dist[data]'"


def _looks_like(path: str) -> bool:
    """Whether it is a Minari folder, or nothing on this machine and an id by its form."""
    folder = _local_folder(path)
    if folder is None:
        return _is_id(path)
    found = json.loads((folder / METADATA).read_text())
    return isinstance(found, dict) and found.get("data_format") in FORMS


def _describe(path: str) -> FileInfo:
    dataset, metadata = _open(path)
    spaces = _parts(dataset.observation_space)
    sizes = {name: int(np.prod(space.shape)) for name, space in spaces.items()}
    stated = dataset.env_spec
    return FileInfo(
        None if stated is None else as_text(stated.id),
        sizes["observation"],
        int(np.prod(dataset.action_space.shape)),
        len(dataset),
        {name: as_text(metadata[name]) for name in SHOWN if metadata.get(name)},
        sizes.get("desired_goal", 0),
    )


def _read(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    index, of = share
    dataset, _ = _open(path)
    for number in range(index, len(dataset), of):
        place = f"{path}: episode {number}"
        with naming(f"{place} cannot be read"):
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


def _open(path: str) -> tuple[Any, dict[str, Any]]:
    """The dataset and its metadata, which must hold all that keeps `minari` from running code."""
    minari = needed_package("minari", path)
    folder = _local_folder(path) or _stored_folder(path)
    with naming(f"{path}: {METADATA} cannot be read"):
        metadata: dict[str, Any] = json.loads((folder / METADATA).read_text())
        for name in ("observation_space", "action_space", "data_format"):
            if not isinstance(metadata.get(name), str):
                raise InputError(f"{path}: {METADATA} lacks {name}: write it with minari >= 0.5")
        if metadata["data_format"] not in FORMS:
            form = as_text(metadata["data_format"])
            raise InputError(f"{path}: data_format is {form}: convert it to {', '.join(FORMS)}")
    with naming(f"{path}: cannot be read as a Minari dataset"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages to recover the environment with
        dataset = minari.MinariDataset(str(folder))
        if len(dataset) == 0:
            raise InputError(f"{path}: total_episodes is 0: nothing to read")
        spaces = _parts(dataset.observation_space)
        if set(spaces) not in ({"observation"}, GOAL_KEYS):
            keys, known = ", ".join(map(str, spaces)), ", ".join(sorted(GOAL_KEYS))
            raise InputError(
                f"{path}: observations have keys {keys}: only those of a goal environment are "
                f"read ({known}): flatten them first"
            )
        for name, part in {**spaces, "action": dataset.action_space}.items():
            if type(part).__name__ != "Box" or part.dtype.kind != "f":
                space = as_text(part)
                raise InputError(f"{path}: {name} space {space} is no Box of floats: convert")
    return dataset, metadata


def _stored_folder(dataset_id: str) -> Path:
    """Where `minari` keeps a dataset of this id, after a download if need be."""
    if not _is_id(dataset_id):
        raise InputError(
            f"{dataset_id}: neither a folder with {METADATA} nor a dataset id such as "
            "mujoco/hopper/medium-v0: give one of them"
        )
    places = needed_package("minari.storage.datasets_root_dir", dataset_id)
    root = str(places.get_dataset_path(dataset_id))
    if _local_folder(root) is None:
        _download(dataset_id)
    folder = _local_folder(root)
    if folder is None:
        raise InputError(f"{dataset_id}: {root} has no {METADATA}: delete it and download again")
    return folder


def _download(dataset_id: str) -> None:
    try:
        needed_package("minari", dataset_id).download_dataset(dataset_id)
    except Exception as error:  # every remote has its own
        reason = as_text(error) or type(error).__name__
        if isinstance(error, ImportError):
            what = f"is not on this machine, and downloads need more: {INSTALL}"
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
    if dataset.storage.FORMAT == "hdf5":
        _check_claims(place, str(dataset.storage.data_path / "main_data.hdf5"), number)
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
    check_finite(place, 0, **columns)
    terminated = bool(flat["terminations"][-1])
    return Episode(
        **columns,
        successes=_successes(found.infos, steps),
        terminated=terminated,
        truncated=bool(flat["truncations"][-1]) and not terminated,
        origin=Origin("prior", episode=number, seed=seed if isinstance(seed, int) else -1),
    )


def _check_claims(place: str, path: str, number: int) -> None:
    """Refuse columns larger than their file before `minari` makes room for them."""
    names: list[str] = []
    with open_hdf5(path) as file:
        group = file[f"episode_{number}"]
        group.visit(names.append)
        for name in {*names, *FLAT, "actions"}:
            found = group.get(name)
            if found is None or getattr(getattr(found, "dtype", None), "kind", "") in tuple("biuf"):
                find_column(place, group, name)


def _checked(place: str, name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise InputError(
            f"{place}: {name} has shape {array.shape} of {array.dtype}, total_steps and the space "
            f"need {shape} of numbers: drop that episode"
        )
    return array.astype(np.float32)


def _successes(infos: Any, steps: int) -> Array | None:
    """[T]; an entry more is the reset's."""
    for key in SUCCESS_KEYS:
        values = np.asarray((infos or {}).get(key, ()))
        if values.shape in ((steps,), (steps + 1,)) and values.dtype.kind in "biuf":
            return values[-steps:].astype(np.float32)
    return None


FORMAT = Format("Minari", _looks_like, _describe, _read)
