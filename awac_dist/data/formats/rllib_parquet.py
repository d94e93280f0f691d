"""RLlib's offline Parquet (Ray 2.60): a file or folder of steps or of packed episodes.

- Steps: one row each, with columns eps_id, obs, actions, rewards, and perhaps new_obs,
  terminateds, truncateds, t. Episodes may be interleaved and go on from file to file; an
  episode's number is the rank of its last row. Without `t` the order of the rows counts.
  Columns that RLlib compressed (base64 of lz4 of a pickle) go through our own unpickler.
- Episodes: one row each, a column `item` with the msgpack of an episode's state. A long
  episode may come in fragments; fragments of one episode share their origin's `episode`.

Ray is not imported; of its column types only what they are stored as is looked at. Object arrays
within msgpack stay bytes: `msgpack_numpy` would unpickle them, and is not used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from awac_dist.data.columns import Place, widths
from awac_dist.data.format import FileInfo, Format, Keys, needed_package
from awac_dist.data.formats.step_parquet import Names, Steps
from awac_dist.data.parquet import arrow_errors, open_file, read_schema, read_tables
from awac_dist.errors import InputError
from awac_dist.files import RECORD_BYTES, Budget, resolve
from awac_dist.types import Episode, Origin

ITEM = "item"  # the column of packed episodes
ITEMS_PER_READ = 16
NAMES: Names = {  # of the columns of steps
    "id": ("eps_id",),
    "observations": ("obs",),
    "actions": ("actions",),
    "rewards": ("rewards",),
    "next_observations": ("new_obs",),
    "terminals": ("terminateds",),
    "timeouts": ("truncateds",),
    "step": ("t",),
}
REQUIRED = ("id", "observations", "actions", "rewards")
LIST_BYTES, ENTRY_BYTES = 64, 40  # of Python's lists and dicts
PLAIN_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")
REMEDY = "write the episode again with RLlib"


def _looks_like(path: str) -> bool:
    """Whether it is a file, or a folder of nothing but files, with RLlib's columns."""
    found = find_files(path)
    return bool(found) and all(_form(read_schema(file)) for file in found)


def _describe(path: str, keys: Keys) -> FileInfo:
    steps, form = _opened(path, keys)
    with arrow_errors(path):
        sizes = _widths(steps, form)
        if form == ITEM:
            rows = episodes = sum(open_file(file).metadata.num_rows for file in steps.files)
        else:
            rows, episodes = steps.count()
    facts = {"form": "episodes" if form == ITEM else "steps", "rows": f"{rows:,}"}
    return FileInfo(None, *sizes, episodes, facts | {"files": str(len(steps.files))})


def _read(path: str, share: tuple[int, int], keys: Keys) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of a share; keeps only the episodes that are not yet whole."""
    steps, form = _opened(path, keys)
    with arrow_errors(path):
        sizes = _widths(steps, form)
        episodes = _read_items(steps, share) if form == ITEM else steps.read(share)
        for number, episode, place in episodes:
            place.check_widths(episode, sizes)
            yield number, episode


def find_files(path: str) -> list[str]:
    """The file itself, or the Parquet files in a folder and below, in order."""
    filesystem, name = resolve(path)
    kind = filesystem.get_file_info(name).type
    if kind == fs.FileType.NotFound:
        raise InputError(f"{path}: there is no such file or folder")
    if kind == fs.FileType.File:
        return [path]
    prefix = path.rstrip("/").removesuffix(name.rstrip("/"))
    found = filesystem.get_file_info(fs.FileSelector(name, recursive=True))
    files = [entry.path for entry in found if entry.type == fs.FileType.File]
    return sorted(prefix + file for file in files if file.endswith(".parquet"))


def _form(schema: pa.Schema) -> str:
    """Which of the two forms, nothing for neither."""
    if ITEM in schema.names:
        kind = schema.field(ITEM).type
        return ITEM if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else ""
    return "steps" if "eps_id" in schema.names else ""


def _opened(path: str, keys: Keys) -> tuple[Steps, str]:
    """The files, and the one form that all have; refuses missing columns."""
    budget = Budget.of(path)
    schemas = {file: open_file(file, budget).schema_arrow for file in find_files(path)}
    if not schemas:
        raise InputError(f"{path}: holds no Parquet files: name the folder that does")
    form, *others = {_form(schema) for schema in schemas.values()}
    if others:
        raise InputError(f"{path}: holds files of several forms: keep each in its own folder")
    steps = Steps(list(schemas), {**NAMES, **keys}, budget)
    if form == ITEM and keys:
        raise InputError(f"{path}: holds packed episodes, which have no choice of {min(keys)}")
    for file, schema in schemas.items() if form != ITEM else ():
        names, place = schema.names, Place(file, "every episode")
        for name in (key for column in (*REQUIRED, *keys) for key in steps.names[column]):
            if name not in names:
                there = ", ".join(map(ascii, names[:12]))
                remedy = "add it, or say behind the source what it is called: COLUMN=KEY"
                raise place.error(name, f"is missing, there is {there}", remedy)
        if "dones" in names and not {"terminateds", *steps.names["terminals"]} & {*names}:
            remedy = "rename it to terminateds, or split it into terminateds and truncateds"
            raise place.error("dones", "may mean terminated or truncated", remedy)
    return steps, form


def _widths(steps: Steps, form: str) -> tuple[int, int]:
    """O and A, from the first row of all."""
    if form != ITEM:
        return steps.widths()
    for file in steps.files:
        for row in read_tables(file, 1, [ITEM]):
            place = Place(file, "episode 0", steps.budget)
            return widths(_from_item(row[ITEM][0].as_py(), 0, place))
    return 0, 0


def _read_items(steps: Steps, share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    """Yield (number, episode, place) of a share."""
    (index, of), number = share, 0
    first_rows: dict[Any, int] = {}  # id -> row of the episode's first fragment
    for file in steps.files:
        for table in read_tables(file, ITEMS_PER_READ, [ITEM]):
            for item in table[ITEM].to_pylist():
                place = Place(file, f"episode {number}", steps.budget)
                place.take(RECORD_BYTES // 8)
                whole = first_rows.setdefault(_identity(item, place), number)
                if number % of == index:
                    yield number, _from_item(item, whole, place), place
                number += 1


def _from_item(item: Any, whole: int, place: Place) -> Episode:
    """One row's episode, whose first fragment is episode `whole` of the file."""

    def counted(found: Any) -> Any:
        place.take((LIST_BYTES + ENTRY_BYTES * len(found)) // 8)
        return _array(found) if isinstance(found, dict) else found

    with _msgpack_errors(place) as msgpack:
        state = msgpack.unpackb(item, object_hook=counted, list_hook=counted, strict_map_key=False)
    start = state.get("t_started")
    if type(start) is not int or not 0 <= start < 1 << 31:
        raise place.error("t_started", "is missing or no step", REMEDY)
    return place.assemble(
        place.matrix(_recorded(state, "observations", place), "observations"),
        place.matrix(_recorded(state, "actions", place), "actions"),
        place.vector(_recorded(state, "rewards", place), "rewards"),
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
        remedy = "copy it again"
        raise place.error(ITEM, "is no msgpack of an episode, or damaged", remedy) from error


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


CHOICES = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
FORMAT = Format("RLlib Parquet", _looks_like, _describe, _read, choices=CHOICES)
