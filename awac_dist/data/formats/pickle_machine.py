"""Pickles of trajectories that stay data: nothing of them is imported, called or executed.

A pickle is a program for a small stack machine. This one is the standard library's, the one that is
written in Python, with only those of its instructions that build lists, dicts, tuples, text and
numbers. A name that the pickle imports is one of a table, and stands for a method here that makes
a NumPy array, or a part of one, of checked arguments. All else is refused by its name. Pickles of
Python 2 are read as `latin1`, as is everything that NumPy wrote then.

`pickle.Unpickler` with a checked `find_class` would not do, measured: 300 kB of tuples within
tuples as the key of a dict overflow the C stack, which ends the process (SIGSEGV); 7 bytes (a memo
place of 2^26) take 1 GB, and 12 bytes (a bytearray) as much as they name in `pickle._Unpickler` as
it is. Here these take 13 MB, nothing and nothing.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np

from awac_dist.errors import InputError, naming
from awac_dist.files import Budget

CONTAINER_BYTES = 64  # what an empty list or dict takes, or a pair in one
STACK_LIMIT = 1_000_000  # pickle.dump hands over lists and dicts a thousand entries at a time
MARK_LIMIT = 100_000  # lists within lists; pickle.dump ends at a thousand
ARRAY_LIMIT = 100  # arrays within arrays: NumPy frees them by recursion on the C stack
REMEDY = "convert it where it was made, to dicts and lists of NumPy arrays and numbers only"
KEY_TYPES = (str, bytes, int)  # a deeply nested tuple as a key would overflow the C stack
DTYPE = re.compile(r"(b1|\?|[iufc]\d{1,2}|[SU][1-9]\d{0,8}|O\d?)")
OPCODES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
PERMITTED = (  # instructions that do no more than push, pop, fill and remember what the file holds
    *("PROTO", "FRAME", "STOP", "POP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE", "LIST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "GET", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BYTEARRAY8", "STACK_GLOBAL"),
    *("DICT", "SETITEM", "SETITEMS", "BUILD"),
)


def demand(condition: bool, wanted: str) -> None:
    """Raise ValueError with what was wanted unless the condition holds."""
    if not condition:
        raise ValueError(f"expected {wanted}")


class Stream:
    """Reads a file and never asks for more than is left, so no length in it is believed."""

    def __init__(self, file: BinaryIO | io.BufferedReader, size: int):
        self._file = file
        self.left = self.size = size

    def read(self, count: int = -1, /) -> bytes:
        if not 0 <= count <= self.left:
            raise ValueError("it ends too early")
        self.left -= count
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline()
        self.left -= len(line)
        return line


@dataclass
class DType:
    """A NumPy dtype in the making: numbers, text or objects, no structure."""

    code: str
    order: str = "="


class Pending:
    """An array between its making and its content, with its place in the memo."""

    place = -1


class Memo(dict[int, Any]):
    """Tells an array in the making where it is remembered."""

    def __setitem__(self, place: int, value: Any) -> None:
        if isinstance(value, Pending):
            value.place = place
        super().__setitem__(place, value)


class Machine(pickle._Unpickler):
    """Carries out one pickle; the names that it may import are its own methods."""

    allowed: ClassVar[dict[int, Callable[[Any], None]]]  # instructions by their code
    names: ClassVar[dict[tuple[str, str], str]]  # what may be imported -> the method it stands for
    content, remedy = "trajectories", REMEDY
    stack: list[Any]  # since the last mark
    metastack: list[list[Any]]  # before each of the marks
    pop_mark: Callable[[], list[Any]]
    load_global: Callable[[], None]
    load_bytearray8 = pickle._Unpickler.load_binbytes8  # type: ignore[attr-defined]

    def __init__(self, stream: Stream, place: str, budget: Budget | None = None):
        super().__init__(stream, encoding="latin1")
        self._place, self.memo, self._budget = place, Memo(), budget or Budget(stream.size)
        self._depths: dict[int, int] = {}  # of arrays within each other, by id
        self.dispatch = self  # type: ignore[misc, assignment]

    def run(self) -> Any:
        what = f"{self._place}: is no pickle of {self.content}, or damaged"
        with naming(what, f"copy it again, or {self.remedy}"):
            return self.load()

    def __getitem__(self, code: int) -> Callable[[Machine], None]:
        """An instruction of those that it may carry out, while it has room."""
        demand(len(self.stack) <= STACK_LIMIT, "fewer values at a time")
        demand(len(self.metastack) <= MARK_LIMIT, "fewer marks at a time")
        if code not in self.allowed:
            demand(code in OPCODES, "a pickle")
            if OPCODES[code] == "INST":  # module and name follow, on a line each
                self.load_global()
            raise InputError(
                f"{self._place}: uses the pickle instruction {OPCODES[code]}, which builds more "
                f"than data: refused; {self.remedy}"
            )
        return self.allowed[code]

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self.names:
            wanted = ascii(f"{module}.{name}"[:120])[1:-1]
            raise InputError(
                f"{self._place}: wants to import {wanted}, which could run a command: "
                f"refused; {self.remedy}"
            )
        found: Callable[..., Any] = getattr(self, self.names[module, name])
        return found

    def load_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        demand(type(module) is str and type(name) is str, "a name to import")
        self.stack.append(self.find_class(module, name))

    def load_empty_dictionary(self) -> None:
        self._charge(CONTAINER_BYTES)
        self.stack.append({})

    def load_empty_list(self) -> None:
        self._charge(CONTAINER_BYTES)
        self.stack.append([])

    def load_dict(self) -> None:
        entries = _pairs(self.pop_mark())  # which puts the stack of before into its place
        self.stack.append(entries)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def load_setitems(self) -> None:
        self._update(self.pop_mark())

    def _update(self, flat: list[Any]) -> None:
        entries = _pairs(flat)
        demand(type(self.stack[-1]) is dict, "a dict to fill")
        self._charge(CONTAINER_BYTES * len(entries))
        self.stack[-1].update(entries)

    def load_build(self) -> None:
        """Give a dtype its byte order, or replace an array in the making by one with content."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, DType):
            demand(type(state) is tuple and len(state) >= 5, "the state of a dtype")
            demand(state[1] in ("<", ">", "|", "="), "the byte order of a dtype")
            demand(all(part is None for part in state[2:5]), "a dtype without fields")
            target.order = state[1]
            return
        demand(isinstance(target, Pending), "an array to fill")
        demand(type(state) is tuple and len(state) == 5, "the content of an array")
        _, shape, dtype, by_column, data = state
        self.stack[-1] = self._array(data, dtype, shape, "F" if by_column else "C")
        place: int = target.place
        if self.memo.get(place) is target:
            self.memo[place] = self.stack[-1]

    def _charge(self, count: int) -> None:
        """Account for memory that is not simply a part of the file."""
        self._budget.take(count, self._place)

    def _ndarray(self, *_: Any) -> None:
        raise ValueError("expected numpy.ndarray to be named, not called")

    def _pending(self, kind: Any, shape: Any, code: Any) -> Pending:
        demand(kind == self._ndarray, "numpy.ndarray and no subclass of it")
        return Pending()

    def _dtype(self, code: Any, *_: Any) -> DType:
        demand(isinstance(code, str) and DTYPE.fullmatch(code) is not None, "a plain dtype")
        return DType(code)

    def _scalar(self, dtype: Any, data: Any) -> Any:
        demand(isinstance(dtype, DType) and dtype.code[0] != "O", "the dtype of a number")
        return self._array(data, dtype, (), "C")[()]

    def _array(self, data: Any, dtype: Any, shape: Any, order: Any) -> Any:
        """An array of bytes or a list of objects, as many as its shape says."""
        demand(isinstance(dtype, DType), "a dtype")
        demand(order in ("C", "F", "A"), "the order of an array")
        demand(type(shape) is tuple and len(shape) <= 32, "a shape")
        demand(all(type(n) is int and 0 <= n < 1 << 48 for n in shape), "a shape")
        kind = np.dtype(object if dtype.code[0] == "O" else dtype.order + dtype.code)
        count = math.prod(shape)
        self._charge(count * kind.itemsize + CONTAINER_BYTES)
        if kind.kind == "O":
            demand(type(data) is list and len(data) == count, "as many objects as the shape says")
            depth = 1 + max((self._depths.get(id(value), 0) for value in data), default=0)
            demand(depth <= ARRAY_LIMIT, f"arrays within arrays at most {ARRAY_LIMIT} deep")
            flat = np.empty(count, object)
            for index, value in enumerate(data):  # flat[:] = data would take lists for dimensions
                flat[index] = value
            array = flat.reshape(shape, order=order)
            self._depths[id(array)] = depth
            return array
        if isinstance(data, str):
            data = data.encode("latin1")  # Python 2 wrote bytes as text
        demand(isinstance(data, bytes), "the bytes of an array")
        demand(len(data) == count * kind.itemsize, "as many bytes as shape and dtype say")
        flat = np.frombuffer(data, kind) if data else np.zeros(0, kind)
        return flat.reshape(shape, order=order)

    def _encode(self, text: Any, encoding: Any) -> bytes:
        demand(isinstance(text, str) and encoding in ("latin1", "latin-1"), "latin1 text")
        self._charge(len(text))
        return str(text).encode("latin1")

    def _bytes(self) -> bytes:
        return b""

    def _ordered_dict(self, pairs: Any = ()) -> dict[Any, Any]:
        self._charge(CONTAINER_BYTES * (1 + len(pairs)))
        return _pairs([part for key, value in pairs for part in (key, value)])


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    """A dict of keys and values in turn, as the instructions hand them over."""
    keys = flat[::2]
    demand(len(flat) % 2 == 0, "pairs")
    demand(all(type(key) in KEY_TYPES for key in keys), "text or a number as the key of a dict")
    return dict(zip(keys, flat[1::2], strict=True))


Machine.allowed = {
    code: getattr(Machine, pickle._Unpickler.dispatch[code].__name__)
    for code, name in OPCODES.items()
    if name in PERMITTED
}
Machine.names = {
    ("numpy", "ndarray"): "_ndarray",
    ("numpy", "dtype"): "_dtype",
    ("_codecs", "encode"): "_encode",
    ("__builtin__", "bytes"): "_bytes",  # b"" below protocol 3
    ("builtins", "bytes"): "_bytes",
    ("collections", "OrderedDict"): "_ordered_dict",
}
for core in ("numpy.core", "numpy._core"):  # before and from NumPy 2 on
    Machine.names[f"{core}.multiarray", "_reconstruct"] = "_pending"
    Machine.names[f"{core}.multiarray", "scalar"] = "_scalar"
    Machine.names[f"{core}.numeric", "_frombuffer"] = "_array"
