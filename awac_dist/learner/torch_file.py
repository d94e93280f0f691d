"""Torch files of tensors, lists, dicts, text and numbers, read without torch's own unpickler.

A torch file is a zip of a pickle and the bytes of each storage. `torch.load(weights_only=True)`
runs nothing either, but makes room for whatever size a file states, and a key of nested tuples ends
the process; so the pickle goes through our machine, and all tensors through one budget.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import torch
from torch import Tensor

from awac_dist.data.formats.pickle_machine import Machine, Stream, demand
from awac_dist.files import Budget, unzip

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
PICKLE = "/data.pkl"


def read_torch(path: str, content: bytes) -> Any:
    """What a torch file holds, on the CPU.

    Raises:
        InputError: It holds more than data, or unpacks to far more than it is long.
        Exception: It is damaged.
    """
    budget = Budget(len(content))
    files = unzip(path, content, budget)
    (name,) = (name for name in files if name.endswith(PICKLE))
    return _TorchMachine(path, files, name.removesuffix(PICKLE), budget).run()


class _TorchMachine(Machine):
    """Puts tensors together from the storages beside the pickle."""

    allowed = Machine.allowed | {pickle.BINPERSID[0]: pickle._Unpickler.load_binpersid}  # type: ignore[attr-defined]
    names = Machine.names | {("torch._utils", "_rebuild_tensor_v2"): "_tensor"}
    content, remedy = "tensors", "use a checkpoint that a run wrote"

    def __init__(self, path: str, files: dict[str, bytes], root: str, budget: Budget) -> None:
        program = files[root + PICKLE]
        super().__init__(Stream(io.BytesIO(program), len(program)), path, budget)
        self._files, self._root = files, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        return super().find_class(module, name)

    def persistent_load(self, named: Any) -> Tensor:
        """A storage, as one flat tensor; tensors that share one go on sharing it."""
        kind, dtype, key, _, _ = named
        demand(kind == "storage" and isinstance(dtype, torch.dtype), "a storage")
        if key not in self._storages:
            content = bytearray(self._files[f"{self._root}/data/{key}"])
            flat = (
                torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            )
            self._storages[key] = flat
        return self._storages[key]

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        demand(isinstance(storage, Tensor), "a storage")
        self._charge(math.prod(size) * storage.element_size())
        return storage.as_strided(size, stride, offset)
