"""`awac-dist data convert`: episodes of any format as a new dataset of ours or of Minari's.

Two passes: the first reads every episode in numbers and decides, the second writes what is kept.
So the filters see whole episodes, `--best` needs no memory for arrays, and what was cut into
fragments comes out whole. An episode is written as soon as its last fragment was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from awac_dist.cli.bounds import Bounds, action_bounds
from awac_dist.cli.commands import Convert
from awac_dist.cli.records import Record, Row, join, record
from awac_dist.cli.relabel import relabelled
from awac_dist.cli.survey import Actions
from awac_dist.cli.writers import open_writer
from awac_dist.data import sources
from awac_dist.data.format import FileInfo
from awac_dist.data.fragments import join_fragments
from awac_dist.data.sources import Source, SourceFile
from awac_dist.envs.make import named_in_file
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Kind


@dataclass(frozen=True)
class Changes:
    """What happens to every episode.

    Attributes:
        kind: Who is said to have made it, None to leave it.
        clip: Bounds to clip actions to, None to leave them.
        relabel: Task whose rewards it gets, None to leave them.
        clipped: Counts what clipping changed.
    """

    kind: Kind | None
    clip: Bounds | None
    relabel: str | None
    clipped: Actions = field(default_factory=Actions)

    def apply(self, file: SourceFile, number: int, episode: Episode) -> Episode:
        if self.relabel is not None:
            episode = relabelled(self.relabel, f"{file.path}: episode {number}", episode)
        if self.clip is not None:
            self.clipped.see(episode.actions, self.clip)
            episode = replace(episode, actions=self.clip.clip(episode.actions))
        if self.kind is not None:
            episode = replace(episode, origin=replace(episode.origin, kind=self.kind))
        return episode


def run(args: Convert) -> None:
    """Write a new dataset, and say what was kept and why the rest was not."""
    found = [sources.find(argument) for argument in args.sources]
    _check_once(found)
    infos = [info for source in found for info in sources.describe(source)]
    spec, bounds = _spec(infos, args)
    changes = Changes(args.kind, bounds if args.clip_actions else None, args.relabel)
    with open_writer(args.to, spec) as write:  # refuses now what it cannot write
        everything = _read(found, replace(changes, clip=None))
        kept, dropped = choose(everything, args)
        if not kept:
            raise InputError(f"nothing is left to write: {_reasons(dropped) or 'no episodes'}")
        _write(found, changes, kept, write)
    for line in _account(everything, kept, dropped):
        print(line)
    if changes.clip is not None:
        actions = changes.clipped
        share = f"{100 * actions.outside / max(actions.entries, 1):.3g} %"
        print(f"clipped  {share} of all action entries, to {bounds.origin}")
    print(f"wrote    {args.to}, of {spec.env_id}")


def choose(everything: Sequence[Record], args: Convert) -> tuple[list[Record], Counter[str]]:
    """Episodes to keep, in order, and how many are dropped by what reason."""
    dropped: Counter[str] = Counter()
    kept = []
    for episode in everything:
        reason = _reason(episode, args)
        if reason is None:
            kept.append(episode)
        else:
            dropped[reason] += 1
    chosen = _some(kept, args)
    if len(chosen) < len(kept):
        option = f"--first {args.first}" if args.best is None else f"--best {args.best}"
        dropped[f"not among the {option}"] += len(kept) - len(chosen)
    return chosen, dropped


def _reason(episode: Record, args: Convert) -> str | None:
    """Why an episode is dropped, None if it is kept. A return that is NaN is within no bounds."""
    returns, length = episode.total_reward, episode.length
    if args.successful and episode.solved_last is None:
        row = episode.rows[-1]
        raise InputError(
            f"{row.path}: episode {row.number}: does not say whether it is a success: "
            "leave --successful out, or give --relabel TASK"
        )
    for name, limit, passes in (
        ("min-return", args.min_return, lambda least: returns >= least),
        ("max-return", args.max_return, lambda most: returns <= most),
        ("min-length", args.min_length, lambda least: length >= least),
        ("max-length", args.max_length, lambda most: length <= most),
    ):
        if limit is not None and not passes(limit):
            return f"fail --{name} {limit:g}"
    return "fail --successful" if args.successful and not episode.solved_last else None


def _some(kept: list[Record], args: Convert) -> list[Record]:
    if args.first is not None:
        return kept[: max(args.first, 0)]
    if args.best is None:
        return kept
    returns = np.nan_to_num([episode.total_reward for episode in kept], nan=-np.inf)
    order = np.argsort(-returns, kind="stable")[: max(args.best, 0)]
    return [kept[place] for place in sorted(order)]


def _read(found: Sequence[Source], changes: Changes) -> list[Record]:
    """Every episode in numbers, as the filters should see it."""
    rows = _fragments(found)
    return join([record(file, n, changes.apply(file, n, fragment)) for file, n, fragment in rows])


def _fragments(found: Sequence[Source]) -> Iterator[tuple[SourceFile, int, Episode]]:
    for source in found:
        yield from sources.episodes(source)


def _write(
    found: Sequence[Source],
    changes: Changes,
    kept: Sequence[Record],
    write: Callable[[Episode], None],
) -> None:
    """Write the episodes that are kept, each as soon as all of its fragments were read."""
    owner = {row: episode for episode in kept for row in episode.rows}
    waiting: dict[tuple[Row, ...], list[Episode]] = {}
    for file, number, fragment in _fragments(found):
        whole = owner.get(Row(file.path, number))
        if whole is None:
            continue
        fragments = waiting.setdefault(whole.rows, [])
        fragments.append(changes.apply(file, number, fragment))
        if len(fragments) == len(whole.rows):
            (episode,) = join_fragments(waiting.pop(whole.rows))
            write(episode)


def _check_once(found: Sequence[Source]) -> None:
    files = Counter(file.path for source in found for file in source.files)
    twice = [path for path, count in files.items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]} is among the sources more than once: name it once")


def _spec(infos: Sequence[FileInfo], args: Convert) -> tuple[EnvSpec, Bounds]:
    """Task and sizes of the result.

    Raises:
        InputError: The sources do not agree on them, or do not say.
    """
    sizes = {(info.observation_size, info.action_size) for info in infos}
    if len(sizes) != 1:
        shown = " and ".join(f"{o} and {a}" for o, a in sorted(sizes))
        raise InputError(f"the files have observations and actions of {shown} numbers: give one")
    stated = sorted({info.env_id for info in infos if info.env_id})
    relabelled_id = args.relabel and f"awac_dist/{args.relabel}-v0"
    env_id = args.env or relabelled_id
    if env_id is None and len(stated) != 1:
        says = f"are of {', '.join(stated)}" if stated else "do not say of which task they are"
        raise InputError(f"the sources {says}: give --env ID")
    if env_id is None:
        env_id = named_in_file(stated[0], "the sources")
    bounds = action_bounds(infos, args.env if args.clip_actions else None)
    observation_size, action_size = sizes.pop()
    goal_sizes = {info.goal_size for info in infos}
    goal_size = goal_sizes.pop() if len(goal_sizes) == 1 else 0
    low, high = (np.broadcast_to(edge, action_size) for edge in (bounds.low, bounds.high))
    ends = tuple(map(float, low)), tuple(map(float, high))
    return EnvSpec(env_id, observation_size, action_size, *ends, None, goal_size), bounds


def _account(
    everything: Sequence[Record], kept: Sequence[Record], dropped: Counter[str]
) -> Iterator[str]:
    steps, all_steps = (sum(e.length for e in episodes) for episodes in (kept, everything))
    yield (
        f"kept     {len(kept):,} of {len(everything):,} episodes, "
        f"{steps:,} of {all_steps:,} transitions"
    )
    for reason, count in dropped.items():
        yield f"dropped  {count:,} that {'are ' if reason.startswith('not') else ''}{reason}"


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
