"""`awac-dist data validate`: file, episode, row and column of what is wrong, and a remedy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from awac_dist.cli.bounds import Bounds, action_bounds
from awac_dist.cli.commands import Validate
from awac_dist.cli.survey import COLUMNS, digest
from awac_dist.data import record, sources
from awac_dist.data.arguments import split
from awac_dist.data.fitting import goal_fault
from awac_dist.data.format import FileInfo
from awac_dist.data.sources import Source, SourceFile
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.floats import LARGEST
from awac_dist.reporting.screen import say
from awac_dist.reporting.wording import counted
from awac_dist.types import Episode

NUMBERS = re.compile(r"[\d.,]*\d")  # in which equal faults differ
FLAWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "NaN": np.isnan,
    "infinite": np.isinf,
    "too large for float32": lambda column: np.isfinite(column) & (np.abs(column) > LARGEST),
}


@dataclass(frozen=True)
class _Seen:
    """What was found so far in all sources."""

    infos: dict[str, FileInfo] = field(default_factory=dict)  # by path
    files: dict[str, SourceFile] = field(default_factory=dict)  # by what is in them
    episodes: dict[bytes, str] = field(default_factory=dict)  # by what is in them


def run(options: Validate) -> int:
    """Print everything that is wrong with some sources; returns 0, or 1 if there is something."""
    if options.env is not None:
        env_spec(options.env)  # which refuses a task that cannot be made
    unchecked: set[str] = set()
    alike: dict[str, list[str]] = {}
    for line in findings(options.sources, options.env, unchecked):
        alike.setdefault(NUMBERS.sub("", line), []).append(" ".join(line.split()))
    for first, *others in alike.values():
        say(first + (f" (and {counted(len(others), 'place')} more like it)" if others else ""))
    for origin in sorted(unchecked):
        say(f"not checked: actions, whose bounds are {origin}")
    count = sum(map(len, alike.values()))
    nothing = f"nothing wrong in {', '.join(options.sources)}"
    say(f"{counted(count, 'problem')} found" if count else nothing)
    return 1 if count else 0


def findings(arguments: Sequence[str], env_id: str | None, unchecked: set[str]) -> Iterator[str]:
    """Everything that is wrong with some sources, as it is found: place, problem, remedy.

    `unchecked` is told why actions of theirs could not be compared with bounds.
    """
    seen = _Seen()
    for argument in arguments:
        try:
            source = sources.find(argument)
        except InputError as error:
            if not Path(split(argument)[0]).exists():
                raise
            yield str(error)
            continue
        yield from source.remarks
        yield from _source_findings(source, seen, env_id, unchecked)
    yield from _mismatches(seen.infos)


def _source_findings(
    source: Source, seen: _Seen, env_id: str | None, unchecked: set[str]
) -> Iterator[str]:
    """What is wrong with one source, by itself and beside what was `seen`, to which it is added."""
    spec = None if env_id is None else env_spec(env_id)
    ends: Counter[str] = Counter()
    refused = False
    rewards: set[float] = set()  # the first two values that differ
    for file in source.files:
        part = replace(source, files=(file,))
        try:
            (info,) = sources.describe(part)
            seen.infos[file.path] = info
            record.check_copy(replace(file, digest=record.digest(file)), source.keys, seen.files)
            if spec is not None:
                sources.fitting(part, spec)
                info = replace(info, goal_size=spec.goal_size)
            bounds = action_bounds([info], env_id)
            if not bounds.known:
                unchecked.add(bounds.origin)
            for _, number, episode in sources.episodes(part):
                ends[_end(episode, bounds.steps)] += 1
                if len(rewards) < 2:
                    rewards.update(np.unique(episode.rewards)[:2].tolist())
                place, own = f"{file.path}: episode {number}", f"episode {number} of {file.path}"
                earlier = seen.episodes.setdefault(digest(episode), own)
                if earlier != own:
                    yield f"{place}: is equal to {earlier}: leave one of them out"
                yield from episode_findings(place, episode, info, bounds)
        except InputError as error:
            refused = True
            yield f"{error}: the rest of this file was not checked"
    if ends:
        yield from _whole_findings(source.name, ends, rewards)
    elif not refused:
        yield f"{source.name}: holds no episodes: give another source"


def _end(episode: Episode, steps: int | None) -> str:
    """How an episode ended, of a task that the clock cuts after so many steps."""
    if episode.terminated:
        return "by the clock" if len(episode) == steps and not episode.truncated else "terminated"
    return "truncated" if episode.truncated else "cut"


def _whole_findings(name: str, ends: Counter[str], rewards: set[float]) -> Iterator[str]:
    """What is wrong with all episodes of a source together."""
    if len(rewards) == 1:
        yield (
            f"{name}: column rewards: always {rewards.pop():g}: "
            "convert with --relabel TASK, or add data where some step earns another one"
        )
    if ends["by the clock"] > ends["terminated"]:
        yield (
            f"{name}: column terminated: {ends['by the clock']:,} episodes ended in the step in "
            "which the task's clock cuts: if it was the clock, mark them as truncated (in "
            "robomimic's files by dones of 0)"
        )
    if ends["cut"] == ends.total():
        yield (
            f"{name}: columns terminated and truncated: all {ends.total():,} episodes are cut: "
            "none says how it ended: mark the last step of each as terminated (the task ended) "
            "or truncated (the clock)"
        )


def episode_findings(place: str, episode: Episode, info: FileInfo, bounds: Bounds) -> Iterator[str]:
    """What is wrong with one episode by itself."""
    if fault := goal_fault(episode, info.goal_size):
        yield f"{place}, column {fault}"
    for name in COLUMNS:
        column = getattr(episode, name)
        for what, test in FLAWS.items():
            if column is not None and (wrong := test(column)).any():
                remedy = "leave the episode out, as convert does, or record it again"
                yield f"{place}, {_first(wrong, name)}: {what}: {remedy}"
    observations, actions = episode.observations, episode.actions
    widths, wanted = (observations.shape[1], actions.shape[1]), _sizes(info)
    if widths != wanted:
        has, needs = (f"{o} and {a}" for o, a in (widths, wanted))
        yield f"{place}: has {has} columns, not {needs}: leave it out"
        return
    if len(episode) > 1 and bool((observations == observations[0]).all()):
        remedy = "leave it out: nothing can be learned from a robot that stands still"
        yield f"{place}, column observations: never change: {remedy}"
    if bounds.steps is not None and len(episode) > bounds.steps:
        yield (
            f"{place}: has {len(episode):,} steps, the task at most {bounds.steps:,}: is an end "
            f"missing? episode_steps={bounds.steps} behind the source cuts there"
        )
    outside = bounds.outside(actions)
    by_our_worker = episode.origin.worker >= 0  # which keep actions as they were chosen
    if outside.any() and episode.origin.kind != "online" and not by_our_worker:
        most = float(np.abs(actions[outside]).max())
        yield (
            f"{place}, {_first(outside, 'actions')}: outside {bounds.origin}, by magnitude up to "
            f"{most:.3g}: scale them if their unit is another one, or convert with --clip-actions"
        )


def _first(wrong: np.ndarray, name: str) -> str:
    """Row and column of the first entry that is wrong, and how many there are."""
    row, *column = np.argwhere(wrong)[0]
    where = f"{name}[{column[0]}]" if column else name
    more = int(wrong.sum()) - 1
    return f"row {row}, column {where}" + (f" and {more:,} more entries" if more else "")


def _mismatches(infos: dict[str, FileInfo]) -> Iterator[str]:
    """Files that do not fit the first one."""
    files = list(infos.items())
    for file, info in files[1:]:
        first_file, first = files[0]
        found, wanted = _sizes(info), _sizes(first)
        if found != wanted:
            yield (
                f"{file}: observations [T+1, {found[0]}] and actions [T, {found[1]}], but "
                f"{first_file} has {wanted[0]} and {wanted[1]}: give data of one task only"
            )
        elif None not in (first.env_id, info.env_id) and first.env_id != info.env_id:
            yield (
                f"{file}: is of {info.env_id}, but {first_file} is of {first.env_id}: "
                "give data of one task only"
            )


def _sizes(info: FileInfo) -> tuple[int, int]:
    return info.observation_size, info.action_size
