"""The experience log: every piece that a shard accepted, on disk for the next run."""

from __future__ import annotations

from pyarrow import fs

from awac_dist.data.parquet import resolve, write_episodes
from awac_dist.data.pieces import join_pieces
from awac_dist.types import EnvSpec, Episode, Segment

STEPS_PER_FILE = 20_000


class ExperienceLog:
    """Collects pieces and writes them as Parquet files that are whole or absent.

    Args:
        folder: The run's `experience` folder, a path or URI.
        shard: Number of the shard that writes; it names the files.
        spec: The task.
    """

    def __init__(self, folder: str, shard: int, spec: EnvSpec) -> None:
        self._folder, self._shard, self._spec = folder, shard, spec
        self._pieces: list[Episode] = []
        self._steps = 0
        filesystem, name = resolve(folder)
        filesystem.create_dir(name, recursive=True)
        present = (info.base_name for info in filesystem.get_file_info(fs.FileSelector(name)))
        mine = f"shard-{shard:03d}-"  # an earlier incarnation's files are never overwritten
        self._files = sum(n.startswith(mine) and n.endswith(".parquet") for n in present)

    def append(self, piece: Episode) -> None:
        self._pieces.append(piece)
        self._steps += len(piece)
        if self._steps >= STEPS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what was collected; pieces of one episode that follow each other are joined."""
        if self._pieces:
            name = f"{self._folder}/shard-{self._shard:03d}-{self._files:06d}.parquet"
            write_episodes(name, join_pieces(self._pieces), self._spec)
            self._files += 1
            self._pieces, self._steps = [], 0


class EpisodeSink:
    """Takes pieces like a replay shard, and only writes them."""

    def __init__(self, log: ExperienceLog) -> None:
        self._log = log

    def insert(self, piece: Episode, source: str) -> Segment:
        """Keep a piece; it has no place from which it could be sampled."""
        self._log.append(piece)
        return Segment(source, shard=-1, row=-1, length=len(piece))

    def flush(self) -> None:
        self._log.flush()
