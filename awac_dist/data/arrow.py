"""What Arrow's files would unpack to, told by what they state before any of it is read."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from awac_dist.files import RECORD_BYTES, Budget

WIDTHS = (1, 4, 8, 12, 4, 8, 16, 0)  # of Parquet's physical types; 16 for text: where and how long
FIXED = 7  # the physical type whose width the schema says
LEVEL_BYTES = 4  # by which Parquet tells in which list a number is
REPEATING = re.compile(r"dictionary<|run_end_encoded<|(list|string|binary)_view|(?<!not )\bnull\b")
PAGE_HEADER_BYTES = (256, 1 << 20)  # of most; of one with long statistics
HEADER = 2  # the field of a Message, as Arrow's `Message.fbs` numbers them
ROWS, NODES, COMPRESSION = 0, 1, 3  # of a RecordBatch


def count_parquet(file: Any, budget: Budget, place: str) -> None:
    """Count what all columns of an open Parquet file unpack to, as its footer and its pages say.

    Read by hand: pyarrow ends the process over some footers that are damaged (26.0, `column()`),
    and does not hold its pages to what the footer says.
    """
    size = file.size()
    length = int.from_bytes(file.read_at(4, size - 8), "little")
    footer, _ = _struct(file.read_at(length, size - 8 - length), 0)
    leaves = [element for element in footer[2] if 5 not in element]  # 5 has children
    for group in footer[4]:
        for chunk, leaf in zip(group[1], leaves, strict=True):
            stated = chunk[3]
            width = leaf[2] if stated[1] == FIXED else WIDTHS[stated[1]]
            unpacked, values = map(sum, zip((0, 0), *_pages(file, stated), strict=True))
            numbers = max(stated[5], values) * (width + LEVEL_BYTES)
            budget.take(max(stated[6], unpacked, numbers), place)


def _pages(file: Any, stated: dict[int, Any]) -> Iterator[tuple[int, int]]:
    """Bytes that each page of a column unpacks to, and values in it; a dictionary has none."""
    at = min((stated[place] for place in (9, 11) if stated.get(place)), default=0)
    end = at + stated[7]
    while at < end:
        for room in PAGE_HEADER_BYTES:
            try:
                page, length = _struct(file.read_at(min(room, end - at), at), 0)
                break
            except IndexError:  # longer than most
                page = {}
        data = page.get(5) or page.get(8) or {}
        yield page[2], data.get(1, 0)
        at += length + max(page[3], 0)


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
            check_message(message)
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


def check_message(message: pa.Message) -> None:
    """A ValueError for a record batch that is compressed, or whose lengths end the process."""
    content = memoryview(message.metadata)
    (root,) = struct.unpack_from("<I", content)
    header = _field(content, root, HEADER)
    if message.type == "schema" or not header:
        return
    table = header + struct.unpack_from("<I", content, header)[0]
    if message.type != "record batch" or _field(content, table, COMPRESSION):
        raise ValueError("it is compressed: write it as it is")
    rows, nodes = (_field(content, table, number) for number in (ROWS, NODES))
    lengths = [struct.unpack_from("<q", content, rows)[0]] if rows else []
    if nodes:
        nodes += struct.unpack_from("<I", content, nodes)[0]
        (count,) = struct.unpack_from("<I", content, nodes)
        lengths += struct.unpack_from(f"<{2 * count}q", content, nodes + 4)[::2]
    if any(length < 0 for length in lengths):
        raise ValueError("a column has a negative length")


def _field(content: Any, table: int, number: int) -> int:
    """Where a field of a FlatBuffers table is; 0 where it is left out."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", content, fields + entry)[0] if entry < size else 0
    return table + offset if offset else 0
