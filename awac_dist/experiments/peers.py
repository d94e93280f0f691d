"""`python -m awac_dist.experiments.peers`: others' code on the job of the experiment `parity`.

d3rlpy's IQL, CQL, TD3+BC, BCQ and BEAR learn offline from the embedded demonstrations,
stable-baselines3's SAC from nothing online, each with its own defaults but for what `THEIRS` says.
Their rows join those of `awac-dist experiments run parity` in docs/results/parity.csv. Neither is
a dependency: each wants a virtual environment of its own that sees ours,

    python -m venv --system-site-packages peers && peers/bin/pip install --no-deps PACKAGE
    OMP_NUM_THREADS=1 peers/bin/python -m awac_dist.experiments.peers iql --seeds 3
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from awac_dist.bench.whole_curves import played, their_episodes
from awac_dist.cli.main import call
from awac_dist.cli.parser import positional
from awac_dist.errors import InputError
from awac_dist.experiments.experiment import results_folder
from awac_dist.experiments.results import Row, cores_of, read_results, store
from awac_dist.experiments.signatures import PARITY
from awac_dist.nn.config import SQUASHED_ACTOR
from awac_dist.ranges import Checked, Count
from awac_dist.reporting.provenance import cpu_info, cpu_model

TASK = "HalfCheetah-v5"
EPISODES, CURVE_EPISODES = 40, 5
THEIRS: dict[str, tuple[str, dict[str, Any]]] = {  # method -> d3rlpy's config, and its options
    "iql": ("IQL", {}),
    "cql": ("CQL", {"alpha_learning_rate": 0.0}),  # its conservative weight stays 5
    "td3_bc": ("TD3PlusBC", {}),
    "bcq": ("BCQ", {"n_action_samples": 10, "batch_size": 256}),
    "bear": (
        "BEAR",
        {
            "n_action_samples": 10,
            "n_mmd_action_samples": 10,
            "warmup_steps": 2_500,
            "initial_alpha": 31.0,  # what ours, as the authors', comes to while it warms up
            "initial_temperature": 1e-3,  # BEAR has no entropy
            "temp_learning_rate": 0.0,
        },
    ),
}
LOG_STD = (SQUASHED_ACTOR.log_std_min + SQUASHED_ACTOR.log_std_max) / 2  # ours begin so
STEPS_AN_UPDATE = {"td3_bc": 2}  # theirs, of the critics, for one of ours
Predict = Callable[[Any], Any]
Note = Callable[[int, Predict], None]  # steps of training, and the policy then


@dataclass(frozen=True, kw_only=True)
class Peers(Checked):
    """Run others' code on the job of the experiment `parity`.

    Attributes:
        methods: Of d3rlpy iql, cql, td3_bc, bcq and bear; of stable-baselines3 sac.
        seeds: How many of each.
        steps: Of the critics offline, or of the task with sac; None is what the experiment has.
        every: Of these, between two evaluations; None is what the experiment has.
        results: The csv; None is docs/results/parity.csv.
    """

    methods: tuple[str, ...] = positional()
    seeds: Count = 3
    steps: Count | None = None
    every: Count | None = None
    results: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        for name in {*self.methods} - {*THEIRS, "sac"}:
            yield "methods", f"no method {name}; there are sac, {', '.join(THEIRS)}"


def run(options: Peers) -> None:
    """Train and evaluate all that the results lack, one after the other; each adds its rows."""
    path = Path(options.results or results_folder() / f"{PARITY.name}.csv").resolve()
    known = {(row["variant"], row["seed"]) for row in read_results(path)}
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        for method in options.methods:
            if (variant_of(method), str(seed)) in known:
                print(f"{variant_of(method)}, seed {seed} is in {path}", flush=True)
                continue
            rows = learned(method, seed, options)
            store(path, rows, PARITY)
            print(f"{rows[-1]['variant']}, seed {seed}: {rows[-1]['return']:,.0f}", flush=True)


def package_of(method: str) -> str:
    """Whose code it is."""
    return "stable-baselines3" if method == "sac" else "d3rlpy"


def variant_of(method: str) -> str:
    """Its name in the results."""
    return f"{method}, {package_of(method)}"


def learned(method: str, seed: int, options: Peers) -> list[Row]:
    """Rows of one run."""
    total, every = sizes(method)
    notes = Notes(method, seed, options.steps or total, options.every or every)
    train = train_sac if method == "sac" else train_offline
    try:
        train(method, seed, notes.total, notes.take)
    except ImportError as error:
        raise InputError(f"{package_of(method)} is not installed here: {error}") from error
    return notes.close()


@dataclass
class Notes:
    """What is written down of one run."""

    method: str
    seed: int
    total: int  # steps of training
    every: int  # of these between two evaluations

    def __post_init__(self) -> None:
        self._rows, self._env = list[Row](), gymnasium.make(TASK)
        self._began, self._used = time.monotonic(), processor_seconds()

    def take(self, steps: int, predict: Predict) -> None:
        """Evaluate the policy, where it is time."""
        if steps % self.every and steps < self.total:
            return
        count = CURVE_EPISODES if steps < self.total else EPISODES
        returns = played(self._env, predict, count, first=1_000_000)
        self._rows.append(
            self._place(steps)
            | {
                "return": round(float(np.mean(returns)), 2),
                "return_std": round(float(np.std(returns, ddof=1)), 2),
                "episodes": len(returns),
            }
        )

    def _place(self, steps: int) -> Row:
        online = self.method == "sac"
        return {
            "budget": "small",
            "task": TASK,
            "variant": variant_of(self.method),
            "method": self.method,
            "seed": str(self.seed),
            "phase": "online" if online else "offline",
            "env_steps": steps if online else 0,
            "grad_steps": steps // STEPS_AN_UPDATE.get(self.method, 1),
            "wall_s": round(time.monotonic() - self._began, 1),
        }

    def close(self) -> list[Row]:
        """All rows, in the last of them what the run cost."""
        package = package_of(self.method)
        versions = f"torch {torch.__version__}, {package} {version(package)}"
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._rows[-1] |= {
            "cpu_s": round(processor_seconds() - self._used),
            "memory_mb": round(peak_kb / 1e3),
            "machine": f"{cores_of(os.cpu_count() or 1, cpu_model(cpu_info()))}, {versions}",
        }
        return self._rows


def sizes(method: str) -> tuple[int, int]:
    """Steps in all, and between two evaluations, as in the experiment."""
    return (100_000, 10_000) if method == "sac" else (5_000, 1_000)


def processor_seconds() -> float:
    """What this process has taken so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def train_offline(method: str, seed: int, total: int, note: Note) -> None:
    """Train d3rlpy's on the demonstrations, observations in their standard deviations as ours."""
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        d3rlpy: Any = import_module("d3rlpy")
        name, options = THEIRS[method]
        scaler = d3rlpy.preprocessing.StandardObservationScaler()
        kind = getattr(d3rlpy.algos, f"{name}Config")
        algorithm = kind(observation_scaler=scaler, **options).create(device="cpu:0")
        d3rlpy.seed(seed)
        episodes = d3rlpy.dataset.create_infinite_replay_buffer(their_episodes())
        algorithm.build_with_dataset(episodes)
        if method == "bear":
            mend_bear(algorithm.impl)
        algorithm.fit(
            episodes,
            n_steps=total,
            n_steps_per_epoch=total,
            callback=lambda its, _, step: note(step, lambda seen: its.predict(seen[None])[0]),
            logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
            show_progress=False,
        )


