"""`awac-dist launch`: from prior data to an improving policy.

Reads the options, builds the components, runs them, and says how it went.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

from awac_dist.cli.dry_run import inputs, plan_of
from awac_dist.cli.options import Options, to_mapping
from awac_dist.config import RunConfig
from awac_dist.data.experience import finish_journals, list_files
from awac_dist.data.sources import EXPERIENCE, Source
from awac_dist.errors import InputError, needed, writable
from awac_dist.learner.checkpoint import load_progress, newest_whole
from awac_dist.plotting.learning_curve import plot_learning_curve
from awac_dist.reporting.display import Display, open_display
from awac_dist.reporting.metrics import METRICS_FILE, MetricsLog
from awac_dist.reporting.recorder import Recorder
from awac_dist.reporting.run_folder import (
    default_run_folder,
    only_one_at_a_time,
    write_provenance,
)
from awac_dist.reporting.run_place import RunPlace
from awac_dist.reporting.screen import Screen
from awac_dist.reporting.summary import summary
from awac_dist.runs.components import Components
from awac_dist.runs.driver import Driver
from awac_dist.runs.plan import local_resources, named_address
from awac_dist.runs.runtime import InlineRuntime, Runtime
from awac_dist.types import EnvSpec

POLITE = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Turns the first Ctrl-C, or SIGTERM, into a polite request; the second one interrupts."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def asked(self) -> bool:
        return self.signal_number is not None

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.getsignal(number) for number in POLITE}
        self.listen()
        return self

    def listen(self) -> None:
        """Be the one who handles the signals, again where somebody else took them over."""
        for number in POLITE:
            signal.signal(number, self._handle)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.signal_number = number


def run(options: Options) -> int:
    """Train; returns 0, or 128 and the signal that ended the run.

    Raises:
        InputError: Something is wrong, before anything ran.
        RunFailed: The run cannot go on.
    """
    with Screen() as screen, StopRequest() as stop:
        text = train(options, screen, stop)
    print(text)
    return 0 if stop.signal_number is None else 128 + stop.signal_number


def train(options: Options, screen: Screen, stop: StopRequest) -> str:
    """Do everything; returns the closing summary."""
    config = options.config
    spec, sources = inputs(config)
    if config.address is None and named_address() is None:
        plan_of(config, local_resources())  # what cannot be had is said before anything starts
    place = options.resume or _new_place(config)
    title = f"awac_dist: {config.env} -> {place.shared}"
    with _begun(place, options, screen), open_display(screen.stream, title) as display:
        return _run(config, spec, sources, place, display, stop)


@contextmanager
def _begun(place: RunPlace, options: Options, screen: Screen) -> Iterator[None]:
    """Take the run's place into use; a new run that did not come to run leaves it as it was.

    Raises:
        InputError: It is in use already, or cannot be written.
    """
    new, folder = options.resume is None, place.local
    with only_one_at_a_time(folder):
        try:
            with writable(str(folder)):
                place.begin_session(new=new)
                place.fetch()
                screen.divert(folder / "log.txt")
                write_provenance(folder, to_mapping(options.config), options.words, place.session)
            yield
        except InputError:
            if new and not _anything_ran(place):
                place.discard()
            raise


def _run(
    config: RunConfig,
    spec: EnvSpec,
    sources: Sequence[Source],
    place: RunPlace,
    display: Display,
    stop: StopRequest,
) -> str:
    session = place.session
    newest = newest_whole(f"{place.shared}/checkpoints", display.note) if session else None
    progress = load_progress(newest) if newest else {}
    runtime = _start_runtime(config)
    stop.listen()  # Ray ends a process on SIGTERM at once
    metrics = MetricsLog(
        place.local,
        since=progress.get("grad_steps", 0) if session else None,
        evaluating=progress.get("evaluating", False),
        export=runtime.gauges(place.local.name),
    )
    recorder = Recorder(display, metrics, _planned_updates(config), config.env, place.keep)
    try:
        components = _components(config, spec, sources, place, runtime, recorder)
        stopped_early = Driver(components, recorder, lambda: stop.asked, newest).run()
    finally:
        runtime.close()
        metrics.close()
        with needed(place.shared):
            place.keep()
    if _anything_ran(place):
        with needed(place.shared):
            plot_learning_curve(place.local)
            place.keep()
    return summary(
        list(recorder.evaluations.values()),
        place.shared,
        recorder.elapsed_s,
        recorder.env_steps,
        recorder.grad_steps,
        stopped_early,
    )


def _components(
    config: RunConfig,
    spec: EnvSpec,
    sources: Sequence[Source],
    place: RunPlace,
    runtime: Runtime,
    recorder: Recorder,
) -> Components:
    plan = plan_of(config, runtime.resources)
    recorder.note(
        f"{plan.workers} rollout workers, {plan.shards} replay shards, learner on {plan.device}"
    )
    if place.session:
        finish_journals(f"{place.shared}/{EXPERIENCE}", spec, recorder.note)  # of shards that died
    components = Components(runtime, config, spec, plan, place.shared, sources, place.session)
    if components.placement:
        recorder.note(components.placement)
    return components


def _new_place(config: RunConfig) -> RunPlace:
    runs = os.environ.get("AWAC_DIST_RUNS", "runs")  # a cluster says where it keeps them
    name = default_run_folder(config.env, config.seed, datetime.now()).name
    place = RunPlace.at(config.run_dir or f"{runs}/{name}")
    place.create()
    return place


def _anything_ran(place: RunPlace) -> bool:
    metrics = place.local / METRICS_FILE
    learned = metrics.exists() and metrics.stat().st_size > 0
    return learned or bool(list_files(f"{place.shared}/{EXPERIENCE}"))


def _start_runtime(config: RunConfig) -> Runtime:
    if config.runtime == "inline":
        return InlineRuntime(local_resources())
    from awac_dist.distributed.ray_runtime import RayRuntime

    return RayRuntime(config.address)


def _planned_updates(config: RunConfig) -> dict[str, int]:
    return {"offline": config.offline.updates, "online": config.online.updates}
