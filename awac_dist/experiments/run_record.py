"""What a run left on disk, read by somebody who took no part in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from awac_dist.config import CLONE
from awac_dist.data.experience import list_files, read_fragments
from awac_dist.envs.make import make_env
from awac_dist.errors import InputError
from awac_dist.files import sealed
from awac_dist.learner.checkpoint import load_checkpoint, load_progress
from awac_dist.replay.sampler import ONLINE
from awac_dist.reporting.rows import METRICS_FILE

UPDATES = "learner/updates_per_s"  # in the rows of updates
EVALUATION = "eval/return"
Key = tuple[int, ...]  # worker, incarnation, episode, start
Fragment = tuple[str, Key]  # source and key


def last_row(folder: Path, column: str) -> dict[str, Any]:
    """The newest row of `metrics.jsonl` that has a column; empty if there is none."""
    try:
        lines = (folder / METRICS_FILE).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    rows: Iterator[dict[str, Any]] = map(json.loads, reversed(lines))
    return next((row for row in rows if column in row), {})


def logged_fragments(folder: Path) -> dict[Fragment, int]:
    """Transitions of every fragment in the experience log of a run that may be going on."""
    return dict(_fragments(folder))


def _fragments(folder: Path) -> Iterator[tuple[Fragment, int]]:
    """Each as often as it is there, with its transitions."""
    for file in list_files(str(folder / "experience")):
        with suppress(InputError):
            for fragment in read_fragments(file.path):
                origin = fragment.episode.origin
                yield (fragment.source, (*origin.stream, origin.start)), len(fragment.episode)


def steps_that_differ(folder: Path) -> int:
    """How many steps in the log of a run the task does not show when they are done again."""
    task = yaml.safe_load((folder / "config.yaml").read_text())["env"]
    task = task if isinstance(task, dict) else {"id": task}
    env = make_env(task["id"], **task.get("kwargs", {}))
    space: Any = env.action_space
    files = list_files(str(folder / "experience"))
    logged = [fragment.episode for file in files for fragment in read_fragments(file.path)]
    differ = 0
    for its in sorted(logged, key=lambda its: (*its.origin.stream, its.origin.start)):
        if its.origin.start == 0:
            env.reset(seed=its.origin.seed)
        for action, shown, reward in zip(
            its.actions, its.observations[1:], its.rewards, strict=True
        ):
            observation, again, *_ = env.step(np.clip(action, space.low, space.high))
            same = np.array_equal(np.float32(observation), shown) and np.float32(again) == reward
            differ += not same
    return differ


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a run that ended; all zero and empty if nothing is."""

    lost: int  # transitions that were acknowledged once, and are not in the log
    unknown: int  # transitions in the log that the learner did not know at the end
    duplicated: int  # transitions that are in the log more than once
    problems: list[str]  # everything else, in words
    result: float  # mean return of the last evaluation

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.unknown or self.duplicated or self.problems)


def judge(
    folder: Path, seen: Mapping[Fragment, int], *, env_steps: int, grad_steps: int
) -> Verdict:
    """Compare the log, the last checkpoint and the metrics with each other and with a witness.

    A shard answers an insert once the fragment is in the log, so that the fragments in the log just
    before a process is killed are all that were acknowledged by then, and maybe some more.

    Args:
        folder: Of a run that ended.
        seen: `logged_fragments` of all times at which somebody looked while it went on.
        env_steps: Of the online phase, as configured.
        grad_steps: Of the whole run, as configured.
    """
    fragments = list(_fragments(folder))
    logged = dict(fragments)
    newest = sealed(str(folder / "checkpoints"))[-1]
    checkpoint, progress = load_checkpoint(newest), load_progress(newest)
    in_play, forgotten = checkpoint["books"]["in_play"], checkpoint["books"]["forgotten"]
    registered = {
        (source, tuple(key))
        for source, keys in [*in_play.items(), (ONLINE, forgotten)]
        for key in keys.tolist()
        if source in (CLONE, ONLINE)
    }
    problems = [
        f"{fragment} was registered and is not in the log" for fragment in registered - {*logged}
    ]
    online = sum(length for (source, _), length in logged.items() if source == ONLINE)
    for what, is_, ought in (
        ("env_steps of the last checkpoint", progress["env_steps"], env_steps),
        ("online steps in the log", online, env_steps),
        ("grad_steps of the last checkpoint", checkpoint["grad_steps"], grad_steps),
    ):
        if is_ != ought:
            problems.append(f"{what}: {is_}, not {ought}")
    return Verdict(
        lost=sum(length for fragment, length in seen.items() if fragment not in logged),
        unknown=sum(length for fragment, length in logged.items() if fragment not in registered),
        duplicated=_duplicated(fragments),
        problems=problems + seams(folder),
        result=last_row(folder, EVALUATION).get(EVALUATION, float("nan")),
    )


def _duplicated(fragments: Iterable[tuple[Fragment, int]]) -> int:
    """Steps that are in the log more than once, whichever fragments they are in."""
    steps = Counter(
        (*stream, step)
        for (_, (*stream, start)), length in fragments
        for step in range(start, start + length)
    )
    return steps.total() - len(steps)


def seams(folder: Path) -> list[str]:
    """Places in `metrics.jsonl` where a counter does not go on."""
    lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    rows, found = [json.loads(line) for line in lines], []  # a torn row is refused: the run ended
    updates = [row["grad_steps"] for row in rows if UPDATES in row]
    if any(later <= earlier for earlier, later in pairwise(updates)):
        found.append("metrics: rows of updates whose grad_steps do not grow")
    for counter in ("env_steps", "elapsed_s"):
        column = [row[counter] for row in rows]
        if any(later < earlier for earlier, later in pairwise(column)):
            found.append(f"metrics: {counter} goes back")
    return found
