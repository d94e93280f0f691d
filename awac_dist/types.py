"""What travels between the stages: episodes, places in the replay, policies, calls.

NumPy only. Shape letters: T steps, O observation, A action, G goal, n rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Kind = Literal["demonstration", "prior", "online"]


@dataclass(frozen=True)
class EnvSpec:
    """The sizes and bounds of a task that everything downstream is built from.

    Attributes:
        env_id: Its Gymnasium id.
        observation_size: O, without the goal.
        action_size: A.
        action_low, action_high: [A] bounds of the actions.
        max_episode_steps: Steps after which the clock cuts an episode.
        goal_size: G; 0 where the task has no goals.
    """

    env_id: str
    observation_size: int
    action_size: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    max_episode_steps: int | None
    goal_size: int = 0

    @property
    def input_size(self) -> int:
        """What policies and critics read: the observation, then the desired goal."""
        return self.observation_size + self.goal_size


@dataclass(frozen=True)
class Origin:
    """Where a piece of experience comes from.

    Attributes:
        kind: Who made it: a demonstrator, an earlier policy, or this run's own policy.
        policy_version: grad_steps behind the weights that acted, -1 if unknown.
        worker: The rollout worker, -1 if none of ours.
        incarnation: How often that worker had been replaced before.
        episode: Number of the episode in the worker's (or the file's) own stream.
        start: Step of the episode at which this piece starts.
        seed: Seed of the environment's reset, -1 if unknown.
    """

    kind: Kind
    policy_version: int = -1
    worker: int = -1
    incarnation: int = 0
    episode: int = -1
    start: int = 0
    seed: int = -1

    @property
    def stream(self) -> tuple[int, int, int]:
        """Pieces with equal streams belong to one environment episode."""
        return self.worker, self.incarnation, self.episode


@dataclass(frozen=True, eq=False)
class Episode:
    """Columns of one environment episode, or of a piece of one; all float32.

    Attributes:
        observations: [T+1, O]; row t+1 follows action t.
        actions: [T, A] as the policy chose them, before any clipping to the bounds.
        rewards: [T]
        terminated: The task ended after the last step: nothing follows, value zero.
        truncated: The clock cut it: its last observation still has a value.
        origin: Who made it.
        desired_goals, achieved_goals: [T+1, G] for goal tasks; observations leave them out.
        successes: [T] 1 where the task says that it is solved.

    Raises:
        ValueError: The columns do not fit together, or there is no step.
    """

    observations: Array
    actions: Array
    rewards: Array
    terminated: bool
    truncated: bool
    origin: Origin
    desired_goals: Array | None = None
    achieved_goals: Array | None = None
    successes: Array | None = None

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if steps == 0:
            raise ValueError("an episode needs at least one step")
        wanted = {
            "observations": steps + 1,
            "rewards": steps,
            "desired_goals": steps + 1,
            "achieved_goals": steps + 1,
            "successes": steps,
        }
        for name, length in wanted.items():
            column = getattr(self, name)
            if column is not None and len(column) != length:
                raise ValueError(f"{name} has {len(column)} rows, {steps} actions need {length}")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def total_reward(self) -> float:
        """Undiscounted sum of the rewards of this piece."""
        return float(self.rewards.sum(dtype=np.float64))


@dataclass(frozen=True)
class Layout:
    """Columns of one packed transition, the form in which shards answer the learner.

    A block [n, width] holds, side by side: observation, action, reward, discount,
    next observation. `discount` is gamma, or 0 where the task truly ended. The observation
    of a goal task is what its policy reads: the observation, then the desired goal [G].
    """

    observation_size: int
    action_size: int
    goal_size: int = 0  # of the observation's last columns

    @classmethod
    def of(cls, spec: EnvSpec) -> Layout:
        """The layout of a task's transitions."""
        return cls(spec.input_size, spec.action_size, spec.goal_size)

    @cached_property
    def observations(self) -> slice:
        return slice(0, self.observation_size)

    @cached_property
    def actions(self) -> slice:
        return slice(self.observation_size, self.observation_size + self.action_size)

    @cached_property
    def rewards(self) -> int:
        return self.observation_size + self.action_size

    @cached_property
    def discounts(self) -> int:
        return self.rewards + 1

    @cached_property
    def next_observations(self) -> slice:
        return slice(self.discounts + 1, self.width)

    @cached_property
    def goals(self) -> slice:
        return slice(self.observation_size - self.goal_size, self.observation_size)

    @cached_property
    def next_goals(self) -> slice:
        return slice(self.width - self.goal_size, self.width)

    @property
    def row_width(self) -> int:
        """Width of a stored row, which leaves the next observation to the next row."""
        return self.observation_size + self.action_size + 2

    @property
    def width(self) -> int:
        return self.row_width + self.observation_size


