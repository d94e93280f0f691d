"""When a run ends before it is done."""

from __future__ import annotations

import time
from collections.abc import Callable

from awac_dist.config import OnlineConfig
from awac_dist.evaluation.result import Evaluation

LAST_WORDS_S = 60.0  # for the last checkpoint, and then for the shards' files


class Stopped(Exception):  # noqa: N818 - no error: somebody asked, or a condition was met
    """The run ends early, in order; says why.

    Attributes:
        in_a_hurry: Whether there is no time for a last evaluation.
    """

    def __init__(self, reason: str, *, in_a_hurry: bool = False) -> None:
        super().__init__(reason)
        self.in_a_hurry = in_a_hurry


class StopConditions:
    """Looks whether the run has to end.

    Args:
        online: Holds the conditions.
        asked: Whether somebody asked the run to end.
    """

    def __init__(self, online: OnlineConfig, asked: Callable[[], bool]) -> None:
        self._online, self._asked = online, asked
        self._started = time.monotonic()
        self._was_met = False  # a condition, once
        self._deadline: float | None = None

    def check(self) -> None:
        """To be called often.

        Raises:
            Stopped: Somebody asked, or the time of the run, or of its last words, is over.
        """
        if self._deadline is not None:
            if time.monotonic() > self._deadline:
                raise Stopped(f"no answer within {LAST_WORDS_S:g} s", in_a_hurry=True)
            return
        if self._asked():
            raise Stopped("asked to stop", in_a_hurry=True)
        limit = self._online.max_minutes
        if limit is not None and time.monotonic() - self._started > 60 * limit:
            self._meet(f"{limit:g} minutes are over")

    def check_evaluation(self, evaluation: Evaluation) -> None:
        """To be called for every evaluation of the online phase.

        Raises:
            Stopped: It is as good as was wanted.
        """
        wanted = self._online.stop_at_return
        if wanted is not None and evaluation.mean >= wanted:
            self._meet(f"return {evaluation.mean:.0f} reached {wanted:g}")

    def hurry(self) -> None:
        """From now on, only waits that take too long are ended."""
        self._deadline = time.monotonic() + LAST_WORDS_S

    def _meet(self, reason: str) -> None:
        if not self._was_met and self._deadline is None:
            self._was_met = True
            raise Stopped(reason)
