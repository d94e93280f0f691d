"""The control plane: which component does what next. Counts and places only, no arrays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from awac_dist.config import CLONE, RunConfig
from awac_dist.data.sources import Source
from awac_dist.errors import ComponentDied
from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import Future, Placement, RolloutReport, UpdateReport
from awac_dist.runs.collecting import collect_episodes
from awac_dist.runs.components import Components
from awac_dist.runs.ending import in_order
from awac_dist.runs.evaluating import EvaluatorKeeper
from awac_dist.runs.learning import LearnerKeeper
from awac_dist.runs.loading import Loader, PriorData
from awac_dist.runs.online import OnlineLoop, error_buffer
from awac_dist.runs.progress import Observer, Progress
from awac_dist.runs.rate_limiter import RateLimiter
from awac_dist.runs.runtime import Runtime
from awac_dist.runs.shard_watch import ShardWatch
from awac_dist.runs.stopping import StopConditions, Stopped
from awac_dist.runs.waiting import Lookout
from awac_dist.runs.weights import StoreWatch

CALLS_AHEAD = 2  # update calls that the learner has before it, so that it never waits for us;
# one in sync mode, where an evaluation must find the weights of the call that made it due


class Driver:
    """Runs the phases of one run: load, clone, collect, offline, online.

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
        self._stop, self._resume = StopConditions(config.online, stop_asked), resume
        self.learner = LearnerKeeper(
            config, components.start_learner, components.shards, checkpoints
        )
        self._evaluator = EvaluatorKeeper(
            components.start_evaluator, observer.died, lambda: self._call("publish")
        )
        components.workers.died = observer.died
        self._shard_watch = ShardWatch(components.shards, observer.died)
        store = StoreWatch(
            components.weights, self._publish_again, lambda futures: runtime.wait(futures, 0)
        )
        lookout = Lookout(runtime, observer, store, self._stop, self._evaluator, self._evaluated)
        self.look, self._wait = lookout.look, lookout.wait
        self._loaded = self._evaluate_again = False
        self._demonstrations: list[str] = []
        self._loop: OnlineLoop | None = None
        self.calls_ahead = 1 if config.mode == "sync" else CALLS_AHEAD
        self.progress = Progress()

    def run(self) -> str | None:
        """Go through all phases; returns why the run ended early, or None.

        Raises:
            InputError: Before anything was learned or collected.
            RunFailed: Later; names the checkpoint from which the run can go on.
        """
        shards, note = self._components.shards, self._observer.note
        with in_order(self.learner, shards, lambda: self.progress.has_begun, note):
            return self._run_phases()

    def _run_phases(self) -> str | None:
        reason = None
        try:
            self._go_through("load", "clone", "collect", "offline", "online", "save")
        except Stopped as stop:
            self._observer.note(f"stopping: {stop}")
            self._stop.ending, reason = True, str(stop)
            if not stop.in_a_hurry and self.progress.phase in ("offline", "online"):
                self._evaluate_now(self.progress.phase)
            try:
                self._save()
            except ComponentDied as death:
                self._observer.note(f"the last checkpoint but one is kept: {death}")
        return reason

    def _go_through(self, *phases: str) -> None:
        """Run phases in order, from the one of the checkpoint on; again where the learner dies."""
        at = 0
        while at < len(phases):
            try:
                getattr(self, f"_{phases[at]}")()
            except ComponentDied as death:
                self._revive_learner(str(death))
                at = self._next_of(phases, 0)
            else:
                at = self._next_of(phases, at + 1)

    def _next_of(self, phases: Sequence[str], at: int) -> int:
        """Number of the phase to run: not before the one that goes on, and `load` only once."""
        goes_on = phases.index(self.progress.phase)
        return max(at, goes_on, int(self._loaded))

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
                    self.progress.go_back_to(self.learner.restart() or Progress().state())
                    self._evaluator.drop()  # it may be of updates that are lost
                    self._evaluate_again = again = self.progress.evaluating
                    self._observer.went_back(self.progress.grad_steps, evaluating=again)
                else:
                    self.learner.begin_anew()
                return
            except ComponentDied as death:
                reason = str(death)

    # Phases, in the order in which they run.

    def _load(self) -> None:
        self._observer.phase("load", len(self._sources), "sources")
        answers = [shard.post("load") for shard in self._components.shards]
        prior = PriorData(self._sources, [self._wait(answer) for answer in answers])
        self._demonstrations = prior.demonstrations
        workers = self._components.workers
        checkpoint = self.learner.newest() if self._resume else None
        loader = Loader(self._config, self.learner, self._observer, len(workers), checkpoint)
        self.progress = loader.load(prior)
        workers.resume(self.progress.streams.values(), self._wait, self._observer.note)
        self._loaded, self._evaluate_again = True, self.progress.evaluating

    def _clone(self) -> None:
        updates = self._config.clone.updates
        if updates and not self._demonstrations:
            self._observer.note("no source holds demonstrations alone: there is nothing to clone")
        if updates and self._demonstrations:
            self._enter("clone", updates, "updates", trains="clone")
            self._learn(updates, evaluate=False)
            self._evaluate_now("clone")

    def _collect(self) -> None:
        clone = self._config.clone
        if not (clone.updates and clone.episodes and self._demonstrations):
            return
        self._enter("collect", clone.episodes, "episodes", trains="clone")
        left = clone.episodes - self.progress.clone_episodes
        workers = self._components.workers
        placements: list[list[Placement]] = [[] for _ in workers]
        for worker, report in collect_episodes(workers, left, "prior", CLONE, self.look):
            self._observer.collected(report, lag=0)
            self.progress.collected(report)
            placements[worker] += report.placements
        self.progress.clone_episodes = clone.episodes
        self._wait(self.learner.add(list(chain(*placements))))  # in worker order

    def _offline(self) -> None:
        updates = self._config.offline.updates
        if updates:
            self._enter("offline", updates, "updates", trains="awac")
            self._learn(updates, evaluate=True)
            self._evaluate_now("offline")

    def _online(self) -> None:
        online, config = self._config.online, self._config
        if not online.env_steps:
            return
        self._enter("online", online.env_steps, "env_steps", trains="awac")
        self._call("set_batches", config.learner.batch_size, config.replay.mixture or {})
        if self._loop is None:
            buffer = error_buffer(config, len(self._components.workers))
            self.progress.begin_limiter(RateLimiter(online.updates_per_step, buffer))
            self._loop = OnlineLoop(self, config, self.learner, self._components.workers)
        self._loop.run()
        self._evaluate_now("online")

    def _save(self) -> None:
        self._checkpoint()
        self.learner.finish_saving()

    # What the phases are made of.

    def _enter(self, phase: str, total: int, unit: str, *, trains: str) -> None:
        """Begin a phase, or go on with it where the checkpoint was taken."""
        progress, goes_on = self.progress, self.progress.phase == phase
        if not goes_on:
            progress.phase = phase
            progress.phase_from = progress.evaluated_at = progress.grad_steps
        self._observer.phase(phase, total, unit, progress.done(unit))
        if self.learner.training != trains:
            self._wait(self.learner.train(trains, self._demonstrations))
            if goes_on:
                self.learner.restore_method()
        if self._evaluate_again:
            self._evaluator.begin(phase, self._config.evaluation.curve_episodes)
            self._evaluate_again = False
        if not goes_on:
            self._checkpoint()

    def _learn(self, updates: int, *, evaluate: bool) -> None:
        """Have the learner take what is left of so many steps, always a call ahead of it."""
        left = updates - (self.progress.grad_steps - self.progress.phase_from)
        calls: deque[Future] = deque()
        while left or calls:
            while left and len(calls) < self.calls_ahead:
                count = min(self._config.learner.updates_per_call, left)
                calls.append(self.learner.update(count))
                left -= count
            self.learned(self._wait(calls.popleft()), evaluate=evaluate)

    @property
    def limiter(self) -> RateLimiter:
        return self.progress.limiter

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
        """Take note of online steps."""
        self.progress.env_steps += report.env_steps
        self.progress.collected(report)
        known = report.policy_version >= 0
        lag = self.progress.grad_steps - report.policy_version if known else 0
        self._observer.collected(report, lag)

    def _evaluate_now(self, label: str) -> None:
        while self._evaluator.answer is not None:
            self.look()
        self._evaluator.begin(label, self._config.evaluation.episodes)
        evaluation = None
        while evaluation is None:
            while not self.look([self._evaluator.current]):
                pass
            evaluation = self._evaluator.finish()
        self._observer.evaluated(evaluation)

    def _checkpoint(self) -> None:
        if self.learner.training:
            self.progress.evaluating = self._evaluator.answer is not None
            self.learner.save({**self.progress.state(), "observer": self._observer.state()})

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._wait(self.learner.post(method, *arguments, **named))

    def _publish_again(self) -> None:
        if self.learner.training:
            self._observer.died("weight store", "it came back empty")
            self.learner.post("publish")

    def _evaluated(self, evaluation: Evaluation) -> None:
        self._observer.evaluated(evaluation)
        if self.progress.phase == "online":
            self._stop.check_evaluation(evaluation)
