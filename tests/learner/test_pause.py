"""When a pause has lasted long enough."""

from collections.abc import Sequence

import pytest

from awac_dist.learner.pause import HELD_OUT_LOSS, Pause


def lasted(losses: Sequence[float], patience: int | None = 3_000, left: int = 20_000) -> int:
    """Updates of a pause whose loss has these means over a thousand updates each."""
    pause, done = Pause(), 0
    pause.patience = patience
    for loss in losses:
        for _ in range(4):
            count = pause.begin_call(250, left - done)
            off = pause.let_off(count, {HELD_OUT_LOSS: loss})
            done += count
            if off:
                assert off == left - done
                assert pause.begin_call(250, off) == 0  # a driver that has not heard of it
                assert pause.let_off(0, {}) == off
                return done
    return done


@pytest.mark.parametrize(
    ("losses", "updates"),
    [
        ((5, 4, 3, 2, 1, 0, -1, -2), 8_000),
        ((5, 5, 5, 5, 5, 5), 4_000),  # the first look is the best
        ((5, 4, 6, 7, 3, 3, 3, 3, 3), 8_000),  # 4 at 2,000; 3 at 5,000 is in time
        ((5, 4, 6, 7, 8, 3), 5_000),
        ((5, 4.999, 4.998, 4.997, 4.9), 4_000),  # less than a thousandth is none
        ((-5, -4.999, -4.998, -4.997), 4_000),  # nor does a loss fall that rises below 0
        ((-5, -5.1, -5.2, -5.3, -5.4), 5_000),
    ],
)
def test_a_pause_ends_once_the_loss_has_not_fallen_for_so_long(
    losses: Sequence[float], updates: int
) -> None:
    assert lasted(losses) == updates


def test_without_patience_a_pause_takes_all_of_its_updates() -> None:
    assert lasted((5,) * 9, patience=None) == 9_000


def test_the_last_updates_of_a_pause_let_nothing_off() -> None:
    assert lasted((5,) * 4, left=4_000) == 4_000


def test_updates_outside_of_a_pause_begin_the_next_one_anew() -> None:
    pause = Pause()
    pause.patience = 1_000
    for _ in range(2):
        assert pause.begin_call(1_000, 0) == 1_000
        assert pause.let_off(1_000, {HELD_OUT_LOSS: 1.0}) == 0
        for left, off in ((5_000, 0), (4_000, 3_000)):
            assert pause.begin_call(1_000, left) == 1_000
            assert pause.let_off(1_000, {HELD_OUT_LOSS: 1.0}) == off
        assert pause.begin_call(1_000, 3_000) == 0


def test_a_pause_goes_on_where_it_was_with_a_patience_of_its_own() -> None:
    first, second = Pause(), Pause()
    first.patience, second.patience = 9_000, 1_500
    first.begin_call(1_700, 5_000)
    first.let_off(1_700, {HELD_OUT_LOSS: 1.0})
    second.restore(first.state())
    assert second.begin_call(500, 3_300) == 500
    assert second.let_off(500, {HELD_OUT_LOSS: 2.0}) == 0
    assert second.begin_call(1_000, 2_800) == 1_000
    assert second.let_off(1_000, {HELD_OUT_LOSS: 2.0}) == 1_800
