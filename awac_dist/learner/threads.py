"""How many threads updates take: as many as are quickest of late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

TRIAL_S = 0.25  # of updates, after which a number of threads is judged
STAYS_S = (2.0, 32.0)  # with the best between two trials: at first, and where others keep losing
GAIN = 1.05  # that another number must bring
FALL = 0.7  # of its rate: the machine is another one now


class ThreadChooser:
    """Tries a neighbouring number of threads now and then, and keeps the quickest.

    What is quickest changes while others come and go on the machine: threads that wait for each
    other drown where they are more than the free cores.

    Args:
        counts: Numbers of threads that come into question, ascending.
        first: The one of them to begin with.
        apply: Called with each that is taken from then on.
    """

    def __init__(
        self,
        counts: Sequence[int],
        first: int,
        apply: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        self.counts, self._apply = counts, apply
        self._best = self._now = counts.index(first)
        self._up = False
        self._rate = 0.0  # updates/s of the best
        self._updates, self._spent_s = 0, 0.0
        self._stay_s = self._left_s = STAYS_S[0]
        self._take(self._best)

    @property
    def best(self) -> int:
        """The number of threads that was quickest of late."""
        return self.counts[self._best]

    def took(self, seconds: float) -> None:
        """An update is done, and took so long."""
        if len(self.counts) == 1:
            return
        self._updates, self._spent_s = self._updates + 1, self._spent_s + seconds
        if self._spent_s >= TRIAL_S:
            rate, spent_s = self._updates / self._spent_s, self._spent_s
            self._updates, self._spent_s = 0, 0.0
            if self._now == self._best:
                self._go_on(rate, spent_s)
            else:
                self._judge(rate)

    def _go_on(self, rate: float, spent_s: float) -> None:
        self._left_s -= spent_s
        if rate < FALL * self._rate:
            self._stay_s, self._rate = STAYS_S[0], rate
            self._left_s = min(self._left_s, self._stay_s)
        self._rate = (3 * self._rate + rate) / 4 if self._rate else rate
        if self._left_s <= 0:
            self._up = self._best == 0 or (not self._up and self._best < len(self.counts) - 1)
            self._take(self._best + (1 if self._up else -1))

    def _judge(self, rate: float) -> None:
        if rate > GAIN * self._rate:
            self._best, self._rate, self._stay_s = self._now, rate, STAYS_S[0]
        else:
            self._stay_s = min(2 * self._stay_s, STAYS_S[1])
            self._take(self._best)
        self._left_s = self._stay_s

    def _take(self, index: int) -> None:
        self._now = index
        self._apply(self.counts[index])
