"""The control plane: which component does what next. Counts and positions only, no arrays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from awac_dist.config import RunConfig
from awac_dist.data.sources import Source
from awac_dist.errors import ComponentDied
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Future, RolloutReport, UpdateReport
from awac_dist.runs.collecting import Collecting, Counts, Order
from awac_dist.runs.components import Components
from awac_dist.runs.ending import in_order
from awac_dist.runs.evaluating import EvaluatorSupervisor
from awac_dist.runs.event_loop import EventLoop
from awac_dist.runs.learning import LearnerSupervisor
from awac_dist.runs.loading import PriorData, Resumption
from awac_dist.runs.phases import Phase, phases_of, reached
from awac_dist.runs.progress import Observer, Progress, arrangement
from awac_dist.runs.runtime import Runtime
from awac_dist.runs.shard_watch import ShardWatch
from awac_dist.runs.stopping import StopConditions, Stopped
from awac_dist.runs.weights import StoreWatch

CALLS_AHEAD = 2  # update calls that the learner has before it, so that it never waits for us;
# one in sync mode, where an evaluation must find the weights of the call that made it due


class Driver:
    """Runs the phases of one run.

    Args:
        config: The run.
        runtime: Waits for answers.
        components: Handles to everything that runs.
        sources: Prior data.
        observer: Is told what happens.
        checkpoints: Folder of the checkpoints.
        stop_asked: Whether somebody asked the run to end.
        resume: Go on where the newest checkpoint was taken.
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
        *,
        resume: bool = False,
    ) -> None:
        self._config, self._components = config, components
        self._sources, self._observer = sources, observer
        self._resume = resume
        self._stop = StopConditions(config.online, stop_asked)
        self._loop = EventLoop(runtime, observer, self._stop)
        self.look, self._wait = self._loop.look, self._loop.wait
        self.learner = LearnerSupervisor(config, components.start_learner, checkpoints, self._wait)
        self._evaluator = EvaluatorSupervisor(
            components.start_evaluator, observer.died, self._wait, lambda: self._call("publish")
        )
        self._store = StoreWatch(
            components.weights, self._publish_again, lambda futures: runtime.wait(futures, 0)
        )
        self._loop.see_to(self._store, self._evaluator, self._evaluated)
        self._workers = components.workers
        self._workers.died = self._worker_died
        self._shard_watch = ShardWatch(components.shards, observer.died)
        self._resumption = Resumption(config, components, self.learner, self._wait, observer.note)
        self._loaded = self._evaluate_again = False
        self._phases: list[Phase] = []
        self._collecting: Collecting | None = None
        self.calls_ahead = 1 if config.mode == "sync" else CALLS_AHEAD
        self.progress = Progress()

    def run(self) -> str | None:
        """Go through all phases; returns why the run ended early, or None.

        Raises:
            InputError: Before anything was learned or collected.
            RunFailed: Later; names the checkpoint from which the run can go on.
        """
        shards, note = self._components.shards, self._observer.note
        began = lambda: self.progress.has_begun  # noqa: E731
        with in_order(self.learner, shards, began, self._loop, self._stop, note):
            try:
                self._go_through()
            except Stopped as stop:
                note(f"stopping: {stop}")
                self._end_early(stop)
                return str(stop)
            return None

    def _end_early(self, stop: Stopped) -> None:
        phase = self.progress.phase if self.learner.training else "load"
        try:
            if not stop.in_a_hurry and phase in ("offline", "online"):
                self._evaluate_now(phase)
        except (ComponentDied, Stopped) as again:
            self._observer.note(f"stopping: {again}")
        self._stop.hurry()
        try:
            self._save()
        except (ComponentDied, Stopped) as reason:
            self._observer.note(f"the last checkpoint but one is kept: {reason}")

    def _go_through(self) -> None:
        """Go through the phases, from the one of the checkpoint on; again where a learner dies."""
        at = -1
        while at <= len(self._phases) or not self._loaded:
            try:
                if not self._loaded:
                    self._load()
                    at = reached(self._phases, self.progress.phase)
                elif at < len(self._phases):
                    self._run_phase(self._phases[at])
                    at += 1
                else:
                    self._save()
                    at += 1
            except ComponentDied as death:
                self._revive_learner(str(death))
                at = reached(self._phases, self.progress.phase)

    def _revive_learner(self, reason: str) -> None:
        """Start another learner, which knows what the dead one did at its last checkpoint.

        Raises:
            RunFailed: It died too often without an update in between.
        """
        while True:
            self._observer.died("learner", reason)
            self.learner.count_death(self.progress.grad_steps, reason)
            try:
                if self._loaded:
                    self.progress.go_back_to(self.learner.restart())
                    self._evaluator.drop()  # it may be of updates that are lost
                    self._evaluate_again = again = self.progress.evaluating
                    self._observer.went_back(self.progress.grad_steps, evaluating=again)
                else:
                    self.learner.begin_anew()
                return
            except ComponentDied as death:
                reason = str(death)

    def _load(self) -> None:
        self._observer.phase("load", len(self._sources), "sources")
        if self._resume:
            self.progress = self._resumption.load(self.learner.newest(), self._observer)
        else:
            self.progress = self._resumption.begin()
        answers = [shard.post("load") for shard in self._components.shards]
        prior = PriorData(self._sources, [self._wait(answer) for answer in answers])
        for line in prior.described(clipped=self._config.replay.clip_prior_actions):
            self._observer.note(line)
        prior.check_mixture(self._config)
        if self._config.clone.updates and not prior.demonstrations:
            self._observer.note("no source holds demonstrations alone: there is nothing to clone")
        self._phases = phases_of(self._config, prior.demonstrations, len(self._workers))
        self.progress.arrangement = arrangement(self._config, len(self._workers))
        self.progress.streams = self._workers.positions
        self._loaded, self._evaluate_again = True, self.progress.evaluating

    def _run_phase(self, phase: Phase) -> None:
        self._enter(phase)
        if phase.order is None:
            self._learn(phase)
        else:
            self._collect(phase, phase.order)
        if phase.result:
            self._evaluate_now(phase.name)

    def _save(self) -> None:
        self._checkpoint()
        self.learner.finish_saving()

    def _enter(self, phase: Phase) -> None:
        """Begin a phase, or go on with it where the checkpoint was taken."""
        progress, goes_on = self.progress, self.progress.phase == phase.name
        if not goes_on:
            progress.phase = phase.name
            progress.phase_from = progress.evaluated_at = progress.grad_steps
            self._collecting = None
        self._observer.phase(phase.name, phase.total, phase.unit, progress.done(phase.unit))
        if self.learner.training != phase.training.name:
            self._wait(self.learner.train(phase.training))
            self._store.was_filled()
            if goes_on:
                self._wait(self.learner.restore_method())
        if phase.batch_size:
            self._call("set_batches", phase.batch_size, phase.mixture, phase.newest)
        if self._evaluate_again:
            self._evaluator.begin(phase.name, self._config.evaluation.curve_episodes)
            self._evaluate_again = False
        if not goes_on:
            self._checkpoint()
            if phase.order is not None:  # or a death could leave it while workers collect
                self.learner.finish_saving()

    def _learn(self, phase: Phase) -> None:
        """Have the learner take what is left of so many steps, always a call ahead of it."""
        left = phase.updates - (self.progress.grad_steps - self.progress.phase_from)
        calls: deque[Future] = deque()
        while left or calls:
            while left and len(calls) < self.calls_ahead:
                count = min(self._config.learner.updates_per_call, left)
                calls.append(self.update(count))
                left -= count
            self.learned(self._wait(calls.popleft()), evaluate=phase.curve)

    def _collect(self, phase: Phase, order: Order) -> None:
        """Collect, and update as the schedule has it; the learner then knows everything."""
        if self._collecting is None:
            self._collecting = Collecting(
                self,
                self._workers,
                order,
                phase.schedule,
                together=self._config.mode == "sync",
                updates_per_call=self._config.learner.updates_per_call,
            )
        self._collecting.run()
        if phase is self._phases[-1]:  # a run with more steps may have logged more
            self._resumption.register_the_rest(self.progress)
        self._wait(self.learner.register())

    # What the collecting loop asks for.

    def counts(self) -> Counts:
        progress = self.progress
        if progress.phase == "collect":
            return Counts(progress.clone_episodes, 0, 0)
        updates = progress.grad_steps - progress.phase_from
        owing = max(0, progress.env_steps - self._config.online.warmup_steps)
        return Counts(progress.env_steps, owing, updates)

    def update(self, count: int) -> Future:
        return self.learner.update(count)

    def learned(self, report: UpdateReport, *, evaluate: bool = True) -> None:
        """Take note of updates, and start an evaluation when one is due."""
        self.progress.grad_steps = report.grad_steps
        self._observer.updated(report)
        due = self.progress.evaluated_at + self._config.evaluation.every_updates
        if evaluate and report.grad_steps >= due and self._evaluator.answer is None:
            self.progress.evaluated_at = report.grad_steps
            self._evaluator.begin(self.progress.phase, self._config.evaluation.curve_episodes)
            self._checkpoint()
            self._shard_watch.look(self._wait)

    def collected(self, report: RolloutReport) -> None:
        """Take note of episodes of the clone, or of online steps."""
        if self.progress.phase == "collect":
            self.progress.clone_episodes += report.fragments  # each is a whole episode
            lag = 0
        else:
            self.progress.env_steps += report.env_steps
            known = report.policy_version >= 0
            lag = self.progress.grad_steps - report.policy_version if known else 0
        self._observer.collected(report, lag)

    def round_over(self) -> None:
        """Take note of where the streams are, once all of a round's workers have reported."""
        self._resumption.round_over(self.progress)
        self.progress.streams = self._workers.positions
        self.learner.round_over(self.progress.streams)

    def _worker_died(self, component: str, reason: str) -> None:
        self._observer.died(component, reason)
        self._resumption.worker_died()

    def _evaluate_now(self, label: str) -> None:
        episodes = self._config.evaluation.episodes
        self._observer.evaluated(self._evaluator.result(label, episodes, self.look))

    def _checkpoint(self) -> None:
        if self.learner.training:
            self.progress.evaluating = self._evaluator.answer is not None
            self.learner.save({**self.progress.state(), "observer": self._observer.state()})

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._wait(self.learner.post(method, *arguments, **named))

    def _publish_again(self) -> Future | None:
        if not self.learner.training:
            return None
        self._observer.died("weight store", "it came back empty")
        return self.learner.post("publish")

    def _evaluated(self, evaluation: Evaluation) -> None:
        self._observer.evaluated(evaluation)
        if self.progress.phase == "online":
            self._stop.check_evaluation(evaluation)
