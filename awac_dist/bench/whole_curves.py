"""Training as a whole beside d3rlpy's: a run with four workers, and a loop in one process.

Both learn HalfCheetah with the same settings: networks, batches, step sizes, temperature, one
update a step online; d3rlpy's entropy bonus is switched off. Both use all cores as they see fit.

Section `whole` says how fast: equally many steps are equally much experience and equally many
updates, so that the ratio of steps a second is that of speed alone. How much sooner the same is
learned is drawn by

    python -m awac_dist.bench.whole_curves docs/whole-curves.png --seeds 3

from the embedded demonstrations, offline and then online. Its seconds are those of training after
the first 100 updates, so that starting is in neither: our evaluator runs beside the training and
takes from it, the time of d3rlpy's evaluations is taken out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from typing import Any

import gymnasium
import numpy as np
import torch

from awac_dist.bench.curves import Curve, Plan, draw, learned, mean_curve, reached_at
from awac_dist.bench.d3rlpy_awac import their_algorithm
from awac_dist.bench.hardware import hardware
from awac_dist.bench.products import HALF_CHEETAH
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import PEER, Measure, in_turn
from awac_dist.bench.runs import rows_of_run
from awac_dist.cli.main import call
from awac_dist.config import RunConfig
from awac_dist.data.sources import open_source, read_share
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.ranges import Count, Natural

ENV = HALF_CHEETAH.env_id
WORKERS = 4
BATCH = 256
STEPS = 2_100  # of a round, of which the first third is not timed
TEMPERATURE = 10.0
SOONER = 1.5
SETTINGS = {  # as d3rlpy's
    "env": ENV,
    "workers": WORKERS,
    "learner.batch_size": BATCH,
    "algorithm.temperature": TEMPERATURE,
    "algorithm.effective_batch": None,
    "replay.normalize_observations": False,
}
ROUND = Plan(picture="", offline=0, online=STEPS, every=STEPS)
EPISODES = 5
FIRST = RunConfig().learner.updates_per_call  # updates from whose end seconds are counted
OURS, THEIRS = f"awac_dist, {WORKERS} workers", f"{PEER}, one process"


def our_rate() -> Measure:
    """Measure runs with as many workers, each from its start to its end."""
    return lambda: online_rate(rows_of_run(SETTINGS | ROUND.options(seed=0, episodes=1)))


def online_rate(rows: Sequence[Mapping[str, Any]]) -> float:
    """Environment steps a second of a run's online phase after its first third."""
    updates = [row for row in rows if row["phase"] == "online" and "critic/loss" in row]
    timed = [row for row in updates if row["grad_steps"] >= STEPS / 3]
    first, last = timed[0], timed[-1]
    steps: int = last["grad_steps"] - first["grad_steps"]  # one update a step
    return steps / (last["elapsed_s"] - first["elapsed_s"])


def their_rate() -> Measure:
    """Measure d3rlpy's own online loop."""

    def measure() -> float:
        times: list[float] = []  # after each step
        train_theirs(ROUND, 0, lambda *_: times.append(time.perf_counter()))
        first, last = STEPS // 3, STEPS
        return (last - first) / (times[last - 1] - times[first - 1])

    return measure


def whole(repeats: int) -> Iterator[Row]:
    """Steps a second at one update a step."""
    rounds = in_turn({"ours": our_rate, PEER: their_rate}, repeats)
    what, note = f"{ENV}, {WORKERS} workers, one update of {BATCH} a step", "both on all cores"
    yield rounds.row(what, "steps/s", "ours", PEER, at_least=SOONER, note=f"{note}; same settings")


def ours(plan: Plan, seed: int) -> Curve:
    """Run `awac_dist.launch` in processes of its own."""
    return curve_of(rows_of_run(SETTINGS | plan.options(seed, EPISODES)))


def curve_of(rows: Sequence[dict[str, Any]]) -> Curve:
    """Evaluations of a run, each where the updates of the evaluated policy were done."""
    done = [(row["grad_steps"], row["elapsed_s"]) for row in rows if "critic/loss" in row]
    began = next(elapsed for updates, elapsed in done if updates >= FIRST)
    seconds = {updates: elapsed - began for updates, elapsed in reversed(done)}
    points = {
        seconds[row["grad_steps"]]: row["eval/return"]
        for row in rows
        if "eval/return" in row and row["grad_steps"] in seconds
    }
    return np.array(list(points.items()), np.float32)


