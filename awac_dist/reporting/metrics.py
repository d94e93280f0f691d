"""A run's metrics on disk: one wide table for pandas, and scalars for TensorBoard.

TensorBoard's own `EventFileWriter` writes the event files. torch's `SummaryWriter` is a wrapper of
it that imports torch: 233 MB rather than 53 MB in the driver, which needs no torch for anything
else, and four times the import time (tensorboardX's imports torch, too, where it finds it).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import SupportsFloat

from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]
    Event,
    SessionLog,
)
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.event_file_writer import (  # type: ignore[import-untyped]
    EventFileWriter,
)

from awac_dist.errors import needed
from awac_dist.files import write_file

METRICS_FILE = "metrics.jsonl"


class MetricsLog:
    """Appends rows to `metrics.jsonl` and `tensorboard/` of a run folder.

    A row that an earlier process was killed in the middle of is cut off first, so that the
    table of a resumed run stays whole.

    Args:
        folder: The run folder.
        since: Of a resumed run, grad_steps of its checkpoint: what was written of later updates
            is forgotten, since those updates are done again.
        evaluating: Whether the curve's evaluation at that checkpoint is done again too.
        export: Shows the newest numbers elsewhere, too.
    """

    def __init__(
        self,
        folder: Path,
        *,
        since: int | None = None,
        evaluating: bool = False,
        export: Callable[[Mapping[str, float]], None] = lambda values: None,
    ) -> None:
        self._export = export
        self._path = path = folder / METRICS_FILE
        with needed(str(path)):
            _cut_torn_row(path)
            if since is not None and path.exists():
                _forget_after(path, since, evaluating=evaluating)
            self._table = path.open("a", encoding="utf-8")
            self._events = EventFileWriter(str(folder / "tensorboard"))
        if since is not None:
            self._begin_after(since)

    def _begin_after(self, grad_steps: int) -> None:
        """Have TensorBoard drop what was written of later steps."""
        start = SessionLog(status=SessionLog.START)
        self._events.add_event(Event(wall_time=time.time(), step=grad_steps + 1, session_log=start))

    def forget_after(self, grad_steps: int, *, evaluating: bool) -> None:
        """Forget what was written of updates after a checkpoint, which are done again."""
        self._table.close()
        _forget_after(self._path, grad_steps, evaluating=evaluating)
        self._table = self._path.open("a", encoding="utf-8")
        self._begin_after(grad_steps)

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

        Raises:
            RunFailed: It cannot be written.
        """
        row: dict[str, object] = {
            "phase": phase,
            "grad_steps": grad_steps,
            "env_steps": env_steps,
            "elapsed_s": round(elapsed_s, 3),
        }
        scalars = {name: float(value) for name, value in values.items()}
        row |= {name: x if math.isfinite(x) else None for name, x in scalars.items()}
        self._export(scalars)
        summary = Summary(
            value=[Summary.Value(tag=name, simple_value=x) for name, x in scalars.items()]
        )
        with needed(str(self._path)):
            self._table.write(json.dumps(row, allow_nan=False) + "\n")
            self._table.flush()
            self._events.add_event(Event(wall_time=time.time(), step=grad_steps, summary=summary))
            self._events.flush()

    def close(self) -> None:
        """Close both files; a row that could not be written was told of already."""
        for file in (self._table, self._events):
            with suppress(OSError):
                file.close()


def _cut_torn_row(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as table:
        table.truncate(table.read().rfind(b"\n") + 1)


def _forget_after(path: Path, grad_steps: int, *, evaluating: bool) -> None:
    """Keep the rows up to a checkpoint, in a file that is whole at any moment."""

    def done(row: dict[str, object]) -> bool:
        at = row["grad_steps"]
        assert isinstance(at, int)
        again = evaluating and at == grad_steps and "eval/return" in row
        return at <= grad_steps and not again

    with path.open(encoding="utf-8") as table:
        kept = [line for line in table if done(json.loads(line))]
    write_file(str(path), "".join(kept).encode())
