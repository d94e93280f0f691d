"""The names that a pickle may ask for, those of NumPy's arrays, and the arrays that they make.

Each name stands for a function of this module that checks its arguments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

KEY_TYPES = (str, bytes, int)  # a deeply nested tuple as a key would overflow the C stack
DTYPE = re.compile(r"(b1|\?|[iufc]\d{1,2}|[SU][1-9]\d{0,8}|O\d?)")
Charge = Callable[[int], None]  # accounts for bytes that are not simply a part of the file


class Name:
    """A name that the pickle asked for and may have; `build` makes what a call of it gives."""

    def __init__(self, build: Callable[[Charge, tuple[Any, ...]], Any]):
        self.build = build


class DType:
    """A NumPy dtype in the making: numbers, text or objects, no structure."""

    def __init__(self, code: str):
        self.code, self.order = code, "="

    def set_state(self, state: Any) -> None:
        demand(isinstance(state, tuple) and len(state) >= 5, "the state of a dtype")
        demand(state[1] in ("<", ">", "|", "="), "the byte order of a dtype")
        demand(all(part is None for part in state[2:5]), "a dtype without fields")
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(object if self.code[0] == "O" else self.order + self.code)


class PendingArray:
    """An array between its making and its content, with its places in the memo."""

    def __init__(self) -> None:
        self.memoised: list[int] = []


def demand(condition: bool, wanted: str) -> None:
    """Raise ValueError with what was wanted unless the condition holds."""
    if not condition:
        raise ValueError(f"expected {wanted}")


def _never_called(charge: Charge, arguments: tuple[Any, ...]) -> Any:
    raise ValueError("expected numpy.ndarray to be named, not called")


NDARRAY = Name(_never_called)


def _pending(charge: Charge, arguments: tuple[Any, ...]) -> PendingArray:
    demand(len(arguments) == 3 and arguments[0] is NDARRAY, "numpy.ndarray and no subclass of it")
    return PendingArray()


def _dtype(charge: Charge, arguments: tuple[Any, ...]) -> DType:
    code = arguments[0] if arguments else None
    demand(isinstance(code, str) and DTYPE.fullmatch(code) is not None, "a plain dtype")
    return DType(str(code))


def _scalar(charge: Charge, arguments: tuple[Any, ...]) -> Any:
    dtype, data = arguments
    demand(isinstance(dtype, DType) and dtype.code[0] != "O", "the dtype of a number")
    return build_array(charge, (), dtype, data, "C")[()]


def _from_buffer(charge: Charge, arguments: tuple[Any, ...]) -> Any:
    data, dtype, shape, order = arguments
    demand(order in ("C", "F", "A"), "the order of an array")
    return build_array(charge, shape, dtype, data, "F" if order == "F" else "C")


def _encode(charge: Charge, arguments: tuple[Any, ...]) -> bytes:
    text, encoding = arguments
    demand(isinstance(text, str) and encoding in ("latin1", "latin-1"), "latin1 text")
    charge(len(text))
    return str(text).encode("latin1")


def _no_bytes(charge: Charge, arguments: tuple[Any, ...]) -> bytes:
    demand(arguments == (), "bytes() with nothing")
    return b""


def _ordered_dict(charge: Charge, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    pairs = arguments[0] if arguments else []
    charge(8 * len(pairs))
    return put({}, [value for pair in pairs for value in _pair(pair)])


def _pair(pair: Any) -> Any:
    demand(isinstance(pair, list | tuple) and len(pair) == 2, "pairs")
    return pair


def put(target: dict[Any, Any], flat: list[Any]) -> dict[Any, Any]:
    """Fill a dict from keys and values in turn, as the instructions hand them over."""
    demand(type(target) is dict and len(flat) % 2 == 0, "a dict and pairs")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        demand(type(key) in KEY_TYPES, "text or a number as the key of a dict")
        target[key] = value
    return target


def build_array(charge: Charge, shape: Any, dtype: Any, data: Any, order: Any) -> Any:
    """An array from its checked parts; data is bytes, or a list for objects."""
    demand(isinstance(dtype, DType), "a dtype")
    demand(type(shape) is tuple and len(shape) <= 32, "a shape")
    demand(all(type(n) is int and 0 <= n < 1 << 48 for n in shape), "a shape")
    kind, count = dtype.numpy(), math.prod(shape)
    charge(count * kind.itemsize)
    flat = _objects(data, count) if kind.kind == "O" else _numbers(data, kind, count)
    return flat.reshape(shape, order=order)


def _objects(data: Any, count: int) -> Any:
    demand(type(data) is list and len(data) == count, "as many objects as the shape says")
    array = np.empty(count, object)
    for index, value in enumerate(data):  # array[:] = data would take lists for dimensions
        array[index] = value
    return array


def _numbers(data: Any, dtype: np.dtype[Any], count: int) -> Any:
    if isinstance(data, str):
        data = data.encode("latin1")  # Python 2 wrote bytes as text
    demand(isinstance(data, bytes | bytearray), "the bytes of an array")
    demand(len(data) == count * dtype.itemsize, "as many bytes as shape and dtype say")
    return np.frombuffer(data, dtype) if count else np.zeros(0, dtype)


NAMES: dict[tuple[str, str], Name] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Name(_dtype),
    ("_codecs", "encode"): Name(_encode),
    ("__builtin__", "bytes"): Name(_no_bytes),  # b"" below protocol 3
    ("builtins", "bytes"): Name(_no_bytes),
    ("collections", "OrderedDict"): Name(_ordered_dict),
}
for core in ("numpy.core", "numpy._core"):  # before and from NumPy 2 on
    NAMES[f"{core}.multiarray", "_reconstruct"] = Name(_pending)
    NAMES[f"{core}.multiarray", "scalar"] = Name(_scalar)
    NAMES[f"{core}.numeric", "_frombuffer"] = Name(_from_buffer)