def mend_bear(theirs: Any) -> None:
    """Let d3rlpy's BEAR be held by its MMD, and start with deviations as ours.

    Its step of alpha (2.8.1) takes minus the MMD's gradient back to the actor, too, after the
    actor's were zeroed, where it cancels that of the loss to come: its policy climbs Q unheld.
    """
    modules, step_alpha = theirs._modules, theirs.update_alpha

    def of_alpha_alone(mmd_loss: torch.Tensor) -> None:
        step_alpha(mmd_loss)
        modules.actor_optim.zero_grad()

    theirs.update_alpha = of_alpha_alone
    modules.policy._logstd.bias.data.fill_(LOG_STD)


def train_sac(method: str, seed: int, total: int, note: Note) -> None:
    """Train stable-baselines3's SAC from nothing."""
    theirs: Any = import_module("stable_baselines3")
    algorithm = theirs.SAC("MlpPolicy", gymnasium.make(TASK), seed=seed, device="cpu")

    def predict(seen: Any) -> Any:
        return algorithm.predict(seen, deterministic=True)[0]

    def after_step(*_: Any) -> bool:
        note(algorithm.num_timesteps, predict)
        return True

    algorithm.learn(total, callback=after_step)


if __name__ == "__main__":
    sys.exit(call(Peers, run, "python -m awac_dist.experiments.peers"))
