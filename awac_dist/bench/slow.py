"""Whole runs on an environment that takes 20 ms a step, as a robot's does, with 1 to 64 workers.

More workers bring more steps until the learner, who owes an update for each, is what all wait for:
from there on the rate limiter holds the workers, and their policies stay fresh.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from awac_dist.bench.replay import random_episodes
from awac_dist.bench.report import Row, of_workers
from awac_dist.bench.runs import rows_of_run
from awac_dist.bench.workers import SLOW
from awac_dist.data.parquet import write_episodes
from awac_dist.envs.make import env_spec

WORKERS = (1, 4, 16, 64)
SECONDS_ALONE = 6  # that a run's steps would take without a learner
STEPS_PER_S = 50  # of a worker
OPTIONS = {
    "env": SLOW,
    "clone.updates": 0,
    "offline.updates": 50,
    "rollout.fragment_steps": 25,
    "learner.updates_per_call": 50,
    "evaluation.episodes": 1,
    "evaluation.every_updates": 1_000_000,
    "algorithm.actor.hidden": (64, 64),
    "algorithm.critic.hidden": (64, 64),
}


def slow(repeats: int) -> Iterator[Row]:
    """Online steps a second, with the time that workers wait and how old their policies get.

    Each run is one round, whatever the repeats: it takes a minute.
    """
    alone = 0.0
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/prior.parquet"
        write_episodes(data, random_episodes(3), env_spec(SLOW))
        for workers in WORKERS:
            steps = SECONDS_ALONE * STEPS_PER_S * workers
            own = {"data": data, "workers": workers, "online.env_steps": steps}
            row = _row(workers, alone, rows_of_run(OPTIONS | own))
            alone = alone or row.value
            yield row


def _row(workers: int, alone: float, rows: Sequence[Mapping[str, Any]]) -> Row:
    """What the metrics of a run say of its online phase."""
    acted = [its for its in rows if its["phase"] == "online" and "rollout/wait_share" in its]
    first, last = acted[0], acted[-1]
    steps, seconds = (last[name] - first[name] for name in ("env_steps", "elapsed_s"))
    wait_share, lag = (
        mean(its[f"rollout/{name}"] for its in acted) for name in ("wait_share", "lag_mean")
    )
    note = f"workers wait {wait_share:.0%}, policies are {lag:.0f} updates old"
    return of_workers(workers, steps / seconds, alone, note=note)
