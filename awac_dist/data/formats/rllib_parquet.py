"""RLlib's offline Parquet (Ray 2.60): a file or folder of steps or of packed episodes.

- Steps: one row each, with columns eps_id, obs, actions, rewards, and perhaps new_obs,
  terminateds, truncateds, t. Episodes may be interleaved and go on from file to file; an
  episode's number is the rank of its last row. Without `t` the order of the rows counts.
  Columns that RLlib compressed (base64 of lz4 of a pickle) go through our own unpickler.
- Episodes: one row each, a column `item` with the msgpack of an episode's state. A long
  episode may come in fragments; fragments of one episode share their origin's `episode`, and
  fall to the same share.

Ray is not imported; of its column types only what they are stored as is looked at. Object arrays
within msgpack stay bytes: `msgpack_numpy` would unpickle them, and is not used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from awac_dist.data.columns import Place, end_keys, widths
from awac_dist.data.format import FileInfo, Format, Keys, needed_package
from awac_dist.data.formats.step_parquet import Count, Names, Steps
from awac_dist.data.parquet import arrow_errors, open_file, read_schema, read_tables
from awac_dist.data.passed_over import PROMISING
from awac_dist.errors import InputError
from awac_dist.files import RECORD_BYTES, Budget, files_below, resolve, within
from awac_dist.types import Episode, Origin

ITEM = "item"  # the column of packed episodes
ITEMS_PER_READ = 16
NAMES: Names = {  # of the columns of steps
    "id": ("eps_id",),
    "observations": ("obs",),
    "actions": ("actions",),
    "rewards": ("rewards",),
    "next_observations": ("new_obs",),
    "step": ("t",),
}
REQUIRED = ("id", "observations", "actions", "rewards")
LIST_BYTES, ENTRY_BYTES = 64, 40  # of Python's lists and dicts
PLAIN_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")
NO_ITEM = f"{ITEM}: is no msgpack of an episode, or damaged"
REMEDY = "write the episode again with RLlib"


def _looks_like(path: str) -> bool:
    """Whether it is a file with RLlib's columns, or a folder of such files and no other data.

    What cannot be opened in such a folder is one of its files, whose absence would tear episodes.
    """
    forms = [_form_of(file) for file in find_files(path)]
    return any(forms) and "" not in forms and not _holds_others(path)


def _holds_others(path: str) -> bool:
    """Whether a folder holds data, by its name, that would be hidden by the Parquet files."""
    filesystem, name = resolve(path)
    names = {info.path for info in files_below(filesystem, name)} - {name}
    return any(its.endswith(PROMISING) and not its.endswith(".parquet") for its in names)


def _describe(path: str, keys: Keys) -> FileInfo:
    found, form = _opened(path, keys)
    with arrow_errors(path):
        sizes, count = found.widths(), found.count()
    facts = {"form": form, **count.facts, "files": str(len(found.files))}
    return FileInfo(None, *sizes, count.episodes, facts)


def _read(path: str, share: tuple[int, int], keys: Keys) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of a share; keeps only the episodes that are not yet whole."""
    found, _ = _opened(path, keys)
    with arrow_errors(path):
        yield from found.read(share)


def find_files(path: str) -> list[str]:
    """The file itself, or the Parquet files in a folder and below, in order."""
    filesystem, name = resolve(path)
    found = [info.path for info in files_below(filesystem, name)]
    if found == [name]:
        return [path]
    root = f"{name.rstrip('/')}/"
    names = [file.removeprefix(root) for file in found if file.endswith(".parquet")]
    return [within(path, name) for name in names]


def _form_of(file: str) -> str | None:
    """As `_form`; None for a file that is damaged."""
    try:
        return _form(read_schema(file))
    except InputError:
        return None


def _form(schema: pa.Schema) -> str:
    """Which of the two forms, nothing for neither."""
    if ITEM in schema.names:
        kind = schema.field(ITEM).type
        return "episodes" if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else ""
    return "steps" if "eps_id" in schema.names else ""


def _opened(path: str, keys: Keys) -> tuple[Steps | _Items, str]:
    """The files, and the one form that all have; refuses missing columns."""
    budget = Budget.of(path)
    schemas = {file: open_file(file, budget).schema_arrow for file in find_files(path)}
    if not schemas:
        raise InputError(f"{path}: there are no Parquet files: name the folder that has some")
    form, *others = {_form(schema) for schema in schemas.values()}
    if others:
        raise InputError(f"{path}: holds files of several forms: keep each in its own folder")
    if form == "episodes":
        if keys:
            raise InputError(f"{path}: holds packed episodes, which have no choice of {min(keys)}")
        return _Items(list(schemas), budget), form
    columns = [name for schema in schemas.values() for name in schema.names]
    names = {**NAMES, **keys, **end_keys(f"{path}: every episode", keys, columns)}
    for file, schema in schemas.items():
        for column in (*REQUIRED, *keys):
            Place(file, "every episode").check_keys(column, names[column], schema.names)
    return Steps(list(schemas), names, budget), form


class _Items:
    """The packed episodes of some files, as `Steps` has those of rows."""

    def __init__(self, files: list[str], budget: Budget) -> None:
        self.files, self._budget = files, budget

    def count(self) -> Count:
        rows = sum(open_file(file).metadata.num_rows for file in self.files)
        return Count(rows, rows)

    def widths(self) -> tuple[int, int]:
        return next((widths(episode) for _, episode, _ in self._read(0, 1)), (0, 0))

    def read(self, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
        sizes = self.widths()
        for number, episode, place in self._read(*share):
            place.check_widths(episode, sizes)
            yield number, episode

    def _read(self, index: int, of: int) -> Iterator[tuple[int, Episode, Place]]:
        begun: dict[Any, tuple[int, int]] = {}  # id -> episodes before, row of its first fragment
        number = 0
        for file in self.files:
            for table in read_tables(file, ITEMS_PER_READ, [ITEM]):
                for item in table[ITEM].to_pylist():
                    place = Place(file, f"episode {number}", self._budget)
                    place.take(RECORD_BYTES)
                    rank, whole = begun.setdefault(_identity(item, place), (len(begun), number))
                    if rank % of == index:
                        yield number, _from_item(item, whole, place), place
                    number += 1


def _from_item(item: Any, whole: int, place: Place) -> Episode:
    """One row's episode, whose first fragment is episode `whole` of the file."""

    def counted(found: Any) -> Any:
        place.take(LIST_BYTES + ENTRY_BYTES * len(found))
        return _array(found) if isinstance(found, dict) else found

    msgpack = needed_package("msgpack", place.file)
    with place.naming(NO_ITEM, "copy it again"):
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


def _identity(item: Any, place: Place) -> Any:
    """The episode's id, without decoding the rest."""
    msgpack = needed_package("msgpack", place.file)
    with place.naming(NO_ITEM, "copy it again"):
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
