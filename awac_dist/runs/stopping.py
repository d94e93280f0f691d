"""When a run ends before it is done."""

from __future__ import annotations

import time
from collections.abc import Callable

from awac_dist.config import OnlineConfig
from awac_dist.evaluation.result import Evaluation


class Stopped(Exception):  # noqa: N818 - no error: somebody asked, or a condition was met
    """The run ends early, in order; says why.

    Attributes:
        in_a_hurry: Whether there is no time for a last evaluation.
    """

    def __init__(self, reason: str, *, in_a_hurry: bool = False) -> None:
        super().__init__(reason)
        self.in_a_hurry = in_a_hurry


class StopConditions:
    """Looks whether the run has to end; once it is ending, never again.

    Args:
        online: Holds the conditions.
        asked: Whether somebody asked the run to end.
    """

    def __init__(self, online: OnlineConfig, asked: Callable[[], bool]) -> None:
        self._online, self._asked = online, asked
        self._started = time.monotonic()
        self.ending = False

    def check(self) -> None:
        """To be called often.

        Raises:
            Stopped: Somebody asked, or the time of the run is over.
        """
        if self.ending:
            return
        if self._asked():
            raise Stopped("asked to stop", in_a_hurry=True)
        limit = self._online.max_minutes
        if limit is not None and time.monotonic() - self._started > 60 * limit:
            raise Stopped(f"{limit:g} minutes are over")

    def check_evaluation(self, evaluation: Evaluation) -> None:
        """To be called for every evaluation of the online phase.

        Raises:
            Stopped: It is as good as was wanted.
        """
        wanted = self._online.stop_at_return
        if not self.ending and wanted is not None and evaluation.mean >= wanted:
            raise Stopped(f"return {evaluation.mean:.0f} reached {wanted:g}")