class Watch:
    """d3rlpy's callback: evaluates every so many steps, and stops the clock for it."""

    def __init__(self, every: int) -> None:
        self._every, self._env = every, gymnasium.make(ENV)
        self._began, self._steps, self._evaluation = 0.0, 0, 0
        self.points: list[tuple[float, float]] = []

    def __call__(self, algorithm: Any, epoch: int, step: int) -> None:
        self._steps += 1
        if self._steps == FIRST:
            self._began = time.perf_counter()
        if self._steps % self._every:
            return
        stopped = time.perf_counter()
        self.points.append((stopped - self._began, self._mean_return(algorithm)))
        self._began += time.perf_counter() - stopped

    def _mean_return(self, algorithm: Any) -> float:
        first = 1_000_001 + self._evaluation
        self._evaluation += EPISODES
        returns = played(self._env, lambda seen: algorithm.predict(seen[None])[0], EPISODES, first)
        return float(np.mean(returns))


def played(env: Any, predict: Callable[[Any], Any], episodes: int, first: int) -> list[float]:
    """Returns of whole episodes of somebody's policy, whose seeds follow the first."""
    returns = []
    for seed in range(first, first + episodes):
        (observation, _), total, ended = env.reset(seed=seed), 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(predict(observation))
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return returns


def theirs(plan: Plan, seed: int) -> Curve:
    """Run d3rlpy in this process, on all cores."""
    torch.set_num_threads(hardware().cores)
    watch = Watch(plan.every)
    train_theirs(plan, seed, watch)
    return np.array(watch.points, np.float32)


def train_theirs(plan: Plan, seed: int, callback: Callable[[Any, int, int], None]) -> None:
    """Train d3rlpy's AWAC, which logs and prints nothing, with a callback after each step."""
    env = gymnasium.make(ENV)
    env.reset(seed=seed)
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        from d3rlpy import seed as set_seed
        from d3rlpy.dataset import create_fifo_replay_buffer
        from d3rlpy.logging import NoopAdapterFactory

        set_seed(seed)
        prior = their_episodes() if plan.offline else None
        replay = create_fifo_replay_buffer(1_000_000, episodes=prior, env=env)
        algorithm = their_algorithm(BATCH, TEMPERATURE)
        options: dict[str, Any] = {
            "callback": callback,
            "logger_adapter": NoopAdapterFactory(),
            "n_steps_per_epoch": plan.every,
            "show_progress": False,
        }
        if plan.offline:
            algorithm.fit(replay, n_steps=plan.offline, **options)
        start = 0 if plan.offline else BATCH
        algorithm.fit_online(env, replay, n_steps=plan.online, update_start_step=start, **options)


def their_episodes() -> list[Any]:
    """The embedded demonstrations as d3rlpy has episodes."""
    from d3rlpy.dataset import Episode

    spec = env_spec(ENV)
    own = [read_share(open_source(name, spec), spec, 0, 1) for name in RunConfig().data]
    return [
        Episode(its.observations[:-1], its.actions, its.rewards[:, None], its.terminated)
        for episodes in own
        for _, its in episodes
    ]


@dataclass(frozen=True, kw_only=True)
class Curves(Plan):
    """Returns by seconds, beside d3rlpy's loop."""

    online: Natural = 6_000
    every: Count = 1_000


def run(plan: Curves) -> None:
    """Run all, print when each reaches what both reach, draw the picture."""
    if not find_spec(PEER):
        raise InputError(f"{PEER} is not installed: see docs/speed.md")
    curves = learned(plan, {OURS: ours, THEIRS: theirs}, "s")
    print("\n".join(told_apart(curves)))
    title = f"{ENV} from demonstrations, then online, {plan.seeds} seeds"
    what = f"return of the mean action, {EPISODES} episodes"
    draw(plan.picture, curves, title=title, where="seconds of training", what=what)


def told_apart(curves: Mapping[str, Sequence[Curve]]) -> list[str]:
    """When the mean of each way's seeds is where the lower of both gets at its best."""
    means = {name: mean_curve(seeds) for name, seeds in curves.items()}
    wanted = min(curve[:, 1].max() for curve in means.values())
    at = {name: reached_at(curve, wanted) for name, curve in means.items()}
    lines = [f"{name}: {wanted:,.0f} after {seconds:,.0f} s" for name, seconds in at.items()]
    return [*lines, f"{at[THEIRS] / at[OURS]:.2f} times sooner"]


if __name__ == "__main__":
    sys.exit(call(Curves, run, "python -m awac_dist.bench.whole_curves"))
