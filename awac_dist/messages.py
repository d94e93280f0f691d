"""What travels between components: places in the replay, counts, reports, weights, calls.

Counts and places mostly. Shape letters: A action, G goal, P parameters, n rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from awac_dist.types import Array


class Placement(NamedTuple):
    """Where a shard keeps a fragment: `length` transitions from `row` on, of one source."""

    source: str
    shard: int
    row: int
    length: int
    goal: tuple[float, ...] = ()  # [G] that it was after
    key: tuple[int, ...] = ()  # names the fragment in its source, wherever it lies


def shard_of(stream: tuple[int, int, int], num_shards: int) -> int:
    """The shard that keeps all fragments of one of our workers' episodes, an `Origin.stream`."""
    worker, _, episode = stream
    return (worker + episode) % num_shards


class Relabelling(NamedTuple):
    """Which goals to put in place of those of some transitions; NaN leaves what there is."""

    futures: Array  # [n] in [0, 1): how far on in the rest of the episode a goal is achieved
    goals: Array  # [n, G] of other episodes


class Outcome(NamedTuple):
    """What a task says of steps that achieved some goals and were after others."""

    rewards: Array  # [n]
    terminated: NDArray[np.bool_]  # [n]


class Sums(NamedTuple):
    """Of observations: how many, and exact sums of theirs and of their squares."""

    observations: int = 0
    sums: tuple[int, ...] = ()  # [O] in the fixed point of `replay.normalization`
    squares: tuple[int, ...] = ()  # [O]


FIRST_STEPS = 3  # of an episode of prior data, beside those of a trial of the task
Range = tuple[float, float]  # lowest and highest


class Extents(NamedTuple):
    """Between which numbers some data lies."""

    observations: tuple[Range, ...] = ()  # [O], without goals
    first_observations: tuple[Range, ...] = ()  # [O] of episodes
    rewards: tuple[Range, ...] = ()  # [1]
    first_rewards: tuple[Range, ...] = ()  # [1] of the first steps of episodes


class Cursor(NamedTuple):
    """How much of what a shard announces was heard."""

    boot: int  # names the shard's process: another one announces everything again
    placements: int


class Announced(NamedTuple):
    """What a shard accepted and was not asked for yet, in that order."""

    placements: list[Placement]
    cursor: Cursor  # to ask with the next time
    held_from: int  # the lowest online row that is still held


class Loaded(NamedTuple):
    """What a shard read of the prior data, by source: counts and statistics only."""

    episodes: Counter[str]
    transitions: Counter[str]
    demonstrations: Counter[str]  # episodes that are demonstrations
    out_of_range: Counter[str]  # steps whose action leaves the bounds
    too_long: Counter[str]  # episodes of more steps than the task has
    sums: list[Sums]  # one of each source that did not join later, of what networks read
    extents: list[Extents]  # one of each source


class Tally(NamedTuple):
    """Some fragments, counted."""

    fragments: int
    steps: int


class Holdings(NamedTuple):
    """What is registered for learning, over the whole run, and what strayed."""

    registered: dict[str, Tally]  # by source, the forgotten ones too
    strays: Tally  # what waits beyond the positions that were given, of streams that do not go on

    def steps(self, source: str) -> int:
        return self.registered.get(source, Tally(0, 0)).steps

    def fragments(self, source: str) -> int:
        return self.registered.get(source, Tally(0, 0)).fragments


class Finished(NamedTuple):
    """Totals of an episode that ended."""

    episode_return: float  # undiscounted
    length: int
    success_steps: int | None = None  # steps that report success, None if no step says whether
    success_last: bool = False  # the last step is one of them


class StreamState(NamedTuple):
    """Where a worker's stream of episodes is between two calls, at its start by default."""

    worker: int
    incarnation: int
    next_episode: int = 0
    under_way: tuple[tuple[int, int], ...] = ()  # (episode, steps) by environment, () if all ended
    memories: tuple[tuple[float, ...], ...] = ()  # what the policy keeps of each of them

    def covers(self, key: tuple[int, ...], length: int) -> bool:
        """Whether a fragment of this worker (key: worker, incarnation, episode, start) came before.

        Everything that an incarnation before this one left did.
        """
        _, incarnation, episode, start = key
        if incarnation != self.incarnation:
            return incarnation < self.incarnation
        reached = dict(self.under_way).get(episode)
        if reached is None:
            return episode < self.next_episode
        return start + length <= reached


class RolloutReport(NamedTuple):
    """What a call to a rollout worker collected, and the shards accepted: counts only."""

    fragments: int
    finished: list[Finished]
    env_steps: int
    policy_version: int  # -1 if unknown
    act_s: float
    send_s: float
    dropped: int = 0  # episodes whose environment failed
    fault: str = ""  # how the last of them did
    trace: str = ""  # where the first of them did, in full
    stream: StreamState | None = None  # after the call
    env_s: float = 0.0  # of act_s, in the environments
    policy_s: float = 0.0  # of act_s, in the policy
    wait_s: float = 0.0  # between the call before this one and this call
    taken: bool = True  # whether all were: not those of a worker that does not repeat itself


class UpdateReport(NamedTuple):
    """What a call to the learner did."""

    grad_steps: int  # of the run so far
    updates: int  # of this call
    metrics: dict[str, float]  # means over this call
    seconds: float
    wait_s: float  # of them, waiting for the shards
    copy_s: float = 0.0  # of them, bringing the shards' answers together and to the device
    note: str = ""  # what a person may want to know
    let_off: int = 0  # further updates of a pause, which would change nothing


Rounds = Sequence[Sequence[StreamState]]


class Future(Protocol):
    """The answer to a call that was posted."""

    def result(self) -> Any: ...


class Handle(Protocol):
    """A component that may live in another process.

    An inline handle calls at once, a Ray handle posts; whoever holds one cannot tell.
    """

    def post(self, method: str, *arguments: Any, **named: Any) -> Future: ...


class Weights(NamedTuple):
    """One publication of a policy."""

    serial: int  # counts publications
    version: int  # grad_steps behind the weights
    spec: Any  # the `PolicySpec` that says what is computed from them: a clone's is another one
    vector: Array  # [P]


class WeightsReader(Protocol):
    """Where policies come from: pulled, and only if new."""

    def pull(self, known: int) -> Weights | None:
        """Newest publication, or None if it is the one with a serial that is known."""
        ...
