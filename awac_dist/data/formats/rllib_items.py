"""RLlib's offline Parquet with one packed episode a row, as `rllib_parquet` describes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from awac_dist.data.columns import Place, assemble, matrix, vector
from awac_dist.data.format import needed_package
from awac_dist.data.parquet import read_tables
from awac_dist.types import Episode, Origin

ITEM = "item"  # the column
ITEMS_PER_READ = 16
PLAIN_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")
REMEDY = "write the episode again with RLlib"


def read_items(files: list[str], share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    """Yield (number, episode, place) of a share."""
    (index, of), number = share, 0
    first_rows: dict[Any, int] = {}  # id -> row of the episode's first fragment
    for file in files:
        for table in read_tables(file, ITEMS_PER_READ, [ITEM]):
            for item in table[ITEM].to_pylist():
                place = Place(file, f"episode {number}")
                whole = first_rows.setdefault(_identity(item, place), number)
                if number % of == index:
                    yield number, from_item(item, whole, place), place
                number += 1


def from_item(item: Any, whole: int, place: Place) -> Episode:
    """One row's episode, whose first fragment is episode `whole` of the file."""
    with _msgpack_errors(place) as msgpack:
        state = msgpack.unpackb(item, object_hook=_array, strict_map_key=False)
    start = state.get("t_started")
    if type(start) is not int or not 0 <= start < 1 << 31:
        raise place.error("t_started", "is missing or no step", REMEDY)
    return assemble(
        place,
        matrix(_recorded(state, "observations", place), place, "observations"),
        matrix(_recorded(state, "actions", place), place, "actions"),
        vector(_recorded(state, "rewards", place), place, "rewards"),
        successor=None,
        terminated=_flag(state, "is_terminated", place),
        truncated=_flag(state, "is_truncated", place),
        origin=Origin("prior", episode=whole, start=start),
    )


def _recorded(state: dict[Any, Any], name: str, place: Place) -> Any:
    """A column without the steps before the episode that RLlib keeps to look back at."""
    buffer = state.get(name)
    if not isinstance(buffer, dict) or not {"data", "lookback"} <= set(buffer):
        raise place.error(name, "is missing", REMEDY)
    data, lookback = buffer["data"], buffer["lookback"]
    if type(lookback) is not int or not isinstance(data, list | np.ndarray) or lookback < 0:
        raise place.error(name, "is no column of an episode", REMEDY)
    return data if isinstance(data, np.ndarray) and not data.ndim else data[lookback:]


def _flag(state: dict[Any, Any], name: str, place: Place) -> bool:
    if not isinstance(state.get(name), bool | np.bool_):
        raise place.error(name, "is missing or not yes or no", REMEDY)
    return bool(state[name])


@contextmanager
def _msgpack_errors(place: Place) -> Iterator[Any]:
    msgpack = needed_package("msgpack", place.file)
    try:
        yield msgpack
    except (ValueError, TypeError, LookupError, OverflowError, msgpack.UnpackException) as error:
        what = "is no msgpack of an episode, or damaged"
        raise place.error(ITEM, what, "copy it again") from error


def _identity(item: Any, place: Place) -> Any:
    """The episode's id, without decoding the rest."""
    with _msgpack_errors(place) as msgpack:
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=len(item))
        unpacker.feed(item)
        for _ in range(unpacker.read_map_header()):
            if unpacker.unpack() == "id_":
                return str(unpacker.unpack())
            unpacker.skip()
    raise place.error("id_", "is missing", REMEDY)


def _array(found: dict[Any, Any]) -> Any:
    """What msgpack_numpy wrote: numbers become arrays, object arrays stay opaque bytes."""
    code, data = found.get(b"type"), found.get(b"data", b"")
    plain = isinstance(code, str) and PLAIN_DTYPE.fullmatch(code) is not None
    if b"nd" not in found or found.get(b"kind") or not plain:
        return found  # a pickle, text or a structure: a column of it is refused as no numbers
    shape, dtype = tuple(found.get(b"shape", ())), np.dtype(code)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError("bytes and shape disagree")
    array = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
    return array.reshape(shape) if found[b"nd"] else array[0]
