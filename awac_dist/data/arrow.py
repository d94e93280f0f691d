"""What Arrow's files would unpack to, told by what they state before any of it is read."""

from __future__ import annotations

import re
import struct
from typing import Any

import pyarrow as pa

from awac_dist.files import RECORD_BYTES, Budget

WIDTHS = (1, 4, 8, 12, 4, 8, 16, 0)  # of Parquet's physical types; 16 for text: where and how long
FIXED = 7  # the physical type whose width the schema says
LEVEL_BYTES = 4  # by which Parquet tells in which list a number is
REPEATING = re.compile(r"dictionary<|run_end_encoded<|(list|string|binary)_view|(?<!not )\bnull\b")
COMPRESSION = 3  # the field of a RecordBatch, as `Message.fbs` of Arrow numbers them
HEADER = 2  # of a Message


def count_parquet(file: Any, budget: Budget, place: str) -> None:
    """Count what all columns of an open Parquet file unpack to, as its footer says.

    Read by hand: pyarrow ends the process over some footers that are damaged (26.0, `column()`).
    """
    size = file.size()
    length = int.from_bytes(file.read_at(4, size - 8), "little")
    footer, _ = _struct(file.read_at(length, size - 8 - length), 0)
    leaves = [element for element in footer[2] if 5 not in element]  # 5 has children
    for group in footer[4]:
        for chunk, leaf in zip(group[1], leaves, strict=True):
            stated = chunk[3]
            width = leaf[2] if stated[1] == FIXED else WIDTHS[stated[1]]
            budget.take(max(stated[6], stated[5] * (width + LEVEL_BYTES), 0), place)


def _struct(content: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol, by the numbers of its fields; and where it ends."""
    found, number = dict[int, Any](), 0
    while content[at]:
        delta, kind = divmod(content[at], 16)
        number, at = (number + delta, at + 1) if delta else _whole(content, at + 1)
        if kind in (1, 2):  # true and false say so themselves
            found[number] = kind == 1
        else:
            found[number], at = _value(content, at, kind)
    return found, at + 1


def _value(content: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind == 12:
        return _struct(content, at)
    if kind in (9, 10):  # lists and sets
        count, kind = divmod(content[at], 16)
        count, at = (count, at + 1) if count < 15 else _varint(content, at + 1)
        values = []
        for _ in range(count):
            value, at = (content[at], at + 1) if kind in (1, 2) else _value(content, at, kind)
            values.append(value)
        return values, at
    if kind == 8:
        length, at = _varint(content, at)
        return content[at : at + length], at + length
    if kind in (3, 7):
        length = 1 if kind == 3 else 8
        return content[at : at + length], at + length
    if kind in (4, 5, 6):
        return _whole(content, at)
    raise ValueError("its footer is damaged")


def _whole(content: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(content, at)
    return value >> 1 ^ -(value & 1), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (content[at] & 127) << shift
        shift += 7
        if content[at] < 128:
            return value, at + 1
        at += 1


def check_ipc(path: str, budget: Budget, place: str) -> None:
    """Count the rows of a local Arrow file, which stores what it holds as it is.

    Raises:
        ValueError: It compresses or repeats it.
    """
    with pa.memory_map(path) as source:
        source.seek(8)  # the magic
        for message in pa.ipc.MessageReader.open_stream(source):
            refuse_compressed(message)
        source.seek(0)
        reader = pa.ipc.open_file(source)
        check_types(reader.schema)
        for number in range(reader.num_record_batches):
            budget.take(reader.get_batch(number).num_rows * RECORD_BYTES, place)


def check_types(schema: pa.Schema) -> None:
    """A ValueError for a column whose type lets a few bytes stand for any number of values."""
    for column in schema:
        if REPEATING.search(str(column.type)):
            raise ValueError(f"{column.name!a} is of {str(column.type)[:60]}: write plain lists")


def refuse_compressed(message: pa.Message) -> None:
    """A ValueError for a record batch whose buffers are compressed."""
    content = memoryview(message.metadata)
    (root,) = struct.unpack_from("<I", content)
    header = _field(content, root, HEADER)
    if message.type != "schema" and header:
        table = header + struct.unpack_from("<I", content, header)[0]
        if message.type != "record batch" or _field(content, table, COMPRESSION):
            raise ValueError("it is compressed: write it as it is")


def _field(content: Any, table: int, number: int) -> int:
    """Where a field of a FlatBuffers table is; 0 where it is left out."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", content, fields + entry)[0] if entry < size else 0
    return table + offset if offset else 0
