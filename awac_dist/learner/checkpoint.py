"""Checkpoints that are whole or absent; the newest few are kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pickle import UnpicklingError
from typing import Any

import torch
from pyarrow import fs

from awac_dist.errors import InputError, RunFailed, needed
from awac_dist.files import resolve, written_aside
from awac_dist.messages import Weights
from awac_dist.policies.spec import PolicySpec

SUFFIX = ".pt"


def save_checkpoint(folder: str, grad_steps: int, state: dict[str, Any], *, keep: int) -> str:
    """Write `state` aside, rename it into place, and drop all but the newest `keep`.

    Args:
        folder: The run's `checkpoints` folder, a path or URI.
        grad_steps: Names the file.
        state: Tensors, numbers, strings, and lists and dicts of them.
        keep: How many checkpoints stay.

    Returns:
        Path of the checkpoint.

    Raises:
        RunFailed: It cannot be written, or holds what is not finite; the ones before it stay.
    """
    for quantity, tensor in _tensors("", state):
        if not bool(tensor.isfinite().all()):
            raise RunFailed(f"{quantity} is not finite: update {grad_steps:,} is not kept")
    memory = io.BytesIO()
    torch.save(state, memory)
    filesystem, name = resolve(folder)
    file_name = f"{grad_steps:09d}{SUFFIX}"
    path = f"{name}/{file_name}"
    with needed(path):
        filesystem.create_dir(name, recursive=True)
        with (
            written_aside(f"{folder}/{file_name}") as (_, aside),
            filesystem.open_output_stream(aside) as file,
        ):
            file.write(memory.getbuffer())
        for old in list_checkpoints(folder)[:-keep]:
            filesystem.delete_file(old)
    return path


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of numbers in nested dicts and lists, by their dotted names."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield name, value
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _tensors(f"{name}.{key}".lstrip("."), item)


def list_checkpoints(folder: str) -> list[str]:
    """Whole checkpoints, oldest first."""
    filesystem, name = resolve(folder)
    found = filesystem.get_file_info(fs.FileSelector(name, allow_not_found=True))
    return sorted(info.path for info in found if info.path.endswith(SUFFIX))


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint without executing anything that it holds."""
    filesystem, name = resolve(path)
    with filesystem.open_input_file(name) as file:
        state: dict[str, Any] = torch.load(io.BytesIO(file.read()), weights_only=True)
    return state


def load_policy(path: str) -> tuple[PolicySpec, Weights]:
    """The policy of a checkpoint, or of the newest one in a run's folder.

    Raises:
        InputError: There is no checkpoint, or it cannot be read.
    """
    found = [path] if path.endswith(SUFFIX) else list_checkpoints(f"{path}/checkpoints")
    if not found:
        raise InputError(f"{path}: is neither a checkpoint ({SUFFIX}) nor the folder of a run")
    try:
        state = load_checkpoint(found[-1])
        spec = PolicySpec(**state["policy_spec"])
        return spec, Weights(0, state["grad_steps"], state["policy"].cpu().numpy())
    except (OSError, KeyError, RuntimeError, UnpicklingError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{found[-1]}: cannot be read as a checkpoint: {reason}") from error
