"""Ends a process whose environment hangs: no code in it could notice."""

from __future__ import annotations

import faulthandler
import time
from dataclasses import dataclass

HUNG = "(a step or reset of more than rollout.step_timeout_s ends it: log.txt says where)"
SHARE = 0.25  # of the limit, between two looks at the clock that put the end off


@dataclass
class Watchdog:
    """Between `with` and its end, ends this process once `beat` was not called for too long.

    The clock runs in a C thread, so code that holds Python's lock cannot stop it. Where the
    process hung is printed to its stderr. A step that takes no longer than the limit is never
    taken for hung, one that takes 1.25 times the limit always is. So is a reset, and whatever else
    is done with an environment, such as making one.
    """

    limit_s: float | None  # seconds that a step may take; None watches nothing
    _put_off_at: float = 0.0

    def beat(self) -> None:
        """Say that a step, or something like it, begins."""
        if self.limit_s is not None and time.monotonic() >= self._put_off_at:
            faulthandler.dump_traceback_later((1 + SHARE) * self.limit_s, exit=True, file=2)
            self._put_off_at = time.monotonic() + SHARE * self.limit_s

    def __enter__(self) -> Watchdog:
        self._put_off_at = 0.0
        self.beat()
        return self

    def __exit__(self, *_: object) -> None:
        if self.limit_s is not None:
            faulthandler.cancel_dump_traceback_later()
