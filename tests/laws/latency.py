"""A runtime whose answers are late: seeded, in one process, with no clock but its own.

Components are plain objects. Each call to one is a message that takes a drawn time to arrive, waits
until those before it are done, takes a drawn time to be worked at, and its answer comes after a
drawn time, too; messages of one caller to one component stay in order, as Ray keeps them. At
given messages components are killed, or the whole run is. Every component has a thread, which
serves as a coroutine: the scheduler lets one at a time go on until it waits for an answer, so a
seed fixes everything that happens.
"""

import heapq
import pickle
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from coroutines import Gone, Life

from awac_dist.errors import ComponentDied
from awac_dist.runs.phases import NAMES
from awac_dist.runs.runtime import Resources

LASTING = ("ReplayShard", "WeightStore")  # Ray starts them again and repeats their calls
MAX_EVENTS = 100_000  # of a session; with more of them nothing comes to its end


class Vanished(BaseException):
    """Unwinds the driver: everything was killed."""


class Blow(NamedTuple):
    """What befalls a run, and when.

    Attributes:
        phase: Its messages are counted, or those of a later phase.
        after: How many of them.
        what: A polite "stop"; "vanish": everything is killed; else the class of a component.
        linger: Seconds from that message on; 0 is before it is sent.
        aimed: Whether to wait for a message that such a component sends (a shard or the store: is
            sent), and kill that one.
    """

    phase: str
    after: int
    what: str
    linger: float = 0.0
    aimed: bool = False


