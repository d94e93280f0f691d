"""A run's metrics on disk: one wide table for pandas, and scalars for TensorBoard.

TensorBoard's own `EventFileWriter` writes the event files. torch's `SummaryWriter` is a wrapper of
it that imports torch: 233 MB rather than 53 MB in the driver, which needs no torch for anything
else, and four times the import time (tensorboardX's imports torch, too, where it finds it).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, SupportsFloat

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from awac_dist.errors import needed
from awac_dist.files import write_file
from awac_dist.reporting.groups import flat
from awac_dist.reporting.rows import METRICS_FILE, Row, read_table


class MetricsLog:
    """Appends rows to `metrics.jsonl` and `tensorboard/` of a run folder.

    Whatever is no row is taken out first, such as one that an earlier process was killed in the
    middle of, so that the table of a resumed run stays whole; `damaged` counts the whole lines of
    it. `exports` show the newest numbers elsewhere, too. A disk that takes no more is a RunFailed.
    """

    def __init__(self, folder: Path, *exports: Callable[[Mapping[str, float]], None]) -> None:
        self._exports, self._path = exports, folder / METRICS_FILE
        with needed(str(self._path)):
            self._path.touch()  # nobody opens a pipe, which would wait for ever
            whole = read_table(self._path)
            self._table = self._path.open("ab")
            self.damaged = whole.damaged
            if sum(map(len, whole.lines)) < self._table.tell():
                self._rewrite(whole.lines)
            self._events = EventFileWriter(str(folder / "tensorboard"))

    def describe(self, config: Mapping[str, Any]) -> None:
        """Tell TensorBoard's page of hyper-parameters what the run was told."""
        event = Event(wall_time=time.time(), summary=hparams_pb(flat(config)))
        self._events.add_event(event)

    def forget_after(self, grad_steps: int, *, evaluating: bool) -> None:
        """Forget what was written of updates after a checkpoint, which are done again.

        So is the curve's evaluation at that checkpoint where it was still `evaluating`. The table
        is whole at any moment; TensorBoard is told to drop what it has.
        """

        def stays(row: Row) -> bool:
            again = evaluating and row["grad_steps"] == grad_steps and "eval/return" in row
            return bool(row["grad_steps"] <= grad_steps and not again)

        rows, lines, _ = read_table(self._path)
        with needed(str(self._path)):
            self._rewrite([line for row, line in zip(rows, lines, strict=True) if stays(row)])
        start = SessionLog(status=SessionLog.START)
        self._events.add_event(Event(wall_time=time.time(), step=grad_steps + 1, session_log=start))

    def _rewrite(self, lines: Sequence[bytes]) -> None:
        self._table.close()
        write_file(str(self._path), b"".join(lines))
        self._table = self._path.open("ab")

    def write(
        self,
        values: Mapping[str, SupportsFloat],
        *,
        phase: str,
        grad_steps: int,
        env_steps: int,
        elapsed_s: float,
    ) -> None:
        """Append one row, which is on its way to the disk when this returns.

        JSON knows no NaN and no infinity: both become null in the table, which pandas reads as
        NaN. TensorBoard gets them as they are.
        """
        counters: dict[str, float] = {"grad_steps": grad_steps, "env_steps": env_steps}
        counters["elapsed_s"] = round(elapsed_s, 3)
        scalars = {name: float(value) for name, value in values.items()}
        row: dict[str, object] = {"phase": phase, **counters}
        row |= {name: x if math.isfinite(x) else None for name, x in scalars.items()}
        for export in self._exports:
            export(counters | scalars)
        tagged = [Summary.Value(tag=name, simple_value=x) for name, x in scalars.items()]
        event = Event(wall_time=time.time(), step=grad_steps, summary=Summary(value=tagged))
        with needed(str(self._path)):
            self._table.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            self._table.flush()
            self._events.add_event(event)
            self._events.flush()

    def close(self) -> None:
        """Close both files; a row that could not be written was told of already."""
        for file in (self._table, self._events):
            with suppress(OSError):
                file.close()
