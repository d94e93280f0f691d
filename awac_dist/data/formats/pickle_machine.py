"""The stack machine of a pickle: instructions that build lists, dicts, tuples, text and numbers.

What it may import is in the table `numpy_names.NAMES`; all else is refused by its name.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

from awac_dist.data.formats.numpy_names import (
    NAMES,
    DType,
    Name,
    PendingArray,
    build_array,
    demand,
    put,
)
from awac_dist.errors import InputError

EXPANSION = 8  # bytes of arrays for a byte of file: one NONE (1 byte) is one pointer (8)
SLACK_BYTES = 1 << 16
STACK_LIMIT = 1_000_000  # pickle.dump hands over lists and dicts a thousand entries at a time
REMEDY = "convert it where it was made, to dicts and lists of NumPy arrays and numbers only"


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


class Machine:
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
        demand(self._bytes_left >= 0, f"at most {EXPANSION} times the file's size in arrays")

    def _run(self) -> Any:
        stream, handlers = self._stream, HANDLERS
        while (code := stream.read(1)) != b".":
            opcode = handlers.get(code)
            if opcode is None:
                self._refuse_opcode(code)
            else:
                read, handle = opcode
                handle(self, read(stream) if read else None)
            demand(len(self._stack) <= STACK_LIMIT, "fewer values at a time")
        return self._pop()

    def _refuse_opcode(self, code: bytes) -> None:
        stream: Any = self._stream
        known = {op.code.encode("latin1"): op.name for op in pickletools.opcodes}
        demand(code in known, "a pickle")
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
        demand(len(self._marks) <= STACK_LIMIT, "fewer marks at a time")

    def _to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _last(self, count: int) -> list[Any]:
        demand(len(self._stack) >= count, "more values")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _extend(self, items: list[Any]) -> None:
        demand(type(self._stack[-1]) is list, "a list to append to")
        self._stack[-1].extend(items)

    def _set(self, flat: list[Any]) -> None:
        put(self._stack[-1], flat)

    def _discard(self, _: None) -> None:
        self._pop()

    def _memoise(self, index: int | None) -> None:
        value, place = self._stack[-1], len(self._memo) if index is None else index
        self._memo[place] = value
        if isinstance(value, PendingArray):
            value.memoised.append(place)

    def _recall(self, index: int) -> None:
        self._push(self._memo[index])

    def _global(self, joined: str) -> None:
        module, _, name = joined.partition(" ")
        self._import(module, name)

    def _stack_global(self, _: None) -> None:
        module, name = self._last(2)
        demand(type(module) is str and type(name) is str, "a name to import")
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
        demand(isinstance(called, Name) and type(arguments) is tuple, "a call of a known name")
        self._push(called.build(self.charge, arguments))

    def _build(self, _: None) -> None:
        target, state = self._last(2)
        if isinstance(target, DType):
            target.set_state(state)
            self._push(target)
            return
        demand(isinstance(target, PendingArray), "an array to fill")
        demand(type(state) is tuple and len(state) == 5, "the content of an array")
        array = build_array(self.charge, state[1], state[2], state[4], "F" if state[3] else "C")
        for index in target.memoised:
            self._memo[index] = array
        self._push(array)


def _read_string(stream: Any) -> str:
    """A quoted Python 2 string: pickletools would refuse what is not ASCII."""
    line = stream.readline().rstrip(b"\r\n")
    demand(len(line) >= 2 and line[:1] == line[-1:] and line[:1] in b"'\"", "a quoted string")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")


ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
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
    "DICT": lambda m, _: m._push(put({}, m._to_mark())),
    "APPEND": lambda m, _: m._extend(m._last(1)),
    "APPENDS": lambda m, _: m._extend(m._to_mark()),
    "SETITEM": lambda m, _: m._set(m._last(2)),
    "SETITEMS": lambda m, _: m._set(m._to_mark()),
    "POP": Machine._discard,
    "MARK": Machine._mark,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._reduce,
    "BUILD": Machine._build,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine._memoise),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._recall),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), Machine._push),
    **dict.fromkeys(("LONG4", "FLOAT", "BINFLOAT", "BYTEARRAY8"), Machine._push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), Machine._push),
    **dict.fromkeys(("UNICODE", "SHORT_BINUNICODE"), Machine._push),
    **dict.fromkeys(("BINUNICODE", "BINUNICODE8"), Machine._push),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), Machine._push),
}
# First byte -> (how to read its argument, what to do with it).
HANDLERS: dict[bytes, tuple[Any, Callable[[Machine, Any], None]]] = {
    op.code.encode("latin1"): (op.arg.reader if op.arg else None, ACTIONS[op.name])
    for op in pickletools.opcodes
    if op.name in ACTIONS
}
HANDLERS[b"S"] = (_read_string, Machine._push)
