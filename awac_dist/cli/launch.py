"""`awac-dist launch`: from prior data to an improving policy.

Reads the options, builds the components, runs them, and says how it went.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import count
from traceback import format_exception
from types import FrameType
from typing import NamedTuple

from awac_dist.cli.dry_run import inputs, plan_of
from awac_dist.cli.options import Options, to_mapping
from awac_dist.cli.runtime import start_runtime
from awac_dist.config import RunConfig
from awac_dist.data.experience import finish_journals, list_files
from awac_dist.data.record import RECORD, record_of
from awac_dist.data.sources import EXPERIENCE, Source
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.registration import able_to_travel
from awac_dist.envs.trial import Trial
from awac_dist.errors import InputError, RunFailed, RuntimeLost, needed, writable
from awac_dist.files import read_file, write_file
from awac_dist.learner.checkpoint import load_progress, newest_whole
from awac_dist.learner.device import torch_put_back
from awac_dist.plotting.learning_curve import plot_learning_curve
from awac_dist.policies.npz import find_policy
from awac_dist.reporting.display import Display, open_display
from awac_dist.reporting.metrics import MetricsLog
from awac_dist.reporting.provenance import write_provenance
from awac_dist.reporting.recorder import Recorder
from awac_dist.reporting.rows import METRICS_FILE, read_table
from awac_dist.reporting.run_place import RunPlace, default_run_name, only_one_at_a_time
from awac_dist.reporting.screen import Caller, Screen, say
from awac_dist.reporting.summary import summary
from awac_dist.reporting.tracking import Tracking
from awac_dist.reporting.wording import counted, to_go_on, to_resume
from awac_dist.runs.components import INITIAL_POLICY, Components
from awac_dist.runs.driver import Driver
from awac_dist.runs.plan import local_resources, named_address
from awac_dist.runs.runtime import Runtime

POLITE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MAX_STARTS = 10  # of Ray, in one call


class StopRequest:
    """Turns the first Ctrl-C, or SIGTERM, into a polite request; the second one interrupts.

    So it does with SIGHUP, whatever follows, and with a screen that is gone.
    """

    signal_number: int | None = None

    def __init__(self, screen: Screen | Caller) -> None:
        self.screen = screen

    def __enter__(self) -> StopRequest:
        hears = threading.current_thread() is threading.main_thread()  # no other may
        self._before = {number: signal.getsignal(number) for number in POLITE if hears}
        self.listen()
        return self

    def listen(self) -> None:
        """Be the one who handles the signals, again where somebody else took them over."""
        for number in self._before:
            if number != signal.SIGHUP or self._before[number] != signal.SIG_IGN:  # as by nohup
                signal.signal(number, self._handle)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        if self.signal_number is None and self.screen.is_gone:
            self.signal_number = signal.SIGPIPE
        return self.signal_number is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked() and number != signal.SIGHUP:  # which shells send twice
            raise KeyboardInterrupt
        self.signal_number = number


class Trained(NamedTuple):
    """A run that ended in order."""

    folder: str  # a path or URI
    summary: str


def run(options: Options) -> int:
    """Train; returns 0, or 128 and the signal that ended the run."""
    with Screen() as screen, StopRequest(screen) as stop:
        trained = train(options, screen, stop)
    say(trained.summary)
    return 0 if stop.signal_number is None else 128 + stop.signal_number


def train(options: Options, screen: Screen | Caller, stop: StopRequest) -> Trained:
    """Do everything."""
    task, sources = inputs(options)
    config = replace(options.config, data=tuple(source.argument for source in sources))
    if config.runtime == "ray":
        task = task._replace(spec=able_to_travel(task.spec))
    if config.address is None and named_address() is None:
        plan_of(config, local_resources())  # what cannot be had is said before anything starts
    place = options.resume or _new_place(config)
    title = f"awac_dist: {config.env.id} -> {place.shared}"
    with (
        _begun(place, options._replace(config=config), record_of(sources), screen),
        open_display(screen.stream, title, screen.log or screen.stream) as display,
        torch_put_back(),
    ):
        starts, began = 1, time.monotonic()
        while True:
            try:
                summary = _session(config, task, sources, place, display, stop, began)
                return Trained(place.shared, summary)
            except RuntimeLost as lost:
                if stop.asked() or not lost.again or starts == MAX_STARTS:
                    raise
                display.note(f"{lost}: Ray is started again, and the run goes on")
                place.begin_session(new=False)
                starts += 1
            except InputError as error:
                raise error if starts == 1 else RunFailed(str(error)) from error


def _session(
    config: RunConfig,
    task: Trial,
    sources: Sequence[Source],
    place: RunPlace,
    display: Display,
    stop: StopRequest,
    began: float,
) -> str:
    """Start the components, and run them to the end; returns the closing summary."""
    session, folder = place.session, place.shared
    newest = newest_whole(f"{folder}/checkpoints", display.note) if session else None
    with _recorded(config, place, display, stop, newest) as (runtime, recorder):
        plan, note = plan_of(config, runtime.resources), recorder.note
        workers = counted(plan.workers, "rollout worker")
        note(f"{workers}, {counted(plan.shards, 'replay shard')}, learner on {plan.device}")
        if session:
            files = list_files(f"{folder}/{EXPERIENCE}")
            finish_journals(files, task.spec, note)  # of shards that died
        components = Components(runtime, config, task.spec, plan, folder, sources, session)
        if components.placement:
            note(components.placement)
        stopped_early = Driver(components, recorder, stop.asked, newest, task, began).run()
    text = summary(recorder, folder, stopped_early)
    if stopped_early is None:
        return text
    return f"{text}\n{_to_go_on(stop.screen, folder, config.env)}"


@contextmanager
def _begun(
    place: RunPlace, options: Options, record: str, screen: Screen | Caller
) -> Iterator[None]:
    """Take the run's place into use; InputError where it is in use, or cannot be written.

    A new run that did not come to run leaves it as it was. One that began and cannot go on is told
    of the command that does.
    """
    new, folder, config = options.resume is None, place.local, options.config
    with only_one_at_a_time(folder):
        try:
            with writable(str(folder)):
                place.begin_session(new=new)
                place.fetch()
                screen.divert(folder / "log.txt")
                write_provenance(folder, to_mapping(config), options.words, place.session)
                write_file(f"{folder}/{RECORD}", record.encode())
                if new and config.init:
                    source = read_file(find_policy(config.init))
                    write_file(f"{place.shared}/{INITIAL_POLICY}", source)
            try:
                yield
            except (RunFailed, KeyboardInterrupt) as error:
                if screen.log is not None:
                    say("".join(format_exception(error)), screen.log)
                error.add_note(_to_go_on(screen, place.shared, config.env))
                raise
        except InputError:
            if new and not _anything_ran(place):
                place.discard()
            raise


@contextmanager
def _recorded(
    config: RunConfig, place: RunPlace, display: Display, stop: StopRequest, newest: str | None
) -> Iterator[tuple[Runtime, Recorder]]:
    """What starts the components, and writes down what they do; the place has all of it then."""
    tell = stop.screen.last_word

    def last_word(why: str) -> None:
        assert tell is not None
        tell(f"awac_dist: {why}\n{_to_go_on(stop.screen, place.shared, config.env)}")

    inline = config.runtime == "inline"
    runtime = start_runtime(inline=inline, address=config.address, last_word=tell and last_word)
    with ExitStack() as at_end:  # last in, first out, whichever of them fails
        at_end.callback(place.keep)
        at_end.callback(runtime.close)
        stop.listen()  # Ray ends a process on SIGTERM at once
        told = to_mapping(config)
        track = Tracking(config.reporting, place.local, told, display.note)
        at_end.callback(track.finish)
        metrics = MetricsLog(place.local, runtime.gauges(place.local.name), track.log)
        at_end.callback(metrics.close)
        metrics.describe(told)
        if place.session:
            if metrics.damaged:
                lines = counted(metrics.damaged, "damaged line")
                display.note(f"{lines} of {METRICS_FILE} left out")
            progress = load_progress(newest) if newest else {}
            again = progress.get("evaluating", False)
            metrics.forget_after(progress.get("grad_steps", 0), evaluating=again)
        updates = {"offline": config.offline.updates, "online": config.online.updates}
        yield runtime, Recorder(display, metrics, updates, config.env.id, place.keep)
    if rows := read_table(place.local / METRICS_FILE).rows:
        with needed(place.shared):
            plot_learning_curve(place.local, rows)
        place.keep()


def _to_go_on(screen: Screen | Caller, folder: str, env: EnvConfig) -> str:
    if isinstance(screen, Caller):
        return f"To go on:\n{to_resume(folder, env.by_code)}"
    return to_go_on(folder, *env.to_type)


def _new_place(config: RunConfig) -> RunPlace:
    runs = os.environ.get("AWAC_DIST_RUNS") or "runs"  # a cluster says where it keeps them
    name = default_run_name(config.env.id, config.seed, datetime.now())
    place, others = RunPlace.at(config.run_dir or f"{runs}/{name}"), count(2)
    while not config.run_dir and not place.claim():  # two may begin in one second
        place = RunPlace.at(f"{runs}/{name}-{next(others)}")
    place.create()
    return place


def _anything_ran(place: RunPlace) -> bool:
    metrics = place.local / METRICS_FILE
    learned = metrics.exists() and metrics.stat().st_size > 0
    return learned or bool(list_files(f"{place.shared}/{EXPERIENCE}"))
