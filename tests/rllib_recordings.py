"""Episodes as RLlib records them, and as its own functions write them."""

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.offline.offline_env_runner import OfflineSingleAgentEnvRunner

LENGTHS = [3, 4, 2]
ENDS = [(True, False), (False, True), (False, False)]  # the last one is cut unfinished


def recorded(steps: int, first: int, ended: tuple[bool, bool], **named: Any) -> SingleAgentEpisode:
    """An episode whose observations count on from `first`."""
    episode = SingleAgentEpisode(**named)
    episode.add_env_reset(np.float32([first, -first, 0.5]), infos={"a": 1})
    for step in range(steps):
        now, last = first + step, step == steps - 1
        episode.add_env_step(
            np.float32([now + 1, -now - 1, 0.5]),
            np.float32([now / 10, now / 100]),
            now + 0.25,
            infos={"b": np.float64(2.0), "c": np.array([{}], object)},
            terminated=ended[0] and last,
            truncated=ended[1] and last,
        )
    return episode


def three() -> list[SingleAgentEpisode]:
    return [
        recorded(steps, 10 * n, ended, id_=f"id{n}")
        for n, (steps, ended) in enumerate(zip(LENGTHS, ENDS, strict=True))
    ]


def rows_of(episodes: Sequence[SingleAgentEpisode], compress: Sequence[str] = ()) -> list[Any]:
    """What RLlib writes, a row a step."""
    runner = types.SimpleNamespace(output_compress_columns=compress, _samples=[])
    OfflineSingleAgentEnvRunner._map_episodes_to_data(runner, list(episodes))
    return runner._samples


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as Ray Data stores them: arrays as large lists that carry its type's name."""
    columns, fields = [], []
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], np.ndarray):
            kind = pa.large_list(pa.from_numpy_dtype(values[0].dtype))
            columns.append(pa.array([v.ravel() for v in values], kind))
            shape = str(list(values[0].shape))
            marks = {
                "ARROW:extension:name": "ray.data.arrow_tensor_v2",
                "ARROW:extension:metadata": shape,
            }
            fields.append(pa.field(name, kind, metadata=marks))
        else:
            columns.append(pa.array(values))
            fields.append(pa.field(name, columns[-1].type))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), path)
    return str(path)


def packed(episode: SingleAgentEpisode) -> bytes:
    return msgpack.packb(episode.get_state(), default=msgpack_numpy.encode)


def write_items(path: Path, items: Sequence[bytes | None]) -> str:
    pq.write_table(pa.table({"item": pa.array(items, pa.binary())}), path)
    return str(path)


def write_steps(folder: Path) -> str:
    return write_rows(folder / "steps.parquet", rows_of(three()))


def write_episodes(folder: Path) -> str:
    return write_items(folder / "episodes.parquet", [packed(e) for e in three()])


def write_compressed(folder: Path) -> str:
    return write_rows(folder / "compressed.parquet", rows_of(three(), ["obs", "actions"]))


WRITERS = [write_steps, write_episodes, write_compressed]
