"""Online training as a whole: a run with four workers beside d3rlpy's loop in one process.

Both step HalfCheetah and take one update of the same size for each step, so equally many steps
are equally much experience and equally many updates: the ratio of steps a second is that of speed
alone. `whole_curves` shows what is learned by when. Both use all cores as they see fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awac_dist.bench.d3rlpy_awac import quiet_training, their_algorithm
from awac_dist.bench.products import HALF_CHEETAH
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import PEER, Measure, in_turn
from awac_dist.bench.runs import rows_of_run

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
}
LENGTH = {
    "clone.updates": 0,
    "offline.updates": 0,
    "online.env_steps": STEPS,
    "evaluation.episodes": 1,
    "evaluation.every_updates": STEPS,
}


def ours() -> Measure:
    """Measure runs with as many workers, each from its start to its end."""
    return lambda: online_rate(rows_of_run(SETTINGS | LENGTH))


def online_rate(rows: Sequence[Mapping[str, Any]]) -> float:
    """Environment steps a second of a run's online phase after its first third."""
    updates = [row for row in rows if row["phase"] == "online" and "critic/loss" in row]
    timed = [row for row in updates if row["grad_steps"] >= STEPS / 3]
    first, last = timed[0], timed[-1]
    steps: int = last["grad_steps"] - first["grad_steps"]  # one update a step
    return steps / (last["elapsed_s"] - first["elapsed_s"])


def theirs() -> Measure:
    """Measure d3rlpy's own online loop."""
    import gymnasium

    def measure() -> float:
        env = gymnasium.make(ENV)
        times: dict[int, float] = {}
        with quiet_training(STEPS) as options:
            from d3rlpy.dataset import create_fifo_replay_buffer

            their_algorithm(BATCH, TEMPERATURE).fit_online(
                env,
                create_fifo_replay_buffer(limit=1_000_000, env=env),
                n_steps=STEPS,
                update_start_step=BATCH,
                callback=lambda algorithm, epoch, step: times.setdefault(step, time.perf_counter()),
                **options,
            )
        first, last = STEPS // 3, STEPS
        return (last - first) / (times[last] - times[first])

    return measure


def whole(repeats: int) -> Iterator[Row]:
    """Steps a second at one update a step."""
    rounds = in_turn({"ours": ours, PEER: theirs}, repeats)
    what, note = f"{ENV}, {WORKERS} workers, one update of {BATCH} a step", "both on all cores"
    yield rounds.row(what, "steps/s", "ours", PEER, at_least=SOONER, note=f"{note}; same settings")
