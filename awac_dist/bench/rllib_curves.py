"""AWAC through RLlib on HalfCheetah, beside our own learner and worker and beside RLlib's SAC.

Section `rllib` says how fast. All three have two critics and two hidden layers of 256; each
measurement is of one process, with one environment where steps are counted. RLlib's figures hold
what RLlib does around an update: those of AWAC are of `Algorithm.train`, those of SAC of drawing
from its buffer and updating. What the same configuration learns through `awac_dist.launch` and
through RLlib is drawn in one picture by

    python -m awac_dist.bench.rllib_curves docs/rllib-curves.png --seeds 3

from the embedded demonstrations, offline and then online, with equal seeds, networks, batches and
options; both evaluate the policy's mean action. Offline they take the same steps; online they
collect with other random numbers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from awac_dist.bench.acting import random_policy
from awac_dist.bench.curves import Curve, Plan, draw, learned
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import Measure, Rounds, in_turn, rate
from awac_dist.bench.runs import rows_of_run
from awac_dist.cli.main import call
from awac_dist.config import RunConfig
from awac_dist.data.sources import Source, open_source
from awac_dist.envs.make import env_spec
from awac_dist.learner.config import LearnerConfig
from awac_dist.learner.learner import Learner
from awac_dist.ranges import Count, Natural
from awac_dist.replay.shard import ReplayShard
from awac_dist.rollout.worker import FixedPolicy, RolloutWorker
from awac_dist.runs.runtime import InlineHandle
from awac_dist.runs.weights import WeightStore

RUN = RunConfig()
OURS, RLLIB, SAC = "standalone", "rllib", "RLlib's SAC"
BATCHES = (256, 1024)
FRAGMENT = 250  # steps between two looks at newer weights
UPDATES = 100  # between two publications of weights
EPISODES = 3  # of an evaluation of the curves
SHARE = 0.85  # of the standalone learner's updates that the RLlib path shall reach


def our_updates(batch_size: int) -> Measure:
    """Measure updates of the learner that `awac_dist.launch` starts."""
    spec = env_spec(RUN.env.id)
    sources = [open_source(name, spec) for name in RUN.data]
    learner = Learner(
        spec,
        LearnerConfig(batch_size=batch_size, threads=1),
        [_shard(sources)],
        InlineHandle(WeightStore()),
        online_capacity=1_000,
        seed=0,
        device="cpu",
        sources={source.name: source.weight for source in sources},
    )
    learner.register()
    learner.begin(RUN.algorithm, batch_size)
    return lambda: UPDATES * rate(lambda: learner.update(UPDATES))


def rllib_updates(batch_size: int) -> Measure:
    """Measure updates of `AWAC.train`, offline."""
    algorithm = _awac(batch_size)
    return lambda: UPDATES * rate(algorithm.train)


def sac_updates(batch_size: int) -> Measure:
    """Measure updates of RLlib's SAC: draw from its buffer, update."""
    algorithm = _sac(batch_size)
    while algorithm.local_replay_buffer.get_num_timesteps() < 4 * FRAGMENT:
        algorithm.local_replay_buffer.add(algorithm.env_runner.sample())

    def update() -> None:
        episodes = algorithm.local_replay_buffer.sample(
            num_items=batch_size, n_step=1, batch_length_T=0, gamma=0.99, sample_episodes=True
        )
        algorithm.learner_group.update(
            episodes=episodes, timesteps={"num_env_steps_sampled_lifetime": 0}
        )

    return lambda: rate(update)


def our_steps() -> Measure:
    """Measure environment steps of one of our workers, into a replay shard."""
    spec = env_spec(RUN.env.id)
    policy = FixedPolicy(random_policy(spec))
    worker = RolloutWorker(spec, 1, [_shard([])], policy, seed=0, worker=0)
    return lambda: FRAGMENT * rate(lambda: worker.collect_steps(FRAGMENT, "online", "online"))


def rllib_steps() -> Measure:
    """Measure environment steps of RLlib's env runner with our module, into the replay."""
    algorithm = _awac(BATCHES[0])
    return lambda: FRAGMENT * rate(lambda: algorithm.replay.add(algorithm.env_runner.sample()))


def sac_steps() -> Measure:
    """Measure environment steps of RLlib's env runner with SAC's module, into its buffer."""
    algorithm = _sac(BATCHES[0])
    buffer = algorithm.local_replay_buffer
    return lambda: FRAGMENT * rate(lambda: buffer.add(algorithm.env_runner.sample()))


def rllib(repeats: int) -> Iterator[Row]:
    """Updates a second at two batch sizes, then environment steps a second."""
    ways: dict[str, Callable[..., Measure]]
    for size in BATCHES:
        ways = {OURS: our_updates, RLLIB: rllib_updates, SAC: sac_updates}
        rounds = in_turn({name: partial(way, size) for name, way in ways.items()}, repeats)
        yield from _rows(rounds, f"AWAC through RLlib, batch {size}", "updates/s", SHARE)
    rounds = in_turn({OURS: our_steps, RLLIB: rllib_steps, SAC: sac_steps}, repeats)
    yield from _rows(rounds, "AWAC through RLlib", "env steps/s")


