"""What a shard keeps: prior data and online fragments, each in a ring of its own.

A row number names a row of either for ever: online rows are numbered from `ONLINE_ROWS` on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from awac_dist.errors import NotFinite
from awac_dist.messages import Outcome, Relabelling
from awac_dist.replay.columns import COLUMNS
from awac_dist.replay.columns.stretches import take_steps_together
from awac_dist.replay.columns.taken import Taken, alive
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.episodes import EpisodeIndex, Rest
from awac_dist.replay.hindsight import GoalRewards, Hindsight
from awac_dist.replay.layout import NO_WISHES, Layout, Wishes
from awac_dist.replay.ring import RingBuffer, inputs
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, EnvSpec, Episode

ONLINE_ROWS = 1 << 40


class Memory:
    """Stores fragments and hands out their transitions by row number.

    Args:
        spec: The task.
        discount: gamma.
        config: How rewards are scaled and shifted.
        goal_rewards: The rule by which a goal task rewards other goals; None for other tasks.
    """

    def __init__(
        self,
        spec: EnvSpec,
        *,
        discount: float,
        config: ReplayConfig,
        goal_rewards: GoalRewards | None = None,
    ) -> None:
        self._spec, self._config = spec, config
        rule = goal_rewards and _Learned(config, goal_rewards)
        self._prior = _Half(spec, discount, rule, online=False)
        self._online = _Half(spec, discount, rule, online=True)

    def next_row(self, source: str) -> int:
        """Number of the row in which the next fragment of a source will begin."""
        return self._of(source).ring.next_row

    def store(self, fragment: Episode, source: str) -> int:
        """Keep a fragment; returns the number of its first row."""
        rewards = self._config.learned_rewards(fragment.rewards)
        if rewards is not fragment.rewards:
            fragment = replace(fragment, rewards=rewards)
        return self._of(source).store(fragment, source)

    def skip(self, fragment: Episode, source: str) -> int:
        """Leave a fragment out that nobody will ask for: numbers go on as if it were kept.

        Its episode is known, and goes on with the fragments that follow it.
        """
        return self._of(source).skip(fragment, source)

    def release(self, row: int) -> None:
        """Forget the online rows below a number, which nobody will ask for any more."""
        self._online.release(row)

    @property
    def held_from(self) -> int:
        """The lowest online row that is still held."""
        return self._online.ring.oldest_row

    def holds(self, row: int) -> bool:
        """Whether a row that was written is still there."""
        half = self._online if row >= ONLINE_ROWS else self._prior
        return row >= half.ring.oldest_row

    def take(
        self,
        rows: np.ndarray,
        relabelling: Relabelling | None = None,
        wishes: Wishes = NO_WISHES,
        known: tuple[int, int] | None = None,
    ) -> Array:
        """Transitions [n, width] for the row numbers [n], in one contiguous block.

        Args:
            rows: [n] numbers.
            relabelling: Goals to put in place of those of a goal task.
            wishes: What is wanted besides the base columns.
            known: Prior and online row from which on nothing counts as known yet; None: all is.

        Raises:
            LookupError: A row is not held, or holds NaN.
            InputError: The columns that are wished for are not known of other goals.
        """
        if relabelling is not None:
            wishes.check_goals()
        online = rows >= ONLINE_ROWS
        layout = Layout.of(self._spec, wishes)
        limits = known or (None, None)
        if not online.any():
            return self._prior.take(rows, relabelling, layout, limits[0])
        if online.all():
            return self._online.take(rows, relabelling, layout, limits[1])
        block = np.empty((len(rows), layout.width), np.float32)
        parts = ((self._prior, ~online), (self._online, online))
        for (half, mine), limit in zip(parts, limits, strict=True):
            block[mine] = half.take(rows[mine], _only(relabelling, mine), layout, limit)
        return block

    def _of(self, source: str) -> _Half:
        return self._online if source == ONLINE else self._prior


class _Half:
    """Prior data or online fragments: a ring, its episodes, and what relabels them."""

    def __init__(
        self, spec: EnvSpec, discount: float, goal_rewards: GoalRewards | None, *, online: bool
    ) -> None:
        self._layout, self._online = Layout.of(spec), online
        first_row = ONLINE_ROWS if online else 0
        self.ring = RingBuffer(self._layout, discount=discount, first_row=first_row)
        self._episodes = EpisodeIndex(self._layout.observation_size)
        self._hindsight = goal_rewards and Hindsight(self.ring, self._layout, goal_rewards)

    def store(self, fragment: Episode, source: str) -> int:
        return self._register(self.ring.append(fragment), fragment, source)

    def skip(self, fragment: Episode, source: str) -> int:
        return self._register(self.ring.skip(len(fragment) + 1), fragment, source)

    def release(self, row: int) -> None:
        self.ring.release(row)
        self._episodes.release(row)

    def take(
        self, rows: np.ndarray, relabelling: Relabelling | None, layout: Layout, known: int | None
    ) -> Array:
        """Transitions [n, width]; one copy where nothing but the base columns is wanted."""
        if relabelling is None and layout.wishes == NO_WISHES:
            return self.ring.take(rows)
        rest, goals = self._episodes.rest(rows, known), None
        if relabelling is not None and self._hindsight is not None:
            goals = self._hindsight.goals(rest, relabelling)
        if layout.wishes == NO_WISHES:
            return self._transitions(rows, goals)
        return _filled(self._stretch(rest, goals, layout))

    def _register(self, row: int, fragment: Episode, source: str) -> int:
        initial = inputs(fragment, self._layout)[0]
        self._episodes.append((source, fragment.origin.stream), row, fragment, initial)
        return row

    def _transitions(self, rows: np.ndarray, goals: Array | None) -> Array:
        """Base columns [n, base width]."""
        block = self.ring.take(rows)
        if goals is not None and self._hindsight is not None:
            self._hindsight.relabel(block, rows, goals)
        return block

    def _stretch(self, rest: Rest, goals: Array | None, layout: Layout) -> Taken:
        """Transitions and as many that follow them as the wishes reach."""
        reach = layout.wishes.reach
        rows, known = rest.transitions(reach)
        repeated = None if goals is None else np.repeat(goals, reach, axis=0)
        stretch = self._transitions(rows.ravel(), repeated).reshape(len(rows), reach, -1)
        before_end = alive(known, stretch[:, :, layout.discounts])
        return Taken(self.ring, layout, self._online, rest, goals, stretch, before_end)


class _Learned:
    """A task's rule for goals, its rewards as they are learned from."""

    def __init__(self, config: ReplayConfig, rule: GoalRewards) -> None:
        self._config, self._rule = config, rule

    def __call__(self, achieved: Array, desired: Array) -> Outcome:
        outcome = self._rule(achieved, desired)
        return outcome._replace(rewards=self._config.learned_rewards(outcome.rewards))


def _filled(taken: Taken) -> Array:
    """Transitions [n, width] with every column that was wished for."""
    layout = taken.layout
    block = np.full((len(taken.stretch), layout.width), np.nan, np.float32)
    block[:, : layout.base_width] = taken.stretch[:, 0]
    if layout.wishes.n_steps > 1:
        take_steps_together(taken, block)
    columns = layout.views(block)
    for need in layout.wishes.needs:
        COLUMNS[need](taken, columns)
    bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(bad):
        row = taken.rest.rows[bad[0]] % ONLINE_ROWS
        raise NotFinite(f"the episode of row {row} holds NaN or infinity", block)
    return block


def _only(relabelling: Relabelling | None, mine: np.ndarray) -> Relabelling | None:
    return relabelling and Relabelling(relabelling.futures[mine], relabelling.goals[mine])
