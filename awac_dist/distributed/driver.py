"""The control plane: which component does what next. Counts and places only, no arrays."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from awac_dist.config import CLONE, RunConfig
from awac_dist.data.sources import Source
from awac_dist.distributed.collecting import collect_episodes
from awac_dist.distributed.components import Components
from awac_dist.distributed.online import OnlineLoop
from awac_dist.distributed.progress import Observer, Progress, Stopped
from awac_dist.distributed.rate_limiter import RateLimiter
from awac_dist.distributed.runtime import Runtime
from awac_dist.errors import InputError
from awac_dist.evaluation.result import Evaluation
from awac_dist.replay.sampler import OFFLINE, ONLINE
from awac_dist.types import Future, Handle, Loaded, RolloutReport, Segment, UpdateReport

CALLS_AHEAD = 2  # update calls that the learner has before it, so that it never waits for us;
# one in sync mode, where an evaluation must find the weights of the call that made it due
POLL_S = 0.25


class Driver:
    """Runs the phases of one run: clone, collect, offline, online.

    Args:
        config: The run.
        runtime: Waits for answers.
        components: Handles to everything that runs.
        sources: Prior data.
        observer: Is told what happens.
        checkpoints: Folder of the checkpoints.
        stop_asked: Whether somebody asked the run to end.
    """

    def __init__(
        self,
        config: RunConfig,
        runtime: Runtime,
        components: Components,
        sources: Sequence[Source],
        observer: Observer,
        checkpoints: str,
        stop_asked: Callable[[], bool],
    ) -> None:
        self._config, self._runtime, self._components = config, runtime, components
        self._sources, self._observer = sources, observer
        self._checkpoints, self._stop_asked = checkpoints, stop_asked
        self._started = time.monotonic()
        self._evaluation: Future | None = None
        self._saving: Future | None = None
        self._ending = False
        self.calls_ahead = 1 if config.mode == "sync" else CALLS_AHEAD
        self._evaluated_at = 0
        self._demonstrations: list[str] = []  # sources that hold nothing else
        self.progress = Progress()

    def run(self) -> str | None:
        """Go through all phases; returns why the run ended early, or None."""
        try:
            reason = self._run_phases()
            self._checkpoint()
            if self._saving is not None:
                self._saving.result()
        finally:  # also when something broke: what was collected is not thrown away
            self._flush()
        return reason

    def _run_phases(self) -> str | None:
        try:
            for phase in (self._preload, self._clone, self._offline, self._online):
                phase()
        except Stopped as stop:
            self._observer.note(f"stopping: {stop}")
            self._ending = True
            if not stop.in_a_hurry and self.progress.phase in ("offline", "online"):
                self._evaluate_now(self.progress.phase)
            return str(stop)
        return None

    def _flush(self) -> None:
        for answer in [shard.post("flush") for shard in self._components.shards]:
            answer.result()

    # Phases, in the order in which they run.

    def _preload(self) -> None:
        self._enter("load", len(self._sources), "sources")
        answers = [shard.post("preload", self._sources) for shard in self._components.shards]
        loaded: list[Loaded] = [self._wait(answer) for answer in answers]
        order = {source.name: number for number, source in enumerate(self._sources)}
        placed = [item for share in loaded for item in share.placed]
        placed.sort(key=lambda item: (order[item[1].source], item[0]))
        learner = self._components.learner
        sizes = self._call(learner, "add", [place for _, place in placed])
        self._call(learner, "set_weights", {s.name: s.weight for s in self._sources})
        for source in self._sources:
            episodes = sum(place.source == source.name for _, place in placed)
            demonstrations = sum(share.demonstrations[source.name] for share in loaded)
            if demonstrations == episodes:
                self._demonstrations.append(source.name)
            outside = sum(share.out_of_range[source.name] for share in loaded)
            self._observer.note(
                f"{source.name}: {episodes:,} episodes, {sizes[source.name]:,} transitions, "
                f"{self._described(outside)}"
            )

        self._check_mixture()

    def _check_mixture(self) -> None:
        """Refuse now what would fail once the online phase begins."""
        known = {ONLINE, OFFLINE, *(source.name for source in self._sources)}
        if self._demonstrations and self._config.clone.updates and self._config.clone.episodes:
            known.add(CLONE)
        for source in self._config.replay.mixture or {}:
            if source not in known:
                raise InputError(
                    f"replay.mixture: there will be no transitions of {source!r}, only of "
                    + ", ".join(sorted(known))
                )

    def _described(self, outside: int) -> str:
        what = "clipped" if self._config.replay.clip_prior_actions else "kept"
        return (
            f"{outside:,} actions out of bounds ({what})" if outside else "no action out of bounds"
        )

    def _clone(self) -> None:
        clone = self._config.clone
        if clone.updates and not self._demonstrations:
            self._observer.note("no source holds demonstrations alone: there is nothing to clone")
        if clone.updates and self._demonstrations:
            self._enter("clone", clone.updates, "updates")
            self._call(
                self._components.learner,
                "begin_cloning",
                self._demonstrations,
                learning_rate=clone.learning_rate,
                batch_size=clone.batch_size,
            )
            self._learn(clone.updates, evaluate=False)
            self._evaluate_now("clone")
            if clone.episodes:
                self._collect_clone(clone.episodes)
        offline = self._config.offline.batch_size or self._config.learner.batch_size
        self._call(
            self._components.learner,
            "begin_awac",
            offline,
            keep_actor=clone.initialize_actor,
            goals=self._config.replay.goals,
        )

    def _collect_clone(self, episodes: int) -> None:
        self._enter("collect", episodes, "episodes")
        workers = self._components.workers
        segments: list[list[Segment]] = [[] for _ in workers]
        for worker, report in collect_episodes(workers, episodes, "prior", CLONE, self.look):
            self._observer.collected(report, lag=0)
            segments[worker] += report.segments
        in_worker_order = [segment for of_worker in segments for segment in of_worker]
        self._call(self._components.learner, "add", in_worker_order)

    def _offline(self) -> None:
        if self._config.offline.updates:
            self._enter("offline", self._config.offline.updates, "updates")
            self._learn(self._config.offline.updates, evaluate=True)
            self._evaluate_now("offline")

    def _online(self) -> None:
        online = self._config.online
        if not online.env_steps:
            return
        self._enter("online", online.env_steps, "env_steps")
        batch_size, mixture = self._config.learner.batch_size, self._config.replay.mixture
        self._call(self._components.learner, "set_batches", batch_size, mixture or {})
        self.progress.online_from = self.progress.grad_steps
        self.progress.limiter = RateLimiter(online.updates_per_step, self._buffer())
        OnlineLoop(self, self._config, self._components.learner, self._components.workers).run()
        self._evaluate_now("online")

    def _buffer(self) -> float:
        """Updates by which the learner may be behind when a worker starts to collect."""
        if self._config.mode == "sync":
            return 0.0
        online, rollout = self._config.online, self._config.rollout
        if online.error_buffer is not None:
            return online.error_buffer
        round_steps = rollout.fragment_steps * rollout.envs_per_worker
        return online.updates_per_step * round_steps * len(self._components.workers)

    # What the phases are made of.

    def _enter(self, phase: str, total: int, unit: str) -> None:
        self.progress.phase = phase
        self._evaluated_at = self.progress.grad_steps
        self._observer.phase(phase, total, unit)

    def _learn(self, updates: int, *, evaluate: bool) -> None:
        """Have the learner take so many steps, always a call ahead of it."""
        asked = 0
        calls: deque[Future] = deque()
        while asked < updates or calls:
            while asked < updates and len(calls) < self.calls_ahead:
                count = min(self._config.learner.updates_per_call, updates - asked)
                calls.append(self._components.learner.post("update", count))
                asked += count
            self.learned(self._wait(calls.popleft()), evaluate=evaluate)

    @property
    def limiter(self) -> RateLimiter:
        return self.progress.limiter

    def learned(self, report: UpdateReport, *, evaluate: bool = True) -> None:
        """Take note of updates, and start an evaluation when one is due."""
        self.progress.grad_steps = report.grad_steps
        self._observer.updated(report)
        due = self._evaluated_at + self._config.evaluation.every_updates
        if evaluate and report.grad_steps >= due and self._evaluation is None:
            self._evaluated_at = report.grad_steps
            self._start_evaluation(self.progress.phase, self._config.evaluation.curve_episodes)
            self._checkpoint()
            self._flush()

    def collected(self, report: RolloutReport) -> None:
        """Take note of online steps."""
        self.progress.env_steps += report.env_steps
        lag = self.progress.grad_steps - report.policy_version
        self._observer.collected(report, lag)

    def _evaluate_now(self, label: str) -> Evaluation:
        while self._evaluation is not None:
            self.look()
        self._start_evaluation(label, self._config.evaluation.episodes)
        assert self._evaluation is not None
        answer, self._evaluation = self._evaluation, None
        evaluation: Evaluation = self._wait(answer)
        self._observer.evaluated(evaluation)
        return evaluation

    def _start_evaluation(self, label: str, episodes: int) -> None:
        evaluator = self._components.evaluator
        self._call(evaluator, "load")
        self._evaluation = evaluator.post("run", label, episodes)

    def _checkpoint(self) -> None:
        if self._saving is not None:
            self._saving.result()
            self._saving = None
        if self.progress.grad_steps:
            progress = {
                "phase": self.progress.phase,
                "env_steps": self.progress.env_steps,
                "online_from": self.progress.online_from,  # updates since then are finished ones
                "inserted": self.progress.limiter.inserted,
            }
            self._saving = self._components.learner.post("save", self._checkpoints, progress)

    def _call(self, handle: Handle, method: str, *arguments: Any, **named: Any) -> Any:
        return self._wait(handle.post(method, *arguments, **named))

    def _wait(self, future: Future) -> Any:
        """The answer, while the screen stays alive and a request to stop is heard."""
        while not self.look([future]):
            pass
        return future.result()

    def look(self, futures: Sequence[Future] = ()) -> list[Future]:
        """One turn of waiting: those of `futures` that are done, none if time ran out.

        Raises:
            Stopped: Somebody asked, or the time of the run is over.
        """
        evaluation = [self._evaluation] if self._evaluation is not None else []
        done = self._runtime.wait([*futures, *evaluation], POLL_S)
        self._observer.tick()
        if evaluation and evaluation[0] in done:
            self._evaluation = None
            self._observer.evaluated(result := evaluation[0].result())
            self._stop_if_good_enough(result)
        if self._stop_asked() and not self._ending:
            raise Stopped("asked to stop", in_a_hurry=True)
        limit = self._config.online.max_minutes
        if limit is not None and not self._ending and time.monotonic() - self._started > 60 * limit:
            raise Stopped(f"{limit:g} minutes are over")
        return [future for future in done if future in futures]

    def _stop_if_good_enough(self, evaluation: Evaluation) -> None:
        wanted = self._config.online.stop_at_return
        if self._ending or self.progress.phase != "online" or wanted is None:
            return
        if evaluation.mean >= wanted:
            raise Stopped(f"return {evaluation.mean:.0f} reached {wanted:g}")