def _rows(rounds: Rounds, what: str, unit: str, share: float | None = None) -> Iterator[Row]:
    for peer, at_least in ((OURS, share), (SAC, None)):
        note = "one thread, one process"
        yield rounds.row(what, unit, RLLIB, peer, at_least=at_least, note=note)


def _shard(sources: Sequence[Source]) -> InlineHandle:
    discount = RUN.learner.discount
    shard = ReplayShard(0, 1, env_spec(RUN.env.id), discount=discount, log=None, sources=sources)
    return InlineHandle(shard)


def _awac(batch_size: int) -> Any:
    options = {"num_offline_updates": 10**9, "updates_per_training_step": UPDATES}
    return _built(_awac_config(train_batch_size_per_learner=batch_size, **options))


def _awac_config(**training: int) -> Any:
    from awac_dist.rllib import AWACConfig

    return AWACConfig().prior_data(RUN.data).training(**training)


def _sac(batch_size: int) -> Any:
    from ray.rllib.algorithms.sac import SACConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    config = SACConfig().training(train_batch_size_per_learner=batch_size)
    sizes = DefaultModelConfig(fcnet_hiddens=[256], head_fcnet_hiddens=[256])
    return _built(config.rl_module(model_config=sizes))


def _built(config: Any, seed: int = 0) -> Any:
    """The Algorithm, in this process."""
    import ray

    if not ray.is_initialized():
        level = logging.ERROR
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=level)
    config.environment(RUN.env.id).env_runners(rollout_fragment_length=FRAGMENT)
    config.debugging(seed=seed, log_level="ERROR")
    algorithm = config.build_algo()
    torch.set_num_threads(1)
    return algorithm


def standalone(plan: Plan, seed: int) -> Curve:
    """Run `awac_dist.launch` in a process of its own."""
    own = {
        "env": RUN.env.id,
        "mode": "sync",
        "runtime": "inline",
        "workers": 1,
        "rollout.fragment_steps": FRAGMENT,
        "learner.threads": 1,
    }
    rows = rows_of_run(own | plan.options(seed, EPISODES))
    points = {row["grad_steps"]: row["eval/return"] for row in rows if "eval/return" in row}
    return np.array(list(points.items()), np.float32)


def through_rllib(plan: Plan, seed: int) -> Curve:
    """Run RLlib in this process, evaluated when a training iteration ends in which that was due."""
    config = _awac_config(num_offline_updates=plan.offline, updates_per_training_step=plan.every)
    config.evaluation(evaluation_interval=10**9, evaluation_duration=EPISODES)  # when asked for
    algorithm = _built(config, seed)
    curve = evaluated(algorithm, plan)
    algorithm.stop()
    return curve


def evaluated(algorithm: Any, plan: Plan) -> Curve:
    """Train an Algorithm to the end of a plan; as standalone, evaluate at each phase's end, too."""
    points: list[tuple[int, float]] = []
    done, due, end = 0, plan.every, plan.offline + plan.online
    while done < end:
        algorithm.train()
        done = algorithm.grad_steps
        if done >= min(due, end) or done == plan.offline:
            runners = algorithm.evaluate()["env_runners"]
            points.append((done, runners["episode_return_mean"]))
            due = done + plan.every
    return np.array(points, np.float32)


@dataclass(frozen=True, kw_only=True)
class Curves(Plan):
    """RLlib beside awac_dist.launch: returns of both, by updates."""

    online: Natural = 4_000
    every: Count = 500


def run(plan: Curves) -> None:
    """Run all, print the last returns, draw the picture."""
    curves = learned(plan, {"awac_dist.launch": standalone, "RLlib": through_rllib}, "updates")
    print("\n".join(last_returns(curves, plan.offline)), flush=True)
    seeds_from = f"{plan.seeds} seeds; online from {plan.offline:,}"
    title = f"{RUN.env.id}, embedded demonstrations, {seeds_from}"
    what = f"return of the mean action, {EPISODES} episodes"
    draw(plan.picture, curves, title=title, where="updates", what=what)


def last_returns(curves: Mapping[str, Sequence[Curve]], offline: int) -> Iterator[str]:
    """A line for each way and phase, of those with an evaluation: mean return, and each seed's."""
    for name, seeds in curves.items():
        for phase in ("offline", "online"):
            ours = [curve[(curve[:, 0] > offline) == (phase == "online"), 1] for curve in seeds]
            if all(map(len, ours)):
                returns = [values[-1] for values in ours]
                each = ", ".join(f"{value:,.0f}" for value in returns)
                yield f"{name}: {phase} {np.mean(returns):,.0f} ({each})"


if __name__ == "__main__":
    sys.exit(call(Curves, run, "python -m awac_dist.bench.rllib_curves"))
