"""The same configuration through `awac_dist.launch` and through RLlib: both curves in one picture.

    python -m awac_dist.bench.rllib_curves docs/rllib-curves.png --seeds 3

Both learn HalfCheetah from the embedded demonstrations, offline and then online, with equal seeds,
networks, batches and options; both evaluate the policy's mean action. Offline they take the same
steps; online they collect with other random numbers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from awac_dist.bench.curves import Curve, Plan, draw, learned
from awac_dist.bench.runs import rows_of_run
from awac_dist.cli.main import call
from awac_dist.config import RunConfig
from awac_dist.ranges import Count, Natural

ENV, FRAGMENT, EPISODES = RunConfig().env, 250, 3


def standalone(plan: Plan, seed: int) -> Curve:
    """Run `awac_dist.launch` in a process of its own."""
    own = {
        "env": ENV,
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
    """Run RLlib in this process; a training iteration ends where an evaluation is due."""
    from awac_dist.rllib import AWACConfig

    config = (
        AWACConfig()
        .environment(ENV)
        .prior_data(RunConfig().data)
        .training(num_offline_updates=plan.offline, updates_per_training_step=plan.every)
        .env_runners(rollout_fragment_length=FRAGMENT)
        .debugging(seed=seed, log_level="ERROR")
        .evaluation(evaluation_interval=10**9, evaluation_duration=EPISODES)  # when asked for
    )
    algorithm = config.build_algo()
    points: dict[int, float] = {}
    while algorithm.grad_steps < plan.offline + plan.online:
        algorithm.train()
        if algorithm.grad_steps % plan.every == 0:
            runners: Any = algorithm.evaluate()["env_runners"]
            points[algorithm.grad_steps] = float(runners["episode_return_mean"])
    algorithm.stop()
    return np.array(list(points.items()), np.float32)


@dataclass(frozen=True, kw_only=True)
class Curves(Plan):
    """RLlib beside awac_dist.launch: returns of both, by updates."""

    online: Natural = 4_000
    every: Count = 500


def run(plan: Curves) -> None:
    """Run all, print the last returns, draw the picture."""
    curves = learned(plan, {"awac_dist.launch": standalone, "RLlib": through_rllib}, "updates")
    for name, seeds in curves.items():
        for what, at in (("offline", plan.offline), ("online", plan.offline + plan.online)):
            returns = [curve[curve[:, 0] == at, 1].item() for curve in seeds]
            each = ", ".join(f"{value:,.0f}" for value in returns)
            print(f"{name}: {what} {np.mean(returns):,.0f} ({each})", flush=True)
    draw(
        plan.picture,
        curves,
        title=f"{ENV}, embedded demonstrations, {plan.seeds} seeds; online from {plan.offline:,}",
        where="updates",
        what=f"return of the mean action, {EPISODES} episodes",
    )


if __name__ == "__main__":
    sys.exit(call(Curves, run, "python -m awac_dist.bench.rllib_curves"))
