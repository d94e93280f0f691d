"""Pickles of trajectories, read without Python's unpickler: they stay data.

A pickle is a program for a small stack machine, and Python's own machine imports and calls
whatever the program names. This one knows the instructions that build lists, dicts, tuples,
text and numbers, and it has a table of the names that NumPy arrays are pickled under. Each
name stands for a function of this module that checks its arguments; nothing is ever imported,
and no method of an object is called. Everything else is refused by its name.

Pickles of Python 2 are read as `latin1`, as is everything that NumPy wrote then.
"""

from __future__ import annotations

import codecs
import io
import math
import pickletools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from awac_dist.data.parquet import resolve
from awac_dist.errors import InputError

EXPANSION = 8  # bytes of arrays for a byte of file: one NONE (1 byte) is one pointer (8)
SLACK_BYTES = 1 << 16
STACK_LIMIT = 1_000_000  # pickle.dump hands over lists and dicts a thousand entries at a time
KEY_TYPES = (str, bytes, int)  # a deeply nested tuple as a key would overflow the C stack
DTYPE = re.compile(r"(b1|\?|[iufc]\d{1,2}|[SU][1-9]\d{0,8}|O\d?)")
REMEDY = "convert it where it was made, to dicts and lists of NumPy arrays and numbers only"
NPY_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_pickle(path: str) -> Any:
    """Read a pickle file of lists, dicts, tuples, text, numbers and NumPy arrays.

    Raises:
        InputError: It is damaged, or wants anything else; names the file and what it wants.
    """
    with _opened(path) as stream:
        return _Machine(stream, path).run()


def loads(data: bytes, place: str) -> Any:
    """The same for a pickle in memory, which errors call `place`."""
    return _Machine(Stream(io.BytesIO(data), len(data)), place).run()


def load_npy(path: str) -> list[Any]:
    """Read the entries of an .npy file that holds an array of Python objects.

    Raises:
        InputError: As `load_pickle`; or it holds numbers only.
    """
    with _opened(path) as stream:
        shape, dtype = _npy_header(stream, path)
        if dtype.kind != "O":
            raise InputError(f"{path}: holds an array of {dtype}, not trajectories: {REMEDY}")
        array = _Machine(stream, path).run()
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise InputError(f"{path}: its header and its content do not agree: copy it again")
    return list(array.ravel())


def holds_objects(path: str) -> bool:
    """Whether it is an .npy file with an array of Python objects, from its header alone."""
    try:
        with _opened(path) as stream:
            return _npy_header(stream, path)[1].kind == "O"
    except (InputError, ValueError):  # ValueError: no such file system
        return False


def head(path: str, count: int) -> bytes:
    """The first bytes of a file; none where there is no file."""
    try:
        filesystem, name = resolve(path)
        with filesystem.open_input_file(name) as file:
            return bytes(file.read(count))
    except (OSError, ValueError):
        return b""


def size_limit(path: str) -> int:
    """Bytes that a column of a file may take as an array, from the size of the file."""
    filesystem, name = resolve(path)
    return EXPANSION * int(filesystem.get_file_info(name).size or 0) + SLACK_BYTES


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


@contextmanager
def _opened(path: str) -> Iterator[Stream]:
    filesystem, name = resolve(path)
    try:
        file = filesystem.open_input_file(name)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {str(error).splitlines()[0]}") from error
    with file:
        yield Stream(io.BufferedReader(file, 1 << 18), file.size())


