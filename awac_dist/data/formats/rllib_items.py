"""RLlib's offline Parquet with one packed episode a row, as `rllib_parquet` describes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from awac_dist.data.columns import Place, assemble, matrix, vector
from awac_dist.data.formats.rllib_files import ITEM, REMEDY, batches, optional_package
from awac_dist.types import Episode, Origin

ITEMS_PER_READ = 16
PLAIN_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")


def read_items(files: list[str], share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    """Yield (number, episode, place) of a share."""
    (index, of), number = share, 0
    first_rows: dict[Any, int] = {}  # id -> row of the episode's first fragment
    for file in files:
        for batch in batches(file, [ITEM], ITEMS_PER_READ):
            for item in batch[ITEM]:
                place = Place(file, f"episode {number}")
                whole = first_rows.setdefault(_identity(item.as_py(), place), number)
                if number % of == index:
                    yield number, from_item(item.as_py(), number, whole, place), place
                number += 1


def from_item(item: Any, number: int, whole: int, place: Place) -> Episode:
    """One row's episode, whose first fragment is episode `whole` of the file."""
    state = _decoded(item, place)
    return assemble(
        place,
        matrix(_recorded(state, "observations", place), place, "observations"),
        matrix(_recorded(state, "actions", place), place, "actions"),
        vector(_recorded(state, "rewards", place), place, "rewards"),
        successor=None,
        terminated=_flag(state, "is_terminated", place),
        truncated=_flag(state, "is_truncated", place),
        origin=Origin("prior", episode=whole, start=_start(state, place)),
    )


def _recorded(state: dict[Any, Any], name: str, place: Place) -> Any:
    """A column without the steps before the episode that RLlib keeps to look back at."""
    buffer = state.get(name)
    if not isinstance(buffer, dict) or not {"data", "lookback"} <= set(buffer):
        raise place.error(name, "is missing", "write the episode again with RLlib")
    data, lookback = buffer["data"], buffer["lookback"]
    if type(lookback) is not int or not isinstance(data, list | np.ndarray) or lookback < 0:
        raise place.error(name, "is no column of an episode", "write the episode again with RLlib")
    return data if isinstance(data, np.ndarray) and not data.ndim else data[lookback:]


def _flag(state: dict[Any, Any], name: str, place: Place) -> bool:
    if not isinstance(state.get(name), bool | np.bool_):
        raise place.error(name, "is missing or not yes or no", "write the episode again with RLlib")
    return bool(state[name])


def _start(state: dict[Any, Any], place: Place) -> int:
    start = state.get("t_started")
    if type(start) is not int or not 0 <= start < 1 << 31:
        raise place.error(
            "t_started", "is missing or no step", "write the episode again with RLlib"
        )
    return start


@contextmanager
def _msgpack_errors(place: Place) -> Iterator[Any]:
    msgpack = optional_package("msgpack", place.file)
    try:
        yield msgpack
    except (ValueError, TypeError, LookupError, OverflowError, msgpack.UnpackException) as error:
        raise place.error(ITEM, "is no msgpack of an episode, or damaged", REMEDY) from error


def _identity(item: Any, place: Place) -> Any:
    """The episode's id, without decoding the rest."""
    with _msgpack_errors(place) as msgpack:
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=len(item))
        unpacker.feed(item)
        for _ in range(unpacker.read_map_header()):
            if unpacker.unpack() == "id_":
                return str(unpacker.unpack())
            unpacker.skip()
    raise place.error("id_", "is missing", "write the episode again with RLlib")


def _decoded(item: Any, place: Place) -> dict[Any, Any]:
    with _msgpack_errors(place) as msgpack:
        state = msgpack.unpackb(item, object_hook=_array, strict_map_key=False)
    if not isinstance(state, dict):
        raise place.error(ITEM, "is no episode", "write the episode again with RLlib")
    return state


def _array(found: dict[Any, Any]) -> Any:
    """What msgpack_numpy wrote: numbers become arrays, object arrays stay opaque bytes."""
    if b"nd" not in found:
        return found
    code, data = found.get(b"type"), found.get(b"data", b"")
    if found.get(b"kind") or not (isinstance(code, str) and PLAIN_DTYPE.fullmatch(code)):
        return found  # a pickle, text or a structure: a column of it is refused as no numbers
    shape = tuple(found.get(b"shape", ()))
    dtype = np.dtype(code)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError("bytes and shape disagree")
    array = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
    return array.reshape(shape) if found[b"nd"] else array[0]
