import pytest

from awac_dist.runs.schedule import FROZEN, OnPolicy, Pauses, RateLimiter, UpdatesAlone


def test_updates_are_owed_for_inserted_steps_only() -> None:
    limiter = RateLimiter(ratio=0.5, buffer=10)
    assert limiter.updates_due(0, 0) == 0
    assert limiter.updates_due(9, 0) == 4
    assert limiter.updates_due(9, 3) == 1


def test_a_buffer_of_zero_makes_collecting_and_learning_take_turns() -> None:
    limiter = RateLimiter(ratio=1.0)
    assert limiter.room(0, 0)
    assert not limiter.room(5, 4)
    assert limiter.room(5, 5)


def test_workers_wait_once_the_learner_is_further_behind_than_the_buffer() -> None:
    limiter = RateLimiter(ratio=2.0, buffer=10)
    assert limiter.room(5, 0)
    assert not limiter.room(6, 0)


def test_a_ratio_that_floats_cannot_hold_owes_every_whole_update() -> None:
    limiter = RateLimiter(ratio=0.1)
    assert limiter.updates_due(30, 0) == 3  # 0.1 * 30 is 3.0000000000000004, 0.1 * 3 * 10 below 3
    assert limiter.updates_due(29, 0) == 2


def test_half_an_update_owed_holds_nobody_up() -> None:
    limiter = RateLimiter(ratio=0.5)
    assert limiter.updates_due(33, 16) == 0
    assert limiter.room(33, 16)


def test_a_frozen_policy_only_collects() -> None:
    assert FROZEN.room(10**6, 0)
    assert FROZEN.updates_due(10**6, 0) == 0


def test_rounds_take_turns_with_their_updates() -> None:
    rounds = OnPolicy(steps=100, updates=7)
    assert rounds.room(0, 0) == 100
    assert rounds.room(60, 0) == 40
    assert rounds.updates_due(99, 0) == 0
    assert rounds.updates_due(100, 3) == 4
    assert rounds.room(100, 6) == 0
    assert rounds.room(100, 7) == 100


def test_what_was_collected_by_policies_that_are_lost_is_let_off() -> None:
    """Rounds of 100 steps and 7 updates; then a whole new round follows."""
    rounds = OnPolicy(steps=100, updates=7)
    assert [rounds.lost(steps, 14) for steps in (200, 260, 300)] == [0, 0, 0]  # with this policy
    assert rounds.lost(300, 17) == 0  # its updates are not over
    assert rounds.lost(301, 14) == 4 * 7 - 14
    assert rounds.room(301, 4 * 7) == 199
    assert rounds.lost(500, 17) == 5 * 7 - 17
    assert rounds.room(500, 5 * 7) == 100
    for schedule in (RateLimiter(1.0), Pauses(RateLimiter(1.0), 10, 5), UpdatesAlone(40)):
        assert schedule.lost(10**6, 0) == 0


@pytest.mark.parametrize(("buffer", "room"), [(0.0, 0), (30.0, 60)])
def test_pauses_take_turns_with_steps_and_their_updates(buffer: float, room: int) -> None:
    """Rounds of 100 steps, 50 updates, and 7 of the critics alone."""
    pauses = Pauses(RateLimiter(0.5, buffer), steps=100, updates=7)
    assert pauses.room(0, 0) == 100
    assert pauses.room(40, 0) == room  # 20 updates are owed
    assert pauses.room(40, 20) == 60
    assert pauses.updates_due(99, 40) == 9
    assert pauses.updates_due(100, 50) == 7
    assert pauses.updates_due(250, 0) == 2 * 57 + 25
    for updates in (0, 49, 50, 56):
        assert pauses.room(100, updates) == 0  # everybody waits until the pause is over
    assert pauses.room(100, 57) == 100
    assert [pauses.stretch(updates) for updates in (0, 49, 50, 56, 57)] == [
        (50, False),
        (1, False),
        (7, True),
        (1, True),
        (50, False),
    ]


def test_without_pauses_all_updates_are_of_one_kind() -> None:
    for schedule in (RateLimiter(1.0), OnPolicy(10, 5), UpdatesAlone(40)):
        left, alone = schedule.stretch(3)
        assert left > 10**9
        assert not alone


def test_a_phase_of_updates_alone_has_no_room_for_steps() -> None:
    schedule = UpdatesAlone(40)
    assert [schedule.updates_due(0, updates) for updates in (0, 17, 40)] == [40, 23, 0]
    assert schedule.room(0, 0) == schedule.room(0, 40) == 0