class Clock:
    """Stands for the module `time`; it moves with the events, and a little with every look."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.sleep: Callable[[float], None]  # of the runtime of the session

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now

    time = perf_counter = monotonic

    def time_ns(self) -> int:
        return int(self.monotonic() * 1e9)


@contextmanager
def instead_of_time(clock: Clock) -> Iterator[None]:
    """Have the package read another clock."""
    modules = [module for name, module in sys.modules.items() if name.startswith("awac_dist")]
    modules = [module for module in modules if getattr(module, "time", None) is time]
    try:
        for module in modules:
            module.time = clock  # type: ignore[attr-defined]
        yield
    finally:
        for module in modules:
            module.time = time  # type: ignore[attr-defined]


class Call:
    """A message, and the future that its sender holds."""

    def __init__(self, runtime: "LateRuntime", sender: Life | None, message: bytes) -> None:
        self._runtime, self.sender, self.message = runtime, sender, message
        self.done = self.lost = False
        self.returned: object = None  # its answer's way, once that is under way
        self.answer: Any = None
        self.error: Exception | None = None
        self.waiting: list[Life] = []

    def result(self) -> Any:
        self._runtime.wait_for(self)
        if self.error is not None:
            raise self.error
        return self.answer

    def finish(self) -> None:
        """The answer has come."""
        self.done = True
        for life in self.waiting:
            self._runtime.let(life)


class Component:
    """A plain object, the messages that it has received, and the thread in which it works."""

    def __init__(self, runtime: "LateRuntime", kind: str, build: Callable[[], Any]) -> None:
        self._runtime, self.kind, self._build = runtime, kind, build
        self.object: Any = None
        self.restarts, self.dead = 0, False
        self._received: list[Call] = []  # and not answered yet, in order
        self._inbox: deque[Call] = deque()
        self._last: dict[Life | None, float] = {}  # arrival by sender
        self._begin()

    def post(self, method: str, *arguments: Any, **named: Any) -> Call:
        """Send a message; it arrives later."""
        runtime = self._runtime
        sender = runtime.sends(self)
        call = Call(runtime, sender, pickle.dumps((method, arguments, named)))
        arrival = max(runtime.clock.now + runtime.delay("message"), self._last.get(sender, 0.0))
        self._last[sender] = arrival
        runtime.flying.append(call)
        runtime.at(arrival, lambda: self._receive(call))
        return call

    def kill(self) -> None:
        """End it; where Ray would, begin it anew and repeat what is not answered."""
        runtime, calls = self._runtime, self._received
        runtime.unwind(self.life)
        self._received = [call for call in calls if call.returned and runtime.flip()]
        again = [call for call in calls if call not in self._received]
        self._inbox.clear()
        if self.kind in LASTING:
            self.restarts += 1
            self._begin()
            for call in again:
                self._accept(call)
        else:
            self.dead = True
            for call in again:
                self._refuse(call)

    def _begin(self) -> None:
        self._idle = False
        self.life = Life(self._live)
        self._runtime.later(self.kind, self.life)

    def _live(self) -> None:
        self.object = self._build()
        if self.restarts:
            getattr(self.object, "load", lambda: None)()
        if hasattr(self.object, "restarts"):
            self.object.restarts = lambda restarts=self.restarts: restarts
        while True:
            while not self._inbox:
                self._idle = True
                self.life.pause()
            self._runtime.sleep(self._runtime.delay(self.kind))
            self._answer(self._inbox.popleft())

    def _answer(self, call: Call) -> None:
        method, arguments, named = pickle.loads(call.message)
        try:
            call.answer = getattr(self.object, method)(*arguments, **named)
            call.answer = pickle.loads(pickle.dumps(call.answer))
        except Exception as error:
            call.error = error
        call.returned = way = object()

        def arrive() -> None:
            if call in self._received and call.returned is way:
                self._received.remove(call)
                call.finish()
                if call.error is None:
                    self._runtime.answered(method, arguments, call.answer)

        self._runtime.at(self._runtime.clock.now + self._runtime.delay("message"), arrive)

    def _receive(self, call: Call) -> None:
        self._runtime.flying.remove(call)
        if call.lost:
            return
        if self.dead:
            self._refuse(call)
        else:
            self._accept(call)

    def _accept(self, call: Call) -> None:
        call.returned, call.error = None, None
        self._received.append(call)
        self._inbox.append(call)
        if self._idle:
            self._idle = False
            self._runtime.let(self.life)

    def _refuse(self, call: Call) -> None:
        call.error = ComponentDied(f"{self.kind} was killed by the test")
        self._runtime.at(self._runtime.clock.now + self._runtime.delay("message"), call.finish)


class LateRuntime:
    """Runs the components of one session, and decides what happens next.

    Args:
        seed: Of everything that is drawn.
        clock: Goes on from session to session.
        paces: Mean seconds of a message ("message"), of the driver between two looks ("driver")
            and of each call, by the component's class.
        blows: What befalls the session.

    Attributes:
        answered: Is told of each answer that arrived: f(method, arguments of the call, answer).
        struck: The blows that fell.
    """

    resources = Resources((2.0,), gpus=0)

    def __init__(
        self, seed: int, clock: Clock, paces: Mapping[str, float], blows: Sequence[Blow] = ()
    ) -> None:
        self._rng, self.clock, self._paces = random.Random(seed), clock, paces
        self._blows = [blow for blow in blows if blow.what != "time"]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._running: Life | None = None  # None: the driver, or nobody
        self._over = False
        self.components: list[Component] = []
        self.flying: list[Call] = []
        self.answered: Callable[[str, tuple[Any, ...], Any], None] = lambda *_: None
        self.stop_asked = False
        self._rank, self._messages = -1, 0
        self.struck: list[Blow] = []
        clock.sleep = self.sleep

    # What the driver needs of a runtime.

    def reserve(self, gpus: int) -> None: ...

    def waits_for(self) -> str:
        return ""

    def end_stopped(self) -> list[str]:
        return []

    def who(self, future: Any) -> str:
        return ""

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> Component:
        def build() -> Any:
            return component(*arguments, **named)

        self.components.append(Component(self, component.__name__, build))
        return self.components[-1]

    def end(self, component: Component) -> None:
        if not component.dead:
            component.kill()

    def weights_reader(self, store: Any) -> Any:
        return Reader(store)

    def wait(self, futures: Sequence[Call], timeout_s: float) -> list[Call]:
        deadline = self.clock.now + timeout_s
        while not any(call.done for call in futures) and self._turn(deadline):
            pass
        self.sleep(self.delay("driver") if timeout_s else 0.0)
        return [call for call in futures if call.done]

    def close(self) -> None:
        """End every component."""
        self._over = True
        for component in self.components:
            self.unwind(component.life)

    # What components, calls and tests need.

    def enter(self, phase: str) -> None:
        """Count messages from now on as those of a phase."""
        self._rank, self._messages = NAMES.index(phase), 0

    def newest(self, kind: str) -> Any:
        """The plain object of the component of a kind that was started last, None if it is dead."""
        last = [component for component in self.components if component.kind == kind][-1]
        return None if last.dead else last.object

    def sends(self, receiver: Component) -> Life | None:
        """Who sends the message that is to be sent now, unless that one dies over it."""
        self._check()
        self._messages += 1
        sender = [c for c in self.components if c.life is self._running]
        parties = [*sender, *([receiver] if receiver.kind in LASTING else [])]
        due = [blow for blow in self._blows if self._is_due(blow, parties)]
        for blow in due:
            self._blows.remove(blow)
            near = parties if blow.aimed else self.components
            victims = [c for c in near if c.kind == blow.what and not c.dead]
            victim = self._rng.choice(victims) if victims else None
            self.at(self.clock.now + blow.linger, partial(self._strike, blow, victim))
        if due:
            self.sleep(0.0)
        return self._running

    def _is_due(self, blow: Blow, parties: Sequence[Component]) -> bool:
        here = not blow.aimed or blow.what in {party.kind for party in parties}
        return here and NAMES.index(blow.phase) <= self._rank and blow.after <= self._messages

    def wait_for(self, call: Call) -> None:
        self._check()
        if self._running is None:
            while not call.done:
                self._turn()
        while not call.done:
            call.waiting.append(self._running)
            self._running.pause()

    def sleep(self, seconds: float) -> None:
        """Let others go on for so long."""
        self._check()
        if self._running is not None:
            life = self._running
            self.at(self.clock.now + seconds, lambda: self.let(life))
            life.pause()
            return
        until = self.clock.now + seconds
        while self._turn(until):
            pass

    def let(self, life: Life) -> None:
        """Let a component go on until it waits; only the scheduler does so."""
        self._running = life
        try:
            life.go_on()
        finally:
            self._running = None

    def later(self, pace: str, life: Life) -> None:
        self.at(self.clock.now + self.delay(pace), lambda: self.let(life))

    def at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), act))

    def delay(self, pace: str) -> float:
        return self._rng.expovariate(1.0) * self._paces[pace]

    def flip(self) -> bool:
        return self._rng.random() < 0.5

    def unwind(self, life: Life) -> None:
        """End a component's thread; what it had sent arrives, or does not."""
        life.killed = True
        self.let(life)
        if self.flip():
            for call in self.flying:
                call.lost = call.lost or call.sender is life

    def _check(self) -> None:
        if self._running is not None and self._running.killed:
            raise Gone
        if self._running is None and self._over:
            raise Vanished

    def _turn(self, until: float = float("inf")) -> bool:
        """Have the next thing happen, if it does so in time; whether it did."""
        if not self._events or self._events[0][0] > until:
            assert until < float("inf"), "everybody waits for somebody else"
            self.clock.now = max(self.clock.now, until)
            return False
        moment, number, act = heapq.heappop(self._events)
        assert number < MAX_EVENTS, "nothing comes to its end"
        self.clock.now = max(self.clock.now, moment)
        act()
        return True

    def _strike(self, blow: Blow, victim: Component | None) -> None:
        self.struck.append(blow)
        if blow.what == "stop":
            self.stop_asked = True
        elif blow.what == "vanish":
            for _ in range(self._rng.choice((0, 0, 5, 20))):  # the others outlive the driver
                if self._events:
                    self._turn()
            self._over = True
            raise Vanished
        elif victim is not None and not victim.dead:
            victim.kill()


class Reader:
    """Reads the weight store from wherever it is called."""

    def __init__(self, store: Component) -> None:
        self._store = store

    def pull(self, newer_than: int) -> Any:
        return self._store.post("pull", newer_than).result()
