"""Metrics that are read while they are written."""

import json
from pathlib import Path

from awac_dist.files import write_file
from awac_dist.reporting.rows import Tail


def line(grad_steps: int) -> str:
    return json.dumps({"phase": "online", "grad_steps": grad_steps, "env_steps": 0}) + "\n"


def taken(tail: Tail) -> list[int]:
    return [row["grad_steps"] for row in tail.new()]


def test_a_tail_has_each_row_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path)
    assert taken(tail) == []
    path.write_text(line(1) + line(2) + line(3)[:9])
    assert next(tail.new())["grad_steps"] == 1  # whoever stops there goes on there
    assert taken(tail) == [2]
    with path.open("a") as file:
        file.write(line(3)[9:] + "damaged\n" + line(4))
    assert taken(tail) == [3, 4]
    assert taken(tail) == []


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(1) + line(2))
    tail = Tail(path)
    assert taken(tail) == [1, 2]
    write_file(str(path), line(1).encode())  # as a run does that goes on from a checkpoint
    with path.open("a") as file:
        file.write(line(7))
    assert taken(tail) == [1, 7]
