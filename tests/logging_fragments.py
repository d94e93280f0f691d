"""Fragments as workers send them, for tests of what keeps them; run as a program, it logs them."""

import sys
from collections.abc import Iterator
from itertools import islice

import numpy as np

from awac_dist.data.experience import ExperienceLog
from awac_dist.data.fragments import LoggedFragment
from awac_dist.messages import Placement
from awac_dist.replay.shard import ReplayShard
from awac_dist.types import Array, EnvSpec, Episode, Origin

SPEC = EnvSpec("Counting-v0", 3, 2, (-1.0, -1.0), (1.0, 1.0), 20)
CLONE_FRAGMENTS = 12  # the first ones are prior data


def fragments(seed: int, spec: EnvSpec = SPEC) -> Iterator[tuple[Episode, str]]:
    """Fragments of episodes of three workers without end, with the source that each is sent to."""
    rng = np.random.default_rng(seed)
    episodes = [0, 0, 0]
    starts = [0, 0, 0]
    last: dict[int, Array] = {}
    number = 0
    while True:
        worker, steps = int(rng.integers(3)), int(rng.integers(1, 9))
        origin = Origin(
            "online", number, worker, 0, episodes[worker], starts[worker], seed=episodes[worker]
        )
        ends = rng.random() < 0.3
        terminated = bool(ends and rng.random() < 0.5)
        normal = rng.standard_normal
        states = normal((steps + 1, spec.observation_size + 2 * spec.goal_size), np.float32)
        if starts[worker]:
            states[0] = last[worker]  # a fragment goes on where the one before it stopped
        last[worker] = states[-1]
        inputs, desired, achieved = np.split(
            states, np.cumsum([spec.observation_size, spec.goal_size]), axis=1
        )
        goals = spec.goal_size
        yield (
            Episode(
                inputs,
                normal((steps, spec.action_size), np.float32),
                normal(steps, np.float32),
                terminated,
                bool(ends and not terminated),
                origin,
                desired_goals=desired if goals else None,
                achieved_goals=achieved if goals else None,
                successes=normal(steps, np.float32) if worker == 1 else None,
            ),
            "clone" if number < CLONE_FRAGMENTS else "online",
        )
        number += 1
        ends = ends or number == CLONE_FRAGMENTS
        episodes[worker] += ends
        starts[worker] = 0 if ends else starts[worker] + steps


def first(count: int, seed: int = 0, spec: EnvSpec = SPEC) -> list[tuple[Episode, str]]:
    return list(islice(fragments(seed, spec), count))


def key(fragment: Episode) -> tuple[int, ...]:
    return *fragment.origin.stream, fragment.origin.start


def insert(shard: ReplayShard, fragment: Episode, source: str) -> Placement:
    """Insert a fragment; returns where the shard announces it."""
    shard.insert(fragment, source)
    return next(place for place in shard.since(None).placements if place.key == key(fragment))


def make_shard(folder: str, index: int = 0, of: int = 1, session: int = 0) -> ReplayShard:
    return ReplayShard(
        index,
        of,
        SPEC,
        discount=0.9,
        log=ExperienceLog(folder, index, SPEC, session),
    )


def same(ours: LoggedFragment, theirs: LoggedFragment) -> bool:
    """Whether two fragments are equal to the byte, wherever they come from."""
    if ours[1:] != theirs[1:] or ours.episode.origin != theirs.episode.origin:
        return False
    return describe(ours.episode) == describe(theirs.episode)


def describe(episode: Episode) -> tuple[object, ...]:
    columns = (
        episode.observations,
        episode.actions,
        episode.rewards,
        episode.successes,
        episode.desired_goals,
        episode.achieved_goals,
    )
    ends = (episode.terminated, episode.truncated)
    return *ends, *(None if column is None else column.tobytes() for column in columns)


def log_for_ever(folder: str, seed: int) -> None:
    """Insert fragments, and tell the key of each once it was acknowledged."""
    shard = make_shard(folder)
    shard.load()
    for fragment, source in fragments(seed):
        shard.insert(fragment, source)
        print(*key(fragment), flush=True)


if __name__ == "__main__":
    log_for_ever(sys.argv[1], int(sys.argv[2]))
