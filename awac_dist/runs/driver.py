"""The control plane: which component does what next. Counts and positions only, no arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from awac_dist.config import NOTHING_TO_CLONE
from awac_dist.envs.trial import Trial
from awac_dist.errors import ComponentDied, InputError, RunFailed, RuntimeLost, within_memory
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Handle, RolloutReport, UpdateReport
from awac_dist.runs.collecting import Collecting, Counts
from awac_dist.runs.components import Components
from awac_dist.runs.evaluating import EvaluatorSupervisor
from awac_dist.runs.event_loop import EventLoop, Stopped, StoreWatch
from awac_dist.runs.learning import LearnerSupervisor
from awac_dist.runs.loading import PriorData, Resumption
from awac_dist.runs.phases import Phase, phases_of, reached
from awac_dist.runs.progress import Observer, Progress


@dataclass
class Driver:
    """Runs the phases of one run."""

    components: Components
    observer: Observer
    stop_asked: Callable[[], bool]
    checkpoint: str | None = None  # the newest of a run that is resumed, if it left one
    seen: Trial | None = None  # of the task, to look at prior data beside it
    began: float | None = None  # `time.monotonic` from which `online.max_minutes` count; None: now

    def __post_init__(self) -> None:
        components, observer = self.components, self.observer
        self._config = config = components.config
        limit = config.online.max_minutes
        self.loop = EventLoop(components.runtime, observer, limit, self.stop_asked, self.began)
        self.learner = LearnerSupervisor(
            components.start_learner,
            f"{components.folder}/checkpoints",
            self.loop,
            in_rounds=config.mode == "sync",
        )
        self.look, self.wait, self.update = self.loop.look, self.loop.wait, self.learner.update
        publish = partial(self.learner.call, "publish")
        self._evaluator = EvaluatorSupervisor(
            components.start_evaluator, observer.died, self.loop, publish
        )
        self._evaluates = config.evaluation.episodes > 0
        if self._evaluates:
            self._evaluator.start()
        self._store = StoreWatch(components.weights, self.loop, self._publish_again)
        self._workers = components.workers
        self._workers.died = self._worker_died
        self._resumption = Resumption(components, self.learner, self.loop, observer)
        self._loaded = self._evaluate_again = False
        self._shard_restarts = 0
        self._phases: list[Phase] = []
        self._phase: Phase  # that goes on
        self._collecting: Collecting | None = None
        self.progress = Progress()

    def run(self) -> str | None:
        """Go through all phases; returns why the run ended early, or None.

        Whatever happens, the shards write what they were given.

        Raises:
            InputError: Before anything was learned or collected.
            RuntimeLost: What everything runs on is gone.
            RunFailed: Later; names the checkpoint from which the run can go on.
        """
        try:
            try:
                with within_memory():
                    self._go_through()
            except Stopped as stop:
                self._end_early(stop)
                return str(stop)
        except (InputError, RunFailed) as error:
            began = self.progress.grad_steps or self.progress.env_steps
            if isinstance(error, RuntimeLost) or (isinstance(error, InputError) and not began):
                raise
            raise RunFailed(f"{error}; {self.learner.left()}") from error
        finally:
            self.loop.hurry()
            self._put_away()
        return None

    def _end_early(self, stop: Stopped) -> None:
        self.observer.note(f"stopping: {stop}")
        phase = self.progress.phase if self.learner.training else "load"
        try:
            if not stop.in_a_hurry and phase in ("offline", "online"):
                self._evaluate_now(phase)
        except (ComponentDied, Stopped) as again:
            self.observer.note(f"stopping: {again}")
        self.loop.hurry(self._collecting.slowest_s if self._collecting else 0.0)
        try:
            if self._collecting:
                self._collecting.hear_out()  # the checkpoint has these updates
            self._checkpoint(wait=True)
        except (ComponentDied, Stopped) as reason:
            self.observer.note(f"the last checkpoint but one is kept: {reason}")

    def _put_away(self) -> None:
        """Have the shards write Parquet, or it stays in journals; the workers close hardware."""
        self._last_call(self.components.shards, "flush", "what was collected stays in journals")
        if not self.components.spec.repeatable:
            self._last_call(self._workers.handles, "close", "an environment was not closed")

    def _last_call(self, handles: Sequence[Handle], method: str, otherwise: str) -> None:
        try:
            for answer in [handle.post(method) for handle in handles]:
                self.loop.wait(answer)
        except (InputError, RunFailed, ComponentDied, Stopped) as error:
            self.observer.note(f"{otherwise}: {error}")

    def _go_through(self) -> None:
        """Go through the phases, from the one of the checkpoint on; again where a learner dies."""
        while True:
            try:
                if not self._loaded:
                    self._load()
                for phase in self._phases[reached(self._phases, self.progress.phase) :]:
                    self._run_phase(phase)
                self._checkpoint(wait=True, finished=True)
                return
            except ComponentDied as death:
                self._revive_learner(str(death))

    def _revive_learner(self, reason: str) -> None:
        """Start another one from the last checkpoint; RunFailed where they die again and again."""
        while True:
            self.observer.died("learner", reason)
            self.learner.count_death(self.progress.grad_steps, reason)
            try:
                if self._loaded:
                    self.progress.go_back_to(self.learner.restart(self.progress.streams))
                    self._evaluator.drop()  # it may be of updates that are lost
                    self._evaluate_again = again = self.progress.evaluating
                    self.observer.went_back(self.progress.grad_steps, evaluating=again)
                else:
                    self.learner.begin_anew()
                return
            except ComponentDied as death:
                reason = str(death)

    def _load(self) -> None:
        sources, note, replay = self.components.sources, self.observer.note, self._config.replay
        self.observer.phase("load", len(sources), "sources")
        self.progress = self._resumption.load(self.checkpoint)
        prior = PriorData(sources, self._ask_shards("load"))
        limit = self.components.spec.max_episode_steps
        for line in prior.described(limit, clipped=replay.clip_prior_actions):
            note(line)
        for line in prior.doubts(self.seen, normalized=replay.normalize_observations):
            note(f"warning: {line}")
        prior.check_mixture(self._config)
        if self._config.clones and not prior.demonstrations:
            note(NOTHING_TO_CLONE)
        if self._evaluates:
            self._evaluator.check()
        self._phases = phases_of(self._config, prior.demonstrations, len(self._workers))
        self._loaded, self._evaluate_again = True, self.progress.evaluating

    def _ask_shards(self, method: str) -> list[Any]:
        answers = [shard.post(method) for shard in self.components.shards]
        return [self.loop.wait(answer) for answer in answers]

    def _run_phase(self, phase: Phase) -> None:
        if self._collecting is None or self._phase is not phase:
            self._phase = phase
            self._collecting = Collecting(
                self,
                self._workers,
                phase.order,
                phase.schedule,
                together=self._config.mode == "sync",
                updates_per_call=self._config.learner.updates_per_call,
            )
        self._enter(phase)
        self._collecting.run()
        if phase.order.collects:  # the learner then knows everything
            if phase is self._phases[-1]:  # a run with more steps may have logged more
                self._resumption.register_the_rest(self.progress)
            self.learner.register()
        if phase.result:
            self._evaluate_now(phase.name)

    def _enter(self, phase: Phase) -> None:
        """Begin a phase, or go on with it where the checkpoint was taken."""
        progress, goes_on = self.progress, self.progress.phase == phase.name
        if not goes_on:
            progress.phase = phase.name
            progress.phase_from = progress.evaluated_at = progress.grad_steps
            progress.let_off = 0
        unit, total = phase.order.unit, phase.order.total
        self.observer.phase(phase.name, total, unit, progress.done(unit))
        if self.learner.training != phase.training.name:
            self.learner.train(phase.training, go_on=goes_on)
            self._store.was_filled()
        if phase.batches:
            self.learner.call("set_batches", **phase.batches)
        if self._evaluate_again:
            self._evaluate_beside()
            self._evaluate_again = False
        if not goes_on:  # waits, or a death could leave it while workers collect
            self._checkpoint(wait=phase.order.collects)

    # What the collecting loop asks for.

    def counts(self) -> Counts:
        progress = self.progress
        owing = max(0, progress.env_steps - self._config.online.warmup_steps)
        return Counts(progress.done(self._phase.order.unit), owing, progress.updates)

    def learned(self, report: UpdateReport) -> None:
        """Take note of updates, and start an evaluation when one is due."""
        self.heard(report)
        due = self.progress.evaluated_at + self._config.evaluation.every_updates
        if self._phase.curve and report.grad_steps >= due and not self._evaluator.is_busy:
            self.progress.evaluated_at = report.grad_steps
            self._evaluate_beside()
            self._checkpoint()
            self._look_at_shards()

    def heard(self, report: UpdateReport) -> None:
        """Take note of updates."""
        self.progress.grad_steps = report.grad_steps
        self.progress.let_off += report.let_off
        self.observer.updated(report)
        if report.note:
            self.observer.note(report.note)

    def collected(self, report: RolloutReport) -> None:
        """Take note of episodes of the clone, or of online steps."""
        lag = 0
        if self.progress.phase == "collect":
            self.progress.clone_episodes += report.fragments  # each is a whole episode
            self.learner.call_aside("look_ahead")
        else:
            self.progress.env_steps += report.env_steps
            if report.policy_version >= 0:
                lag = self.progress.grad_steps - report.policy_version
        self.observer.collected(report, lag)

    def round_over(self) -> None:
        """Take note of where the streams are, once all of a round's workers have reported."""
        try:
            self._resumption.round_over(self.progress)
        finally:  # the workers' streams are elsewhere even where this is cut short
            self.progress.streams = self._workers.positions
            self.learner.round_over(self.progress.streams)

    def _worker_died(self, component: str, reason: str) -> None:
        self.observer.died(component, reason)
        self._resumption.worker_died()

    def _look_at_shards(self) -> None:
        """Tell of those that Ray started again, which nobody else notices."""
        restarts = sum(self._ask_shards("restarts"))
        for _ in range(self._shard_restarts, restarts):
            self.observer.died("replay shard", "it came back whole")
        self._shard_restarts = restarts

    def _evaluate_now(self, label: str) -> None:
        if self._evaluates:
            episodes = self._config.evaluation.episodes
            self.observer.evaluated(self._evaluator.result(label, episodes))

    def _evaluate_beside(self) -> None:
        if self._evaluates:
            episodes = self._config.evaluation.curve_episodes
            self._evaluator.begin(self.progress.phase, episodes, self._evaluated)
            if self._config.mode == "sync":  # else the load would say when the next one begins
                self._evaluator.wait()

    def _evaluated(self, evaluation: Evaluation) -> None:
        self.observer.evaluated(evaluation)
        wanted = self._config.online.stop_at_return
        if self.progress.phase == "online" and wanted is not None and evaluation.mean >= wanted:
            self.loop.stop(f"return {evaluation.mean:.0f} reached {wanted:g}")

    def _checkpoint(self, *, wait: bool = False, finished: bool = False) -> None:
        if self.learner.training:
            self.progress.evaluating = self._evaluator.is_busy
            state = {**self.progress.state(), "finished": finished}
            self.learner.save({**state, "observer": self.observer.state()})
        if wait:
            self.learner.finish_saving()

    def _publish_again(self) -> None:
        if self.learner.training:
            self.observer.died("weight store", "it came back empty")
            self.learner.call_aside("publish")