class Segment(NamedTuple):
    """Where a shard keeps a piece: `length` transitions from `row` on, of one source."""

    source: str
    shard: int
    row: int
    length: int
    goal: tuple[float, ...] = ()  # [G] that it was after
    key: tuple[int, ...] = ()  # names the piece in its source, wherever it lies


class Relabelling(NamedTuple):
    """Which goals to put in place of those of some transitions; NaN leaves what there is."""

    futures: Array  # [n] in [0, 1): how far on in the rest of the episode a goal is achieved
    goals: Array  # [n, G] of other episodes


class Outcome(NamedTuple):
    """What a task says of steps that achieved some goals and were after others."""

    rewards: Array  # [n]
    terminated: NDArray[np.bool_]  # [n]


class Loaded(NamedTuple):
    """What a shard read before it was sampled: counts and places, no arrays."""

    placed: list[tuple[int, Segment]]  # prior data, with each episode's number in its source
    demonstrations: Counter[str]  # episodes of it that are demonstrations, by source
    out_of_range: Counter[str]  # steps of it whose action leaves the bounds, by source
    logged: list[Segment]  # pieces from the experience log that are still held, oldest first


class Finished(NamedTuple):
    """Totals of an episode that ended."""

    episode_return: float
    length: int


class StreamState(NamedTuple):
    """Where a worker's stream of episodes is between two calls."""

    worker: int
    incarnation: int
    next_episode: int
    under_way: tuple[tuple[int, int], ...]  # (episode, steps) in each environment; none: all ended


class RolloutReport(NamedTuple):
    """What a call to a rollout worker collected: counts and places, no arrays."""

    segments: list[Segment]
    finished: list[Finished]
    env_steps: int
    policy_version: int  # -1 if unknown
    act_s: float
    send_s: float
    dropped: int = 0  # episodes whose environment failed
    fault: str = ""  # how the last of them did
    stream: StreamState | None = None  # after the call
    env_s: float = 0.0  # of act_s, in the environments
    policy_s: float = 0.0  # of act_s, in the policy
    wait_s: float = 0.0  # between the call before this one and this call


class UpdateReport(NamedTuple):
    """What a call to the learner did."""

    grad_steps: int  # of the run so far
    updates: int  # of this call
    metrics: dict[str, float]  # means over this call
    seconds: float
    wait_s: float  # of them, waiting for the shards
    copy_s: float = 0.0  # of them, bringing the shards' answers together and to the device


@dataclass(frozen=True)
class PolicySpec:
    """Shape of a Gaussian policy, enough to read it from one flat vector.

    mean = centre + half_range * tanh(MLP(s)); std = half_range * exp(log_std), where
    log_std is squashed into [min, max] by a sigmoid. The flat vector holds, layer by
    layer, weight [out, in] then bias [out]; then either log-std logits [A], or the
    weight and bias of a second head on the last hidden layer.
    """

    layer_sizes: tuple[int, ...]  # O, hidden ..., A
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    state_dependent_std: bool
    log_std_min: float = -6.0
    log_std_max: float = 0.0

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays in the flat vector, in order."""
        pairs = zip(self.layer_sizes[:-1], self.layer_sizes[1:], strict=True)
        layers = [shape for n, m in pairs for shape in ((m, n), (m,))]
        action_size = self.layer_sizes[-1]
        if self.state_dependent_std:
            return (*layers, (action_size, self.layer_sizes[-2]), (action_size,))
        return (*layers, (action_size,))

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)


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
    vector: Array  # [P]


class WeightsReader(Protocol):
    """Where policies come from: pulled, and only if newer."""

    def pull(self, newer_than: int) -> Weights | None:
        """Newest publication, or None if its serial is not above `newer_than`."""
        ...
