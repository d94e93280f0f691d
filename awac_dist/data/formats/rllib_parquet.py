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

from awac_dist.data.columns import Place, check_widths
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.formats.rllib_files import ITEM, checked_files, find_files, form_of, tables
from awac_dist.data.formats.rllib_items import from_item, read_items
from awac_dist.data.formats.rllib_steps import find_episodes, matrix_of, read_steps
from awac_dist.data.parquet import arrow_errors, open_file
from awac_dist.errors import InputError
from awac_dist.types import Episode


def recognises(path: str) -> bool:
    """Whether it is a file, or a folder of nothing but files, with RLlib's columns."""
    try:
        found = find_files(path)
        return bool(found) and all(form_of(open_file(file).schema_arrow) for file in found)
    except (OSError, pa.ArrowException, InputError, ValueError):
        return False


def describe(path: str) -> FileInfo:
    """Sizes, and the number of episodes; reads the columns that tell them apart."""
    files, form = checked_files(path)
    with arrow_errors(path):
        widths = _widths(files, form)
        if form == ITEM:
            rows = episodes = sum(open_file(file).metadata.num_rows for file in files)
        else:
            _, counts = find_episodes(files)
            rows, episodes = sum(counts.values()), len(counts)
    facts = {"form": "episodes" if form == ITEM else "steps", "rows": f"{rows:,}"}
    return FileInfo(None, *widths, episodes, facts | {"files": str(len(files))})


def read(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of a share; keeps only the episodes that are not yet whole."""
    files, form = checked_files(path)
    with arrow_errors(path):
        widths = _widths(files, form)
        episodes = read_items(files, share) if form == ITEM else read_steps(files, share)
        for number, episode, place in episodes:
            check_widths(episode, widths, place)
            yield number, episode


def _widths(files: list[str], form: str) -> tuple[int, int]:
    """O and A, from the first row of all."""
    for file in files:
        place = Place(file, "episode 0")
        for row in tables(file, [ITEM, "obs", "actions"], 1):
            if form == ITEM:
                episode = from_item(row[ITEM][0].as_py(), 0, place)
                return episode.observations.shape[1], episode.actions.shape[1]
            obs, actions = (matrix_of(row, name, place) for name in ("obs", "actions"))
            return obs.shape[1], actions.shape[1]
    return 0, 0


FORMAT = Format("RLlib Parquet", recognises, describe, read)
