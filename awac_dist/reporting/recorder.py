"""Listens to a run and tells the screen and the run folder."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from awac_dist.evaluation.result import Evaluation
from awac_dist.messages import RolloutReport, UpdateReport
from awac_dist.reporting.display import Display, Status
from awac_dist.reporting.metrics import MetricsLog
from awac_dist.reporting.wording import counted, duration, mean_and_half_width, success

SHOWN = {
    "actor/effective_batch": "effective batch",
    "critic/loss": "critic loss",
    "rollout/return": "return of rollouts",
}


class Recorder:
    """What the driver reports to; the screen and the metrics follow from it.

    Args:
        display, metrics: Who are told.
        planned_updates: Of each phase that has some, to tell the time that is left.
        env_id: The task, whose returns may have a normalised score.
        keep: Brings what was written so far to where the checkpoints are.
    """

    def __init__(
        self,
        display: Display,
        metrics: MetricsLog,
        planned_updates: Mapping[str, int],
        env_id: str,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        self._env_id, self._keep = env_id, keep
        self._display, self._metrics = display, metrics
        self._left = dict(planned_updates)
        self._began, self._before_s = time.monotonic(), 0.0  # and what earlier sessions took
        self._faults: Counter[str] = Counter()
        self._status = Status()
        self._env_rate, self._update_rate = Rate(), Rate()
        self._steps_ever = 0
        self._phase_began = 0.0, 0
        self._rollouts: list[tuple[RolloutReport, int]] = []
        self._traced = False  # whether the log has a fault of an environment in full
        self._acted = False  # whether an episode has ended since the start
        self.env_steps = self.grad_steps = 0
        self.evaluations: dict[str, Evaluation] = {}  # the last of each phase

    @property
    def elapsed_s(self) -> float:
        """Of the run, over all the times that it was started."""
        return self._before_s + time.monotonic() - self._began

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain numbers and strings; all before it is written then."""
        self._keep()
        return {
            "elapsed_s": self.elapsed_s,
            "steps_ever": self._steps_ever,
            "left": dict(self._left),
            "env_steps": self.env_steps,
            "grad_steps": self.grad_steps,
            "faults": dict(self._faults),
            "evaluations": {label: asdict(one) for label, one in self.evaluations.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was taken; again if a learner dies before it has loaded."""
        self._before_s = state["elapsed_s"]
        self._steps_ever = state["steps_ever"]
        self._left, self._faults = dict(state["left"]), Counter(state["faults"])
        self.env_steps, self.grad_steps = state["env_steps"], state["grad_steps"]
        self.evaluations = {label: Evaluation(**one) for label, one in state["evaluations"].items()}
        self._status.evaluation = next(reversed(self.evaluations.values()), None)

    def phase(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """A phase of `total` units begins, or goes on after `done` of them."""
        self._note_collection()
        self._status = replace(self._status, phase=name, total=total, unit=unit, done=done)
        if unit == "env_steps":
            self.env_steps = done
        self._env_rate, self._update_rate = Rate(), Rate()
        self._phase_began = self.elapsed_s, self._steps_ever
        self.tick()

    def updated(self, report: UpdateReport) -> None:
        """The learner took some steps."""
        self.grad_steps = report.grad_steps
        if self._status.phase in self._left:
            self._left[self._status.phase] -= report.updates + report.let_off
        if self._status.unit == "updates":
            self._status.done += report.updates
        metrics = report.metrics | self._rollout_metrics()
        shown = {words: metrics[name] for name, words in SHOWN.items() if name in metrics}
        self._status.extras = {**self._status.extras, **shown}
        speeds = {
            "learner/updates_per_s": report.updates / report.seconds,
            "learner/wait_share": report.wait_s / report.seconds,
            "learner/copy_share": report.copy_s / report.seconds,
        }
        self._write(metrics | speeds)

    def collected(self, report: RolloutReport, lag: int) -> None:
        """A worker's steps were accepted; its policy was `lag` updates behind."""
        self._steps_ever += report.env_steps
        if self._status.unit == "env_steps":
            self.env_steps += report.env_steps
            self._status.done += report.env_steps
        else:
            self._status.done += len(report.finished)
        if report.finished and not self._acted:
            self._acted = True
            self.note(f"first episode after {self.elapsed_s:.1f} s")
        self._rollouts.append((report, lag))
        if report.dropped:
            self.note(f"{counted(report.dropped, 'episode')} dropped: {report.fault}")
            if not self._traced:
                self._traced = True
                self._display.log(report.trace)
            self._count("dropped_episodes", report.dropped)

    def evaluated(self, evaluation: Evaluation) -> None:
        """An evaluation is done."""
        self._status.evaluation = self.evaluations[evaluation.label] = evaluation
        values = evaluation.metrics(self._env_id)
        self._write(values, phase=evaluation.label, grad_steps=evaluation.policy_version)
        solved = f"success {success(evaluation)}; " if evaluation.successes else ""
        self.note(
            f"{evaluation.label} after {counted(evaluation.policy_version, 'update')} and "
            f"{counted(self.env_steps, 'online step')}: {solved}return "
            f"{mean_and_half_width(evaluation)} ({counted(len(evaluation.returns), 'episode')})"
        )
        if faults := evaluation.faults:
            self.note(f"{counted(len(faults), 'episode')} of it dropped; the last: {faults[-1]}")

    def died(self, component: str, reason: str) -> None:
        """A process died, and another one takes its place."""
        self.note(f"{component} died and is replaced: {reason}")
        kind = component.rstrip("0123456789 ").replace(" ", "_")
        self._count(f"{kind.removeprefix('rollout_')}_deaths")

    def went_back(self, grad_steps: int, *, evaluating: bool) -> None:
        """Updates since a checkpoint are lost and done again, maybe its evaluation, too."""
        if self._status.phase in self._left:
            self._left[self._status.phase] += self.grad_steps - grad_steps
        self.grad_steps = grad_steps
        self._metrics.forget_after(grad_steps, evaluating=evaluating)
        self._write({f"faults/{fault}": times for fault, times in self._faults.items()})

    def _count(self, fault: str, times: int = 1) -> None:
        self._faults[fault] += times
        self._write({f"faults/{fault}": self._faults[fault]})

    def note(self, line: str) -> None:
        """A line that stays on the screen."""
        self._display.note(line)

    def tick(self) -> None:
        """Time passes."""
        updates_per_s = self._update_rate.update(self.grad_steps)
        self._display.show(
            replace(
                self._status,
                env_steps_per_s=self._env_rate.update(self._steps_ever),
                updates_per_s=updates_per_s,
                elapsed_s=self.elapsed_s,
                remaining_s=self._remaining_s(updates_per_s),
            )
        )

    def _note_collection(self) -> None:
        began_s, before = self._phase_began
        steps, seconds = self._steps_ever - before, self.elapsed_s - began_s
        if self._rollouts:
            self._write(self._rollout_metrics())
        if self._status.unit == "episodes":
            self.note(
                f"{self._status.phase}: {steps:,} env_steps in {duration(seconds)}, "
                f"{steps / max(seconds, 1e-9):,.0f} env_steps/s"
            )

    def _remaining_s(self, updates_per_s: float) -> float | None:
        """Time until the last update; until the phase's end before the method's own updates run."""
        status, spent_s = self._status, self.elapsed_s - self._phase_began[0]
        if status.phase not in self._left:
            return spent_s / status.done * (status.total - status.done) if status.done else None
        return max(0, sum(self._left.values())) / updates_per_s if updates_per_s else None

    def _rollout_metrics(self) -> dict[str, float]:
        if not self._rollouts:
            return {}
        reports, lags = zip(*self._rollouts, strict=True)
        self._rollouts = []
        finished = [episode for report in reports for episode in report.finished]
        busy_s = max(sum(r.act_s + r.send_s for r in reports), 1e-9)
        wait_s = sum(r.wait_s for r in reports)
        values = {
            "rollout/env_steps_per_s": self._env_rate.update(self._steps_ever),
            "rollout/lag_mean": sum(lags) / len(lags),
            "rollout/lag_max": max(lags),
            "rollout/env_share": sum(r.env_s for r in reports) / busy_s,
            "rollout/policy_share": sum(r.policy_s for r in reports) / busy_s,
            "rollout/send_share": sum(r.send_s for r in reports) / busy_s,
            "rollout/wait_share": wait_s / (wait_s + busy_s),
        }
        if finished:
            values["rollout/return"] = sum(f.episode_return for f in finished) / len(finished)
            values["rollout/length"] = sum(f.length for f in finished) / len(finished)
        return values

    def _write(self, values: Mapping[str, float], **at: Any) -> None:
        """Log a row of this phase and these updates, where `at` says no others."""
        row: dict[str, Any] = {"phase": self._status.phase, "grad_steps": self.grad_steps, **at}
        self._metrics.write(values, **row, env_steps=self.env_steps, elapsed_s=self.elapsed_s)


class Rate:
    """Turns a cumulative count into events per second over the last `window_s` seconds."""

    def __init__(self, window_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s, self._clock = window_s, clock
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, count: int) -> float:
        """Note the cumulative count of now and return the rate.

        A count below the one before starts afresh; the first call returns 0.
        """
        now, samples = self._clock(), self._samples
        if samples and count < samples[-1][1]:
            samples.clear()
        samples.append((now, count))
        while len(samples) > 2 and samples[1][0] <= now - self._window_s:
            samples.popleft()
        elapsed = now - samples[0][0]
        return (count - samples[0][1]) / elapsed if elapsed > 0 else 0.0
