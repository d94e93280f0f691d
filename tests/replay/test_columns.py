"""Columns on demand equal plain loops over a list of episodes, in any order of fragments."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from awac_dist.errors import InputError, NotFinite
from awac_dist.messages import Outcome, Relabelling
from awac_dist.replay import episodes, table
from awac_dist.replay.columns import COLUMNS
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.layout import NEEDS, Layout, Wishes
from awac_dist.replay.memory import ONLINE_ROWS
from awac_dist.replay.sampler import ONLINE
from awac_dist.replay.shard import ReplayShard
from awac_dist.tensors import Batch
from awac_dist.types import Array, EnvSpec, Episode, Origin

SPEC = EnvSpec("Counting-v0", 2, 1, (-1.0,), (1.0,), 10)
GOALS = replace(SPEC, goal_size=1)
GAMMA = 0.75  # exact in float32, as are all numbers here
CONFIG = ReplayConfig(reward_scale=2.0, reward_shift=-1.0)
SOURCES = ("demonstrations", ONLINE)


def rule(achieved: Array, desired: Array) -> Outcome:
    """A goal is met by reaching it or what lies beyond."""
    return Outcome((achieved - desired)[:, 0], (achieved >= desired)[:, 0])


class Step(NamedTuple):
    """A step of an episode as a list keeps it."""

    observation: tuple[float, ...]
    action: float
    reward: float
    discount: float
    following: tuple[float, ...]
    achieved: float  # by what follows


class Piece(NamedTuple):
    """How to go on: which stream, so many steps, how the episode then is, and what is done."""

    stream: int
    steps: int
    end: str  # "", "terminated" or "truncated"
    lost: bool
    kept: int = 1000  # online rows that are not released afterwards


class Story:
    """Fragments of some streams, in a shard and in lists of steps.

    An even stream is prior data, an odd one online. A lost fragment arrives nowhere.
    """

    def __init__(self, spec: EnvSpec, pieces: Sequence[Piece], skipped: int = 0) -> None:
        self.shard = ReplayShard(
            0,
            1,
            spec,
            discount=GAMMA,
            log=None,
            config=CONFIG,
            goal_rewards=rule if spec.goal_size else None,
        )
        self.spec = spec
        self.runs: list[list[Step]] = []
        self.places: dict[int, tuple[list[Step], int]] = {}  # row -> run, position
        self.firsts: tuple[list[int], list[int]] = ([], [])  # rows of the fragments, by source
        self._episode, self._start, self._run = ([number] * 9 for number in (0, 0, None))
        for piece in pieces:
            self._tell(piece, skip=skipped > 0 and piece.stream % 2 == 1)
            skipped -= piece.stream % 2

    def _tell(self, piece: Piece, *, skip: bool) -> None:
        stream, start = piece.stream, self._start[piece.stream]
        fragment = self._fragment(piece, start)
        self._start[stream] += piece.steps
        if piece.lost:
            self._run[stream] = None
        else:
            self._arrive(piece, fragment, skip)
        online = self.shard.online
        online.release(online.ring.next_row - piece.kept)
        if piece.end:
            self._episode[stream] += 1
            self._start[stream], self._run[stream] = 0, None

    def _arrive(self, piece: Piece, fragment: Episode, skip: bool) -> None:
        stream, source = piece.stream, SOURCES[piece.stream % 2]
        run = self._run[stream]
        if run is None:
            self._run[stream] = run = []
            self.runs.append(run)
        if skip:
            row = self.shard.half_of(source).store(fragment, source, keep=False)
            self.shard.online.release(self.shard.half_of(source).ring.next_row)
        else:
            row = self.shard.half_of(source).store(fragment, source)
            self.firsts[stream % 2].append(row)
        for number, step in enumerate(self._steps(fragment)):
            if not skip:
                self.places[row + number] = run, len(run)
            run.append(step)

    def _fragment(self, piece: Piece, start: int) -> Episode:
        episode = self._episode[piece.stream]
        steps = np.arange(start, start + piece.steps + 1, dtype=np.float32)
        tag = np.full(len(steps), 10 * episode + piece.stream, np.float32)
        goals = {
            "desired_goals": (tag - 20)[:, None],
            "achieved_goals": (50 * np.sin(steps) // 1)[:, None],
        }
        return Episode(
            observations=np.stack((tag, steps), axis=1),
            actions=(steps[:-1] / 4)[:, None],
            rewards=steps[:-1] % 7 - episode,
            terminated=piece.end == "terminated",
            truncated=piece.end == "truncated",
            origin=Origin("online", worker=piece.stream, episode=episode, start=start),
            **(goals if self.spec.goal_size else {}),
        )

    def _steps(self, fragment: Episode) -> Iterator[Step]:
        columns = [fragment.observations]
        if fragment.desired_goals is not None:
            columns.append(fragment.desired_goals)
        seen = [tuple(row) for row in np.hstack(columns).tolist()]
        achieved = fragment.achieved_goals
        for t in range(len(fragment)):
            last = fragment.terminated and t == len(fragment) - 1
            yield Step(
                seen[t],
                float(fragment.actions[t, 0]),
                2.0 * float(fragment.rewards[t]) - 1.0,
                0.0 if last else GAMMA,
                seen[t + 1],
                0.0 if achieved is None else float(achieved[t + 1, 0]),
            )

    def known_rest(self, row: int, limit: int | None) -> list[Step]:
        """The steps from a row on, less those that lie in rows from `limit` on."""
        run, position = self.places[row]
        unknown = [
            its
            for where, (mine, its) in self.places.items()
            if mine is run and limit is not None and where >= limit
        ]
        return run[position : min(unknown, default=len(run))]


def with_goal(step: Step, goal: float | None) -> Step:
    """The same step, being after another goal."""
    if goal is None:
        return step
    reward = 2.0 * (step.achieved - goal) - 1.0
    own = step.observation[-1]
    fell = step.discount == 0 and step.achieved < own  # an end that has no goal's cause
    return step._replace(
        observation=(*step.observation[:-1], goal),
        following=(*step.following[:-1], goal),
        reward=reward,
        discount=0.0 if fell or step.achieved >= goal else GAMMA,
    )


def wanted(
    story: Story, row: int, wishes: Wishes, limit: int | None, goal: float | None
) -> dict[str, Any]:
    """Everything that can be asked of a transition, by plain loops."""
    run, _ = story.places[row]
    physical = story.known_rest(row, limit)
    steps = [with_goal(step, goal) for step in physical]
    alive = [steps[0]]
    for step in steps[1:]:
        if alive[-1].discount == 0:
            break
        alive.append(step)
    together = alive[: wishes.n_steps]
    reward, discount = 0.0, 1.0
    for step in together:
        reward += discount * step.reward
        discount *= step.discount
    count = len(together)
    total, factor = 0.0, 1.0
    for step in physical:
        total += factor * step.reward
        factor *= step.discount
    segment = alive[: wishes.segment_length]
    missing = wishes.segment_length - len(segment)
    goes_on = discount != 0 and count < len(steps)
    nothing = (0.0,) * len(steps[0].observation)
    first = with_goal(run[0], goal).observation
    return {
        "observations": steps[0].observation,
        "actions": [steps[0].action],
        "rewards": reward,
        "discounts": discount,
        "next_observations": together[-1].following,
        "returns": total,
        "return_discounts": factor,
        "final_observations": steps[-1].following,
        "initial_observations": first,
        "next_actions": [steps[count].action if goes_on else 0.0],
        "has_next_action": float(goes_on),
        "segment_observations": [s.observation for s in segment] + [nothing] * missing,
        "segment_actions": [[s.action] for s in segment] + [[0.0]] * missing,
        "segment_rewards": [s.reward for s in segment] + [0.0] * missing,
        "segment_discounts": [s.discount for s in segment] + [0.0] * missing,
        "segment_mask": [1.0] * len(segment) + [0.0] * missing,
        "segment_final_observations": segment[-1].following,
        "is_online": float(row >= ONLINE_ROWS),
        "held_out": float(lot_of(row >= ONLINE_ROWS, *map(int, run_step(story, row))) < 0.1),
    }


def run_step(story: Story, row: int) -> tuple[float, ...]:
    """What episodes and steps are called in their observations."""
    run, position = story.places[row]
    return run[position].observation[:2]


def lot_of(online: bool, tag: int, step: int) -> float:
    """A number in [0, 1) that a hundred steps of an episode share, by plain integers."""
    name = repr((SOURCES[online], (tag % 10, 0, tag // 10)))
    lot = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
    lot = (lot + step // 100 * 0x9E3779B97F4A7C15) % 2**64
    lot = (lot ^ lot >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    lot = (lot ^ lot >> 27) * 0x94D049BB133111EB % 2**64
    return (lot ^ lot >> 31) / 2**64


def columns_of(block: Array, layout: Layout) -> dict[str, Array]:
    base = ("observations", "actions", "rewards", "discounts", "next_observations")
    return {name: block[:, getattr(layout, name)] for name in base} | layout.views(block)


def check(
    story: Story,
    wishes: Wishes,
    rows: Sequence[int],
    known: tuple[int, int] | None = None,
    goals: Sequence[float | None] | None = None,
    relabelling: Relabelling | None = None,
) -> None:
    layout = Layout.of(story.spec, wishes)
    block = story.shard.take(np.array(rows), relabelling, wishes, known)
    assert block.shape == (len(rows), layout.width)
    found = columns_of(block, layout)
    expected = [
        wanted(story, row, wishes, known and known[row >= ONLINE_ROWS], goal)
        for row, goal in zip(rows, goals or [None] * len(rows), strict=True)
    ]
    for name, values in found.items():
        these = np.array([each[name] for each in expected])
        np.testing.assert_allclose(values, these, 2e-6, 1e-5, err_msg=name)


PIECES = st.lists(
    st.builds(
        Piece,
        st.integers(0, 3),
        st.integers(1, 5),
        st.sampled_from(("", "", "terminated", "truncated")),
        st.sampled_from((False,) * 7 + (True,)),
        st.sampled_from((1000,) * 3 + (20, 9, 0)),
    ),
    min_size=1,
    max_size=25,
)
WISHES = st.builds(
    Wishes, st.frozensets(st.sampled_from(sorted(NEEDS))), st.integers(1, 6), st.integers(1, 5)
)


LIMITS = st.none() | st.tuples(*(st.integers(0, 25),) * 2)  # fragments known of each source


def known_rows(story: Story, limits: tuple[int, int] | None) -> tuple[int, int] | None:
    """The first rows that are not known, where so many fragments of each source are."""
    if limits is None:
        return None
    ends = (story.shard.half_of(source).ring.next_row for source in SOURCES)
    prior, online = (
        [*firsts, end][min(limit, len(firsts))]
        for firsts, end, limit in zip(story.firsts, ends, limits, strict=True)
    )
    return prior, online


def rows_to_take(story: Story, known: tuple[int, int] | None) -> list[int]:
    first = story.shard.online.ring.oldest_row
    held = [row for row in story.places if row < ONLINE_ROWS or row >= first]
    return [row for row in held if known is None or row < known[row >= ONLINE_ROWS]]


@given(PIECES, WISHES, LIMITS, st.integers(0, 3), st.randoms())
@settings(max_examples=200, deadline=None)
def test_columns_equal_plain_loops(
    pieces: list[Piece],
    wishes: Wishes,
    limits: tuple[int, int] | None,
    skipped: int,
    random: Random,
) -> None:
    with patch.object(episodes, "FIRST_FRAGMENTS", 2), patch.object(table, "FIRST_FRAGMENTS", 2):
        story = Story(SPEC, pieces, skipped)
    known = known_rows(story, limits)
    if rows := rows_to_take(story, known):
        check(story, wishes, random.choices(rows, k=20), known)


@pytest.mark.parametrize("seed", range(2))
def test_columns_equal_plain_loops_while_old_rows_are_released(seed: int) -> None:
    random, needs = Random(seed), frozenset(NEEDS)
    with patch.object(episodes, "FIRST_FRAGMENTS", 2), patch.object(table, "FIRST_FRAGMENTS", 2):
        story = Story(SPEC, [])
        for _ in range(200):
            end = random.choice(("",) * 6 + ("terminated", "truncated"))
            stream = random.choice((0, 1, 1, 1, 1, 1, 1, 1, 3))
            piece = Piece(stream, random.randint(1, 4), end, lost=False, kept=20)
            story._tell(piece, skip=False)
            rows = rows_to_take(story, None)[-40:]
            check(story, Wishes(needs, n_steps=6, segment_length=4), random.choices(rows, k=3))


def test_a_tenth_is_held_out_by_stretches_of_an_episode_however_it_arrives() -> None:
    wishes = Wishes(frozenset({"held_out"}))
    found = []
    whole, cut = Piece(1, 30_000, "", False, 10**6), Piece(1, 70, "", False, 10**6)
    for pieces in ([whole], [cut] * 429):
        story = Story(SPEC, pieces)
        rows = np.array(list(story.places))[:30_000]
        found.append(story.shard.take(rows, None, wishes)[:, -1])
    np.testing.assert_array_equal(*found)
    stretches = found[0].reshape(300, 100)
    assert (stretches == stretches[:, :1]).all()
    assert 0.05 < found[0].mean() < 0.15


@given(PIECES, WISHES, LIMITS, st.randoms())
@settings(max_examples=150, deadline=None)
def test_goals_in_hindsight_go_with_every_column_but_returns(
    pieces: list[Piece], wishes: Wishes, limits: tuple[int, int] | None, random: Random
) -> None:
    story = Story(GOALS, pieces)
    known = known_rows(story, limits)
    rows = random.choices(rows_to_take(story, known) or [-1], k=20)
    if rows[0] < 0:
        return
    futures, lent = np.full(20, np.nan, np.float32), np.full((20, 1), np.nan, np.float32)
    goals: list[float | None] = [None] * 20
    for number, row in enumerate(rows):
        kind = random.choice(("own", "future", "other"))
        if kind == "future":
            futures[number] = share = np.float32(random.random() * 0.999)
            rest = story.known_rest(row, known and known[row >= ONLINE_ROWS])
            goals[number] = rest[int(share * len(rest))].achieved
        elif kind == "other":
            lent[number] = goals[number] = float(random.randint(-50, 50))
    wishes = replace(wishes, needs=wishes.needs - {"returns"})
    check(story, wishes, rows, known, goals, Relabelling(futures, lent))


def test_every_need_has_somebody_who_fills_it() -> None:
    assert set(COLUMNS) == set(NEEDS)


def test_a_batch_is_a_view_of_its_block() -> None:
    layout = Layout(3, 2, wishes=Wishes(frozenset(NEEDS), segment_length=4))
    block = torch.arange(2.0 * layout.width).reshape(2, layout.width)
    batch = Batch.from_block(block, layout)
    assert batch.columns["segment_actions"].shape == (2, 4, 2)
    for name, column in layout.views(block.numpy()).items():
        np.testing.assert_array_equal(batch.columns[name], column)
    block.zero_()
    assert not any(column.any() for column in batch.columns.values())


def test_a_nan_that_only_a_column_reads_is_an_error_too() -> None:
    story = Story(SPEC, [Piece(0, 3, "", lost=False)])
    fragment = story._fragment(Piece(0, 2, "", lost=False), 3)
    fragment.rewards[1] = np.nan
    story.shard.prior.store(fragment, SOURCES[0])
    assert len(story.shard.take(np.array([0]))) == 1
    for wishes in (Wishes(frozenset({"returns"})), Wishes(n_steps=5)):
        with pytest.raises(NotFinite, match="row 5"):
            story.shard.take(np.array([0]), None, wishes)


def test_a_nan_in_an_observation_that_is_kept_aside_is_an_error_too() -> None:
    story = Story(SPEC, [])
    fragment = story._fragment(Piece(0, 2, "", lost=False), 0)
    fragment.observations[0] = np.nan
    row = story.shard.prior.store(fragment, SOURCES[0]) + 1
    assert len(story.shard.take(np.array([row]))) == 1
    with pytest.raises(NotFinite, match="the episode of row 1 holds NaN"):
        story.shard.take(np.array([row]), None, Wishes(frozenset({"initial_observations"})))


def test_returns_grow_with_their_episode_by_hand() -> None:
    story = Story(SPEC, [Piece(0, 2, "", lost=False)])
    needs = Wishes(frozenset({"returns"}))

    def returns(row: int) -> list[float]:
        return story.shard.take(np.array([row]), None, needs)[0, -2:].tolist()

    # Rewards are twice 0, 1, 2, ... less 1: -1, 1, 3, 5.
    assert returns(0) == [-1 + 0.75 * 1, 0.75**2]
    story._tell(Piece(0, 2, "terminated", lost=False), skip=False)
    assert returns(0) == [-1 + 0.75 * 1 + 0.75**2 * 3 + 0.75**3 * 5, 0]
    assert returns(3) == [3 + 0.75 * 5, 0]
    assert returns(4) == [5, 0]


def test_what_is_not_known_yet_cannot_be_taken() -> None:
    story = Story(SPEC, [Piece(1, 2, "", lost=False)] * 2)
    known = (0, ONLINE_ROWS + 3)
    with pytest.raises(LookupError, match="not known yet"):
        story.shard.take(np.array([ONLINE_ROWS + 3]), None, Wishes(n_steps=2), known)


def test_an_episode_whose_beginning_was_released_keeps_its_initial_observation() -> None:
    story = Story(SPEC, [Piece(1, 3, "", lost=False)] * 300)
    story.shard.online.release(max(story.places) - 5)
    rows = rows_to_take(story, None)
    assert len(rows) < 10
    check(story, Wishes(frozenset({"initial_observations"})), rows)


def test_the_index_forgets_what_the_ring_forgets() -> None:
    story = Story(SPEC, [])
    for number in range(3000):
        story._tell(Piece(1 + 2 * (number % 3), 2, "truncated", lost=False), skip=False)
        story.shard.online.release(story.shard.online.ring.next_row - 60)
    episodes = story.shard.online._episodes
    assert max(episodes._fragments.shape[1], episodes.initial.shape[1]) < 300


def test_an_unknown_need_is_named_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="no column 'return'; there are returns, "):
        _ = Layout.of(SPEC, Wishes(frozenset({"return"}))).width
