"""Policies as `.npz` files: arrays by name, what they mean in JSON, and nothing that is executed.

A file without a `spec` is somebody else's plain network: see `plain.PlainPolicy`.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from awac_dist.errors import InputError, naming
from awac_dist.files import MANIFEST, head, read_sealed, sealed, unpack_npz, write_file
from awac_dist.floats import flaw
from awac_dist.policies import make_policy
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.plain import PlainPolicy
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

POLICY = "policy.npz"  # in the folder of a checkpoint
CHECKPOINT = re.compile(r"(.*)/checkpoints/(\d+|.*\.npz)")  # of a run
FilePolicy = NetworkPolicy | PlainPolicy


def policy_bytes(spec: PolicySpec, arrays: Mapping[str, Array], version: int) -> bytes:
    """The file of a policy; a ValueError if the arrays, NumPy's or torch's, are not the spec's."""
    memory = io.BytesIO()
    named: dict[str, Any] = spec.unflatten(spec.flatten(arrays))
    np.savez(memory, spec=json.dumps(asdict(spec)), version=version, **named)
    return memory.getvalue()


def save_policy(path: str, spec: PolicySpec, arrays: Mapping[str, Array], version: int) -> None:
    """Write a policy to a path or URI: whole, or not at all."""
    write_file(path, policy_bytes(spec, arrays, version))


def read_policy(path: str) -> FilePolicy:
    """Read a policy from a path or URI, executing nothing; an InputError if it is none."""
    with naming(f"{path}: cannot be read as a policy file"):
        try:
            arrays = unpack_npz(path, read_sealed(path))
        except FileNotFoundError as error:
            raise InputError(f"{path}: there is no such file: give a policy, or a run") from error
        policy = _ours(arrays) if "spec" in arrays else PlainPolicy(arrays, path)
        sizes = policy.input_size, policy.noise_size, policy.memory_size
        if flaw(policy.sample(*(np.zeros((1, size), np.float32) for size in sizes))):
            raise ValueError("it acts by NaN or infinity")
        return policy


def _ours(arrays: dict[str, np.ndarray]) -> NetworkPolicy:
    fields, version = json.loads(str(arrays.pop("spec"))), int(arrays.pop("version"))
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    spec = PolicySpec(**fields | lists)
    vector = spec.flatten(arrays)
    if flaw(vector):  # which a choice by critics may hide
        raise ValueError("it holds NaN or infinity")
    return make_policy(spec, vector, version)


def find_policy(name: str) -> str:
    """The policy file of a run (its newest), of a checkpoint, or the file itself; may be URIs.

    An InputError says that there is none.
    """
    if name.endswith(".npz"):
        return name
    name = name.rstrip("/")
    folder = (sealed(f"{name}/checkpoints") or [name])[-1]
    if folder == name and not head(f"{name}/{MANIFEST}", 1):
        gone = "" if "://" in name or Path(name).exists() else ": there is no such path"
        raise InputError(
            f"{name}: is neither a policy (.npz), a checkpoint nor the folder of a run that has "
            f"one{gone}"
        )
    return f"{folder}/{POLICY}"


def run_of(name: str) -> str:
    """The folder of the run that a policy is of, as it is named for `find_policy`.

    That is where its checkpoints are; of what is no checkpoint, the name itself.
    """
    name = name.rstrip("/")
    checkpoint = CHECKPOINT.fullmatch(name if "://" in name else os.path.abspath(name))
    return checkpoint[1] if checkpoint else name
