"""Threads that take turns: each runs only while it is let, so that nothing depends on timing."""

import threading
from collections.abc import Callable


class Gone(BaseException):
    """Unwinds a component that was killed."""


class Life:
    """A thread that runs only when it is let, and until it pauses."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._body = body
        self._turn, self._back = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._back.acquire()
        self.killed = self._over = False
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def go_on(self) -> None:
        """Let it run until it pauses; a fault of the harness itself is raised here."""
        if not self._over:
            self._turn.release()
            self._back.acquire()
        if self._error is not None:
            raise self._error

    def pause(self) -> None:
        """Let the scheduler run until it calls `go_on`.

        Raises:
            Gone: It was killed meanwhile.
        """
        self._back.release()
        self._turn.acquire()
        if self.killed:
            raise Gone

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self.killed:
                self._body()
        except Gone:
            pass
        except BaseException as error:
            self._error = error
        self._over = True
        self._back.release()
