"""The ring on counting data, and a law: it keeps what a dictionary of all rows keeps."""

from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from counting import GAMMA, LAYOUT, Counter, check_counting, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from awac_dist.replay import ring as ring_module
from awac_dist.replay.ring import MOST_IDLE, RingBuffer
from awac_dist.types import Array


def test_every_taken_row_leads_to_its_successor() -> None:
    counter, ring = Counter(), RingBuffer(LAYOUT, discount=GAMMA)
    for steps in (3, 1, 7):
        check_counting(ring.take(rows_of(ring.append(counter.episode(steps)), steps)))


def test_no_transition_crosses_the_end_of_a_fragment() -> None:
    counter, ring = Counter(), RingBuffer(LAYOUT, discount=GAMMA, first_row=500)
    ring.append(counter.episode(3))
    ring.append(counter.episode(3))
    with pytest.raises(LookupError, match="row 3 is no transition"):
        ring.take(np.array([503]))


@pytest.mark.parametrize(
    ("terminated", "truncated", "last"),
    [(True, False, 0.0), (False, True, GAMMA), (False, False, GAMMA), (True, True, 0.0)],
)
def test_only_a_true_end_has_no_future(terminated: bool, truncated: bool, last: float) -> None:
    ring = RingBuffer(LAYOUT, discount=GAMMA)
    ring.append(Counter().episode(3, terminated=terminated, truncated=truncated))
    discounts = ring.take(rows_of(0, 3))[:, LAYOUT.discounts]
    np.testing.assert_array_equal(discounts, np.float32([GAMMA, GAMMA, last]))


def test_released_rows_are_refused_and_hold_nothing() -> None:
    counter, ring = Counter(), RingBuffer(LAYOUT, discount=GAMMA)
    for _ in range(3):
        ring.append(counter.episode(3))
    ring.release(2)
    check_counting(ring.take(np.array([2, 4, 8])))
    assert np.isnan(ring._rows[:2]).all()
    with pytest.raises(LookupError, match="rows 1 to 4 asked for, 2 to 11 held"):
        ring.take(np.array([1, 4]))


@pytest.mark.parametrize("row", [-1, 3, 4, 99, 10_000])
def test_rows_that_were_never_written_are_refused(row: int) -> None:
    ring = RingBuffer(LAYOUT, discount=GAMMA)
    ring.append(Counter().episode(3))
    with pytest.raises(LookupError, match=f"{row}"):
        ring.take(np.array([row]))


def test_memory_that_was_never_written_is_nan() -> None:
    ring = RingBuffer(LAYOUT, discount=GAMMA)
    ring.append(Counter().episode(3))
    assert np.isnan(ring._rows[4:]).all()
    assert np.isnan(ring._rows[3, 1:]).all()  # beside a last observation there is no step


class Stored(NamedTuple):
    """What a dictionary keeps of a row."""

    transition: Array | None  # [width]; None of a final observation
    aside: float


def reference(steps: int, terminated: bool, counter: Counter) -> tuple[list[Stored], Array]:
    """An episode's rows, written down one by one, and what to put aside for them."""
    first = float(counter.next)
    asides = -np.arange(first, first + steps + 1, dtype=np.float32)
    rows = []
    for step in range(steps):
        number, ends = first + step, terminated and step == steps - 1
        discount = 0.0 if ends else GAMMA
        row = np.float32([number, np.float32(number) / 1000, 10 * number, discount, number + 1])
        rows.append(Stored(row, asides[step]))
    return [*rows, Stored(None, asides[steps])], asides


def check_ring(ring: RingBuffer, held: dict[int, Stored]) -> None:
    """The ring keeps exactly what the dictionary keeps, all else is NaN, and little is idle."""
    transitions = {
        row: kept.transition for row, kept in held.items() if kept.transition is not None
    }
    if transitions:
        np.testing.assert_array_equal(
            ring.take(np.array(list(transitions))), [*transitions.values()]
        )
    if held:
        asides = ring.aside("aside", np.array(list(held)))
        np.testing.assert_array_equal(asides, [kept.aside for kept in held.values()])
    written = ~np.isnan(ring._rows[:-1])
    assert written[:, LAYOUT.observations].sum() == len(held)
    assert written[:, LAYOUT.rewards].sum() == len(transitions)
    for row in (ring.oldest_row - 1, ring.next_row - 1):  # released; a last observation
        with pytest.raises(LookupError):
            ring.take(np.array([row]))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("release"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("skip"), st.integers(1, 9), st.booleans()),
    ),
    max_size=40,
)


@given(OPERATIONS, st.sampled_from((0, 7, 1 << 40)))
@settings(max_examples=300, deadline=None)
def test_every_row_from_the_watermark_on_reads_back(
    operations: list[tuple[str, int, bool]], first_row: int
) -> None:
    with patch.object(ring_module, "FIRST_ROWS", 4):
        check_operations(operations, RingBuffer(LAYOUT, discount=GAMMA, first_row=first_row))


def check_operations(operations: list[tuple[str, int, bool]], ring: RingBuffer) -> None:
    counter, held = Counter(), dict[int, Stored]()
    for what, size, flag in operations:
        before, needed = len(ring._rows), ring.next_row - ring.oldest_row
        if what == "append":
            rows, asides = reference(size, flag, counter)
            row = ring.append(counter.episode(size, terminated=flag))
            ring.put_aside("aside", row, asides)
            held |= {row + number: kept for number, kept in enumerate(rows)}
            needed += size + 1
        elif what == "skip":
            ring.skip(size)
            needed += size * (needed > 0)
        else:
            ring.release(watermark := ring.oldest_row + size)
            held = {row: kept for row, kept in held.items() if row >= watermark}
            needed = ring.next_row - ring.oldest_row
            before = MOST_IDLE * max(4, needed)
        assert needed == ring.next_row - ring.oldest_row
        assert len(ring._rows) - 1 <= max(before, needed, ring_module.GROWTH * before)
        check_ring(ring, held)


def test_a_ring_that_is_released_as_it_is_filled_takes_no_more_memory() -> None:
    counter, ring = Counter(), RingBuffer(LAYOUT, discount=GAMMA)
    for number in range(2000):
        first = ring.append(counter.episode(1 + number % 50))
        ring.release(first - 900)
    assert ring.next_row > 50_000
    assert len(ring._rows) - 1 == ring_module.FIRST_ROWS