def _npy_header(stream: Stream, path: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        shape, _, dtype = NPY_HEADERS[version](stream)
    except Exception as error:  # NumPy parses it as Python text: any parser's error comes out
        raise InputError(f"{path}: is no .npy file, or damaged: copy it again") from error
    return shape, dtype


# What stands on the machine's stack beside plain values.


class _Name:
    """A name that the pickle asked for and may have; `build` makes what a call of it gives."""

    def __init__(self, build: Callable[[_Machine, tuple[Any, ...]], Any]):
        self.build = build


class _DType:
    """A NumPy dtype in the making: numbers, text or objects, no structure."""

    def __init__(self, code: str):
        self.code, self.order = code, "="

    def set_state(self, state: Any) -> None:
        _demand(isinstance(state, tuple) and len(state) >= 5, "the state of a dtype")
        _demand(state[1] in ("<", ">", "|", "="), "the byte order of a dtype")
        _demand(all(part is None for part in state[2:5]), "a dtype without fields")
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(object if self.code[0] == "O" else self.order + self.code)


class _PendingArray:
    """An array between its making and its content, with its places in the memo."""

    def __init__(self) -> None:
        self.memoised: list[int] = []


def _demand(condition: bool, wanted: str) -> None:
    if not condition:
        raise ValueError(f"expected {wanted}")


def _never_called(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    raise ValueError("expected numpy.ndarray to be named, not called")


NDARRAY = _Name(_never_called)


def _pending(machine: _Machine, arguments: tuple[Any, ...]) -> _PendingArray:
    _demand(len(arguments) == 3 and arguments[0] is NDARRAY, "numpy.ndarray and no subclass of it")
    return _PendingArray()


def _dtype(machine: _Machine, arguments: tuple[Any, ...]) -> _DType:
    code = arguments[0] if arguments else None
    _demand(isinstance(code, str) and DTYPE.fullmatch(code) is not None, "a plain dtype")
    return _DType(str(code))


def _scalar(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    dtype, data = arguments
    _demand(isinstance(dtype, _DType) and dtype.code[0] != "O", "the dtype of a number")
    return machine.array((), dtype, data, "C")[()]


def _from_buffer(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    data, dtype, shape, order = arguments
    _demand(order in ("C", "F", "A"), "the order of an array")
    return machine.array(shape, dtype, data, "F" if order == "F" else "C")


def _encode(machine: _Machine, arguments: tuple[Any, ...]) -> bytes:
    text, encoding = arguments
    _demand(isinstance(text, str) and encoding in ("latin1", "latin-1"), "latin1 text")
    machine.charge(len(text))
    return str(text).encode("latin1")


def _no_bytes(machine: _Machine, arguments: tuple[Any, ...]) -> bytes:
    _demand(arguments == (), "bytes() with nothing")
    return b""


def _ordered_dict(machine: _Machine, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    pairs = arguments[0] if arguments else []
    machine.charge(8 * len(pairs))
    return _put({}, [value for pair in pairs for value in _pair(pair)])


def _pair(pair: Any) -> Any:
    _demand(isinstance(pair, list | tuple) and len(pair) == 2, "pairs")
    return pair


def _put(target: dict[Any, Any], flat: list[Any]) -> dict[Any, Any]:
    _demand(type(target) is dict and len(flat) % 2 == 0, "a dict and pairs")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        _demand(type(key) in KEY_TYPES, "text or a number as the key of a dict")
        target[key] = value
    return target


NAMES: dict[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): _Name(_dtype),
    ("_codecs", "encode"): _Name(_encode),
    ("__builtin__", "bytes"): _Name(_no_bytes),  # b"" below protocol 3
    ("builtins", "bytes"): _Name(_no_bytes),
    ("collections", "OrderedDict"): _Name(_ordered_dict),
}
for core in ("numpy.core", "numpy._core"):  # before and from NumPy 2 on
    NAMES[f"{core}.multiarray", "_reconstruct"] = _Name(_pending)
    NAMES[f"{core}.multiarray", "scalar"] = _Name(_scalar)
    NAMES[f"{core}.numeric", "_frombuffer"] = _Name(_from_buffer)


# The machine.


class _Machine:
    """Carries out one pickle."""

    def __init__(self, stream: Stream, place: str):
        self._stream, self._place = stream, place
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._bytes_left = EXPANSION * stream.size + SLACK_BYTES

    def run(self) -> Any:
        try:
            return self._run()
        except (ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise InputError(
                f"{self._place}: is no pickle of trajectories, or damaged ({reason}): "
                f"copy it again, or {REMEDY}"
            ) from error

    def charge(self, count: int) -> None:
        """Account for memory that is not simply a part of the file."""
        self._bytes_left -= count
        _demand(self._bytes_left >= 0, f"at most {EXPANSION} times the file's size in arrays")

    def array(self, shape: Any, dtype: Any, data: Any, order: Any) -> Any:
        """An array from its checked parts; data is bytes, or a list for objects."""
        _demand(isinstance(dtype, _DType), "a dtype")
        _demand(type(shape) is tuple and len(shape) <= 32, "a shape")
        _demand(all(type(n) is int and 0 <= n < 1 << 48 for n in shape), "a shape")
        kind, count = dtype.numpy(), math.prod(shape)
        self.charge(count * kind.itemsize)
        flat = _objects(data, count) if kind.kind == "O" else _numbers(data, kind, count)
        return flat.reshape(shape, order=order)

    def _run(self) -> Any:
        stream, handlers = self._stream, HANDLERS
        while (code := stream.read(1)) != b".":
            opcode = handlers.get(code)
            if opcode is None:
                self._refuse_opcode(code)
            else:
                read, handle = opcode
                handle(self, read(stream) if read else None)
            _demand(len(self._stack) <= STACK_LIMIT, "fewer values at a time")
        return self._pop()

    def _refuse_opcode(self, code: bytes) -> None:
        stream: Any = self._stream
        known = {op.code.encode("latin1"): op.name for op in pickletools.opcodes}
        _demand(code in known, "a pickle")
        if known[code] == "INST":  # module and name follow, on a line each
            self._global(pickletools.read_stringnl_noescape_pair(stream))
        raise InputError(
            f"{self._place}: uses the pickle instruction {known[code]}, which builds more than "
            f"data: refused; {REMEDY}"
        )

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        return self._stack.pop()

    def _mark(self, _: None) -> None:
        self._marks.append(len(self._stack))
        _demand(len(self._marks) <= STACK_LIMIT, "fewer marks at a time")

    def _to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _last(self, count: int) -> list[Any]:
        _demand(len(self._stack) >= count, "more values")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _extend(self, items: list[Any]) -> None:
        _demand(type(self._stack[-1]) is list, "a list to append to")
        self._stack[-1].extend(items)

    def _set(self, flat: list[Any]) -> None:
        _put(self._stack[-1], flat)

    def _discard(self, _: None) -> None:
        self._pop()

    def _memoise(self, index: int | None) -> None:
        value, place = self._stack[-1], len(self._memo) if index is None else index
        self._memo[place] = value
        if isinstance(value, _PendingArray):
            value.memoised.append(place)

    def _recall(self, index: int) -> None:
        self._push(self._memo[index])

    def _global(self, joined: str) -> None:
        module, _, name = joined.partition(" ")
        self._import(module, name)

    def _stack_global(self, _: None) -> None:
        module, name = self._last(2)
        _demand(type(module) is str and type(name) is str, "a name to import")
        self._import(module, name)

    def _import(self, module: str, name: str) -> None:
        if (module, name) not in NAMES:
            wanted = ascii(f"{module}.{name}"[:120])[1:-1]
            raise InputError(
                f"{self._place}: wants to import {wanted}, which could run a command: "
                f"refused; {REMEDY}"
            )
        self._push(NAMES[module, name])

    def _reduce(self, _: None) -> None:
        called, arguments = self._last(2)
        _demand(isinstance(called, _Name) and type(arguments) is tuple, "a call of a known name")
        self._push(called.build(self, arguments))

    def _build(self, _: None) -> None:
        target, state = self._last(2)
        if isinstance(target, _DType):
            target.set_state(state)
            self._push(target)
            return
        _demand(isinstance(target, _PendingArray), "an array to fill")
        _demand(type(state) is tuple and len(state) == 5, "the content of an array")
        array = self.array(state[1], state[2], state[4], "F" if state[3] else "C")
        for index in target.memoised:
            self._memo[index] = array
        self._push(array)


def _objects(data: Any, count: int) -> Any:
    _demand(type(data) is list and len(data) == count, "as many objects as the shape says")
    array = np.empty(count, object)
    for index, value in enumerate(data):  # array[:] = data would take lists for dimensions
        array[index] = value
    return array


def _numbers(data: Any, dtype: np.dtype[Any], count: int) -> Any:
    if isinstance(data, str):
        data = data.encode("latin1")  # Python 2 wrote bytes as text
    _demand(isinstance(data, bytes | bytearray), "the bytes of an array")
    _demand(len(data) == count * dtype.itemsize, "as many bytes as shape and dtype say")
    return np.frombuffer(data, dtype) if count else np.zeros(0, dtype)


def _read_string(stream: Any) -> str:
    """A quoted Python 2 string: pickletools would refuse what is not ASCII."""
    line = stream.readline().rstrip(b"\r\n")
    _demand(len(line) >= 2 and line[:1] == line[-1:] and line[:1] in b"'\"", "a quoted string")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")


ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "NONE": lambda m, _: m._push(None),
    "NEWTRUE": lambda m, _: m._push(True),
    "NEWFALSE": lambda m, _: m._push(False),
    "EMPTY_LIST": lambda m, _: m._push([]),
    "EMPTY_DICT": lambda m, _: m._push({}),
    "EMPTY_TUPLE": lambda m, _: m._push(()),
    "LIST": lambda m, _: m._push(m._to_mark()),
    "TUPLE": lambda m, _: m._push(tuple(m._to_mark())),
    "TUPLE1": lambda m, _: m._push(tuple(m._last(1))),
    "TUPLE2": lambda m, _: m._push(tuple(m._last(2))),
    "TUPLE3": lambda m, _: m._push(tuple(m._last(3))),
    "DICT": lambda m, _: m._push(_put({}, m._to_mark())),
    "APPEND": lambda m, _: m._extend(m._last(1)),
    "APPENDS": lambda m, _: m._extend(m._to_mark()),
    "SETITEM": lambda m, _: m._set(m._last(2)),
    "SETITEMS": lambda m, _: m._set(m._to_mark()),
    "POP": _Machine._discard,
    "MARK": _Machine._mark,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine._memoise),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine._recall),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), _Machine._push),
    **dict.fromkeys(("LONG4", "FLOAT", "BINFLOAT", "BYTEARRAY8"), _Machine._push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _Machine._push),
    **dict.fromkeys(("UNICODE", "SHORT_BINUNICODE"), _Machine._push),
    **dict.fromkeys(("BINUNICODE", "BINUNICODE8"), _Machine._push),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _Machine._push),
}
# First byte -> (how to read its argument, what to do with it).
HANDLERS: dict[bytes, tuple[Any, Callable[[_Machine, Any], None]]] = {
    op.code.encode("latin1"): (op.arg.reader if op.arg else None, ACTIONS[op.name])
    for op in pickletools.opcodes
    if op.name in ACTIONS
}
HANDLERS[b"S"] = (_read_string, _Machine._push)
