"""RLlib's offline Parquet (Ray 2.60): a file or folder of steps or of packed episodes.

- Steps: one row each, with columns eps_id, obs, actions, rewards, and perhaps new_obs,
  terminateds, truncateds, t. Episodes may be interleaved and go on from file to file; an
  episode's number is the rank of its last row. Without `t` the order of the rows counts.
  Columns that RLlib compressed (base64 of lz4 of a pickle) go through our own unpickler.
- Episodes: one row each, a column `item` with the msgpack of an episode's state. A long
  episode may come in fragments; fragments of one episode share their origin's `episode`.

Ray is not imported. Where another module registered Ray's column types with Arrow, only
what they are stored as is looked at. Nothing is unpickled by Python's or NumPy's unpickler:
`msgpack_numpy` would do so for object arrays, and is not used.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyarrow import fs

from awac_dist.data.columns import Place, check_widths
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.formats.rllib_items import ITEM, from_item, read_items
from awac_dist.data.formats.rllib_steps import REQUIRED, find_episodes, matrix_of, read_steps
from awac_dist.data.parquet import arrow_errors, open_file, read_tables
from awac_dist.errors import InputError
from awac_dist.files import resolve
from awac_dist.types import Episode


def looks_like(path: str) -> bool:
    """Whether it is a file, or a folder of nothing but files, with RLlib's columns."""
    found = _find_files(path)
    return bool(found) and all(_form(open_file(file).schema_arrow) for file in found)


def describe(path: str) -> FileInfo:
    """Sizes, and the number of episodes; reads the columns that tell them apart."""
    files, form = _checked_files(path)
    with arrow_errors(path):
        widths = _widths(files, form)
        if form == ITEM:
            rows = episodes = sum(open_file(file).metadata.num_rows for file in files)
        else:
            _, counts = find_episodes(files)
            rows, episodes = counts.total(), len(counts)
    facts = {"form": "episodes" if form == ITEM else "steps", "rows": f"{rows:,}"}
    return FileInfo(None, *widths, episodes, facts | {"files": str(len(files))})


def read(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of a share; keeps only the episodes that are not yet whole."""
    files, form = _checked_files(path)
    with arrow_errors(path):
        widths = _widths(files, form)
        episodes = read_items(files, share) if form == ITEM else read_steps(files, share)
        for number, episode, place in episodes:
            check_widths(episode, widths, place)
            yield number, episode


def _find_files(path: str) -> list[str]:
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
    return "steps" if "eps_id" in schema.names and "obs" in schema.names else ""


def _checked_files(path: str) -> tuple[list[str], str]:
    """The files, and the one form that all have; refuses missing columns."""
    schemas = {file: open_file(file).schema_arrow for file in _find_files(path)}
    if not schemas:
        raise InputError(f"{path}: holds no Parquet files: name the folder that does")
    form, *others = {_form(schema) for schema in schemas.values()}
    if others:
        raise InputError(f"{path}: holds files of several forms: keep each in its own folder")
    for file, names in ((file, schema.names) for file, schema in schemas.items() if form != ITEM):
        for name in REQUIRED:
            if name not in names:
                there = ", ".join(map(ascii, names[:12]))
                what = f"is missing, there is {there}"
                raise Place(file, "every episode").error(name, what, "add it")
        if "dones" in names and "terminateds" not in names:
            raise Place(file, "every episode").error(
                "dones",
                "may mean terminated or truncated",
                "rename it to terminateds, or split it into terminateds and truncateds",
            )
    return list(schemas), form


def _widths(files: list[str], form: str) -> tuple[int, int]:
    """O and A, from the first row of all."""
    for file in files:
        place = Place(file, "episode 0")
        for row in read_tables(file, 1, [ITEM, "obs", "actions"]):
            if form == ITEM:
                episode = from_item(row[ITEM][0].as_py(), 0, place)
                return episode.observations.shape[1], episode.actions.shape[1]
            obs, actions = (matrix_of(row, name, place) for name in ("obs", "actions"))
            return obs.shape[1], actions.shape[1]
    return 0, 0


FORMAT = Format("RLlib Parquet", looks_like, describe, read)
