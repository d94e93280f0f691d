"""`awac-dist data convert`: episodes of any format as a new dataset of ours or of Minari's.

Two passes: the first reads every episode in numbers and decides, the second writes what is kept.
So the filters see whole episodes, `--best` needs no memory for arrays, and what was cut into
fragments comes out whole. An episode is written as soon as its last fragment was read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from awac_dist.cli.bounds import Bounds, action_bounds
from awac_dist.cli.commands import Convert
from awac_dist.cli.survey import Record, Row, join, record, share_outside
from awac_dist.cli.writers import open_writer
from awac_dist.data import sources
from awac_dist.data.fitting import clipped
from awac_dist.data.format import FileInfo
from awac_dist.data.fragments import join_fragments
from awac_dist.data.sources import Source, SourceFile
from awac_dist.envs.adroit_rewards import HAND_TASKS
from awac_dist.envs.make import named_in_file
from awac_dist.errors import InputError
from awac_dist.floats import LARGEST
from awac_dist.reporting.screen import say
from awac_dist.reporting.wording import percent
from awac_dist.types import EnvSpec, Episode


def run(args: Convert) -> None:
    """Write a new dataset, and say what was kept and why the rest was not."""
    found = [sources.find(argument) for argument in args.sources]
    _check_once(found)
    for source in found:
        for remark in source.remarks:
            say(remark)
    infos = [info for source in found for info in sources.describe(source)]
    spec, bounds = _spec(infos, args)
    found = [replace(source, kind=args.kind or source.kind) for source in found]
    with open_writer(args.to, spec) as write:  # refuses now what it cannot write
        everything = join([record(*row, bounds) for row in fragments(found, args.relabel)])
        kept, dropped = choose(everything, args)
        if not kept:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
            raise InputError(f"nothing is left to write: {reasons or 'no episodes'}")
        episodes = _whole(kept, fragments(found, args.relabel))
        if args.clip_actions:
            episodes = (clipped(episode, spec) for episode in episodes)
        write(episodes)
    steps, all_steps = (sum(e.length for e in episodes) for episodes in (kept, everything))
    say(
        f"kept     {len(kept):,} of {len(everything):,} episodes, "
        f"{steps:,} of {all_steps:,} transitions"
    )
    for reason, count in dropped.items():
        say(f"dropped  {count:,} that {'are ' if reason.startswith('not') else ''}{reason}")
    if args.clip_actions:
        say(f"clipped  {percent(share_outside(kept))} of all action entries, to {bounds.origin}")
    say(f"wrote    {args.to}, of {spec.env_id}")


def fragments(
    found: Iterable[Source], relabel: str | None
) -> Iterator[tuple[SourceFile, int, Episode]]:
    """Every row of some sources, rewarded by the rule of a task where one is named."""
    for source in found:
        for file, number, episode in sources.episodes(source):
            place = f"{file.path}: episode {number}"
            yield file, number, relabelled(relabel, place, episode) if relabel else episode


def relabelled(task: str, place: str, episode: Episode) -> Episode:
    """The episode with rewards of -1 or 0 and successes of 0 or 1 by a hand task's own function.

    Its observation t+1 decides about step t. Raises InputError where they are not that task's.
    """
    (wanted, success), width = HAND_TASKS[task], episode.observations.shape[1]
    if width != wanted:
        raise InputError(
            f"{place}: {task}: observations of {width} numbers are too "
            f"{'narrow' if width < wanted else 'wide'}, the task has {wanted}: "
            "relabel data of that task only"
        )
    successes = success(episode.observations[1:]).astype(np.float32)
    return replace(episode, rewards=successes - 1, successes=successes)


def choose(everything: Sequence[Record], args: Convert) -> tuple[list[Record], Counter[str]]:
    """Episodes to keep, in order, and how many are dropped by what reason."""
    reasons = [_reason(episode, args) for episode in everything]
    dropped = Counter(reason for reason in reasons if reason is not None)
    kept = [e for e, reason in zip(everything, reasons, strict=True) if reason is None]
    if args.best is not None:
        returns = np.array([episode.total_reward for episode in kept])
        best = np.argsort(-returns, kind="stable")[: max(args.best, 0)]
        chosen, option = [kept[place] for place in sorted(best)], f"--best {args.best}"
    elif args.first is not None:
        chosen, option = kept[: max(args.first, 0)], f"--first {args.first}"
    else:
        return kept, dropped
    if len(chosen) < len(kept):
        dropped[f"not among the {option}"] += len(kept) - len(chosen)
    return chosen, dropped


def _reason(episode: Record, args: Convert) -> str | None:
    """Why an episode is dropped, None if it is kept."""
    if episode.unusable:
        return f"hold NaN or a number beyond {LARGEST:g}"
    if args.successful and episode.solved_last is None:
        path, number = episode.rows[-1]
        raise InputError(
            f"{path}: episode {number}: does not say whether it is a success: "
            "leave --successful out, or give --relabel TASK"
        )
    for name, value, least, most in (
        ("return", episode.total_reward, args.min_return, args.max_return),
        ("length", episode.length, args.min_length, args.max_length),
    ):
        if least is not None and not value >= least:
            return f"fail --min-{name} {least:g}"
        if most is not None and not value <= most:
            return f"fail --max-{name} {most:g}"
    return "fail --successful" if args.successful and not episode.solved_last else None


def _whole(
    kept: Sequence[Record], rows: Iterable[tuple[SourceFile, int, Episode]]
) -> Iterator[Episode]:
    """The episodes that are kept, each as soon as all of its fragments were read."""
    owner = {row: episode.rows for episode in kept for row in episode.rows}
    waiting: dict[tuple[Row, ...], list[Episode]] = defaultdict(list)
    for file, number, fragment in rows:
        if whole := owner.get((file.path, number)):
            waiting[whole].append(fragment)
            if len(waiting[whole]) == len(whole):
                yield from join_fragments(waiting.pop(whole))


def _check_once(found: Sequence[Source]) -> None:
    files = Counter(file.path for source in found for file in source.files)
    twice = [path for path, count in files.items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]} is among the sources more than once: name it once")


def _spec(infos: Sequence[FileInfo], args: Convert) -> tuple[EnvSpec, Bounds]:
    """Task and sizes of the result; InputError where the sources differ in them, or do not say."""
    sizes = {(info.observation_size, info.action_size) for info in infos}
    if len(sizes) != 1:
        shown = " and ".join(f"{o} and {a}" for o, a in sorted(sizes))
        raise InputError(f"the files have observations and actions of {shown} numbers: give one")
    stated = sorted({info.env_id for info in infos if info.env_id})
    env_id = typed = args.env or (args.relabel and f"awac_dist/{args.relabel}-v0")
    if env_id is None and len(stated) != 1:
        says = f"are of {', '.join(stated)}" if stated else "do not say of which task they are"
        raise InputError(f"the sources {says}: give --env ID")
    if env_id is None:
        env_id = named_in_file(stated[0], "the sources")
    of_result = [replace(info, env_id=env_id) for info in infos]
    bounds = action_bounds(of_result, typed if args.clip_actions else None)
    if args.clip_actions and not bounds.known:
        raise InputError(f"--clip-actions: the bounds are {bounds.origin}")
    ((observation_size, action_size),) = sizes
    goal_sizes = {info.goal_size for info in infos}
    goal_size = goal_sizes.pop() if len(goal_sizes) == 1 else 0
    low, high = (tuple(np.broadcast_to(edge, action_size).tolist()) for edge in bounds[:2])
    return EnvSpec(env_id, observation_size, action_size, low, high, None, goal_size), bounds
