from awac_dist.runs.rate_limiter import RateLimiter


def test_updates_are_owed_for_inserted_steps_only() -> None:
    limiter = RateLimiter(ratio=0.5, buffer=10)
    assert limiter.updates_due() == 0
    limiter.inserted = 9
    assert limiter.updates_due() == 4
    limiter.posted = 3
    assert limiter.updates_due() == 1


def test_a_buffer_of_zero_makes_collecting_and_learning_take_turns() -> None:
    limiter = RateLimiter(ratio=1.0, buffer=0)
    assert limiter.may_collect()
    limiter.inserted = limiter.posted = 5
    limiter.finished = 4
    assert not limiter.may_collect()
    limiter.finished = 5
    assert limiter.may_collect()


def test_workers_wait_once_the_learner_is_further_behind_than_the_buffer() -> None:
    limiter = RateLimiter(ratio=2.0, buffer=10)
    limiter.inserted = 5
    assert limiter.may_collect()
    limiter.inserted = 6
    assert not limiter.may_collect()


def test_a_ratio_that_floats_cannot_hold_owes_every_whole_update() -> None:
    limiter = RateLimiter(ratio=0.1, buffer=0)
    limiter.inserted = 30  # 0.1 * 30 is 3.0000000000000004, 0.1 * 3 * 10 is below 3 elsewhere
    assert limiter.updates_due() == 3
    limiter.inserted = 29
    assert limiter.updates_due() == 2


def test_steps_under_way_count_against_the_bound() -> None:
    limiter = RateLimiter(ratio=1.0, buffer=10)
    limiter.collecting = 11
    assert not limiter.may_collect()
    limiter.arrived(11)
    assert (limiter.collecting, limiter.inserted) == (0, 11)
    limiter.finished = 1
    assert limiter.may_collect()


def test_half_an_update_owed_holds_nobody_up() -> None:
    limiter = RateLimiter(ratio=0.5, buffer=0)
    limiter.inserted, limiter.posted, limiter.finished = 33, 16, 16
    assert limiter.updates_due() == 0
    assert limiter.may_collect()
