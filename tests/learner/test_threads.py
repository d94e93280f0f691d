"""The number of threads follows the machine, and costs little while it is found."""

from collections.abc import Callable

import pytest

from awac_dist.learner import device
from awac_dist.learner.threads import ThreadChooser


class Machine:
    """One that makes so many updates a second with each number of threads."""

    def __init__(self, counts: list[int]) -> None:
        self.now = 0
        self.updates, self.clock = 0, 0.0
        self.chooser = ThreadChooser(counts, counts[len(counts) // 2], self.take)

    def take(self, count: int) -> None:
        self.now = count

    def run(self, seconds: float, rate: Callable[[int], float]) -> float:
        """Updates a second over so long."""
        began, until = self.updates, self.clock + seconds
        while self.clock < until:
            took = 1 / rate(self.now)
            self.clock += took
            self.updates += 1
            self.chooser.took(took)
        return (self.updates - began) / seconds


@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_the_quickest_is_found_and_costs_little(best: int) -> None:
    machine = Machine([1, 2, 4, 8])

    def rate(count: int) -> float:
        return 100.0 / max(count / best, best / count)

    machine.run(30, rate)
    assert machine.chooser.best == best
    assert machine.run(120, rate) > 0.95 * 100


@pytest.mark.parametrize(("alone", "crowded"), [((54, 92), (50, 20)), ((92, 54), (20, 50))])
def test_it_follows_a_machine_that_changes(
    alone: tuple[int, int], crowded: tuple[int, int]
) -> None:
    machine = Machine([1, 2])
    for rates in (alone, crowded, alone):
        machine.run(40, lambda count, rates=rates: rates[count - 1])  # type: ignore[misc]
        assert machine.run(60, lambda count, r=rates: r[count - 1]) > 0.95 * max(rates)  # type: ignore[misc]


def test_a_rate_that_falls_is_not_waited_out() -> None:
    machine = Machine([1, 2])
    machine.run(200, lambda count: (54, 92)[count - 1])  # it has long been the best
    machine.run(6, lambda count: (50, 20)[count - 1])
    assert machine.chooser.best == 1


def test_threads_that_drown_are_left_at_once() -> None:
    machine = Machine([1, 2])
    assert machine.run(60, lambda count: 50 if count == 1 else 2) > 0.9 * 50


def test_one_number_stays() -> None:
    machine = Machine([2])
    machine.run(20, lambda count: 10)
    assert machine.now == 2


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2]), (6, [1, 2, 3, 4]), (64, [1, 2, 4, 8])],
)
def test_what_is_tried_fits_the_machine(
    monkeypatch: pytest.MonkeyPatch, cores: int, counts: list[int]
) -> None:
    monkeypatch.setattr(device, "count_cores", lambda: cores)
    assert device.thread_counts() == counts
    assert device.default_threads() in counts
