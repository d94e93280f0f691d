"""Checkpoints, which any machine reads: a sealed folder each; the newest few are kept.

    checkpoints/000000345/state.pt       what learns: torch, tensors on the CPU
                          policy.npz     what acts: NumPy arrays by name
                          progress.json  how far the run is
                          manifest.json  sizes and SHA-256 of the others, written last

Only what learns needs torch.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from awac_dist.errors import InputError, RunFailed, first_line, needed, reason
from awac_dist.files import (
    MANIFEST,
    SET_ASIDE,
    read_sealed,
    remove_folder,
    seal,
    sealed,
    set_aside,
    subfolders,
)
from awac_dist.policies.npz import POLICY, policy_bytes
from awac_dist.policies.spec import PolicySpec

STATE, PROGRESS = "state.pt", "progress.json"
NAME = re.compile(r"(\d{9,})(?:-(\d+))?")  # grad_steps, and which try where there was one before


def save_checkpoint(
    folder: str,
    grad_steps: int,
    state: Mapping[str, Any],
    progress: Mapping[str, Any],
    acting: tuple[PolicySpec, Mapping[str, Any]],
    *,
    keep: int,
) -> str:
    """Write a checkpoint, and drop all but the newest `keep`; returns its path or URI.

    Args:
        folder: The run's `checkpoints` folder, a path or URI.
        grad_steps: Names the checkpoint.
        state: What learns: tensors, arrays, numbers, strings, and lists and dicts of them.
        progress: What JSON knows.
        acting: The policy's spec, and its arrays by name.
        keep: How many checkpoints stay.

    Raises:
        RunFailed: It cannot be written, or holds what is not finite; the ones before it stay.
    """
    spec, arrays = acting
    parts = {
        STATE: torch_bytes(_kept(state, grad_steps)),
        POLICY: policy_bytes(spec, _kept(arrays, grad_steps, "policy"), grad_steps),
        PROGRESS: json.dumps(progress, indent=1).encode(),
    }
    path = f"{folder}/{grad_steps:09d}"
    with needed(path):
        before = {name: files for name, files in subfolders(folder).items() if NAME.fullmatch(name)}
        tries = [_number(name)[1] for name in before if _number(name)[0] == grad_steps]
        path += f"-{max(tries) + 1}" if tries else ""
        seal(path, parts)
        _drop(folder, before, grad_steps, keep - 1)
    return path


def newest_whole(folder: str, note: Callable[[str], None] = lambda line: None) -> str | None:
    """The newest checkpoint whose every byte is as it was written; None if there is none at all.

    Args:
        folder: The run's `checkpoints` folder, a path or URI.
        note: Is told of each damaged one, which is set aside.

    Raises:
        InputError: There are some, and all are damaged, or nobody can tell.
    """
    damaged = []
    try:
        found = sealed(folder)
    except OSError as error:  # no folder, or one that may not be looked into
        raise InputError(f"{folder}: cannot be read: {reason(error)}: mend that") from error
    for path in reversed(found):
        try:
            for name in (STATE, POLICY, PROGRESS):
                _read(path, name)
        except InputError as error:
            set_aside(path)
            damaged.append(str(error))
            note(f"{error}; it is set aside")
        else:
            return path
    if damaged:
        raise InputError(f"{folder}: every checkpoint is damaged: {'; '.join(damaged)}")
    return None


def load_checkpoint(path: str) -> dict[str, Any]:
    """What learns, as tensors on the CPU; executes nothing that the file holds.

    Raises:
        InputError: It cannot be read, or is not as it was written.
    """
    from awac_dist.learner.torch_file import read_torch

    place = f"{path}/{STATE}"
    try:
        state: dict[str, Any] = read_torch(place, _read(path, STATE))
    except InputError:
        raise
    except Exception as error:  # whatever damage makes of its reader
        raise InputError(f"{place}: cannot be read: {first_line(error)}") from error
    return state


def load_progress(path: str) -> dict[str, Any]:
    """What a checkpoint says of how far the run was; needs no torch.

    Raises:
        InputError: It cannot be read, or is not as it was written.
    """
    try:
        progress: dict[str, Any] = json.loads(_read(path, PROGRESS))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}/{PROGRESS}: cannot be read: {first_line(error)}") from error
    if not isinstance(progress, dict) or not isinstance(progress.get("grad_steps", 0), int):
        raise not_of_a_run(path)
    return progress


def is_finished(folder: str, env_steps: int = 0) -> bool:
    """Whether the run in a folder came to its end, at so many steps or later.

    One that is damaged has not: who goes on with it is told what is wrong.
    """
    try:
        progress = load_progress(sealed(f"{folder}/checkpoints")[-1])
        return bool(progress["finished"] and progress["env_steps"] >= env_steps)
    except (InputError, LookupError, TypeError, OSError):
        return False


def not_of_a_run(path: str) -> InputError:
    """What to raise where a checkpoint, though as it was written, does not say how far it is."""
    remedy = f"remove {path}, to go on from the one before it"
    return InputError(f"{path}/{PROGRESS}: does not say how far the run was: {remedy}")


def _read(path: str, name: str) -> bytes:
    try:
        return read_sealed(f"{path}/{name}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a checkpoint: {first_line(error)}") from error


def torch_bytes(state: Mapping[str, Any]) -> bytes:
    """The state as a torch file."""
    import torch

    memory = io.BytesIO()
    torch.save(state, memory)
    return memory.getvalue()


def _kept(value: Any, update: int, name: str = "") -> Any:
    """The value with a tensor on the CPU, which any machine reads, for each tensor and array.

    Raises:
        RunFailed: One is not finite; says which by its dotted name.
    """
    if isinstance(value, Mapping):
        return {key: _kept(item, update, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_kept(item, update, f"{name}.{number}") for number, item in enumerate(value)]
    if isinstance(value, np.ndarray):
        import torch

        value = torch.from_numpy(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise RunFailed(f"{name.lstrip('.')} is not finite: update {update:,} is not kept")
    return value


def _number(name: str) -> tuple[int, int]:
    match = NAME.fullmatch(name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)


def _drop(folder: str, before: Mapping[str, set[str]], grad_steps: int, keep: int) -> None:
    """Of the checkpoints before the newest, leave `keep`, and what was set aside."""
    whole = [
        name
        for name, files in before.items()
        if MANIFEST in files and _number(name)[0] != grad_steps
    ]
    stay = whole[len(whole) - keep :] if keep else []
    for name, files in before.items():
        if name not in stay and SET_ASIDE not in files:
            remove_folder(f"{folder}/{name}")
