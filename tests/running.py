"""Small whole runs for tests: Pendulum, a few demonstrations, tiny networks."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import MethodConfig
from awac_dist.config import CloneConfig, OfflineConfig, OnlineConfig, RunConfig
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import open_source
from awac_dist.envs.make import env_spec, make_env
from awac_dist.envs.trial import Trial
from awac_dist.evaluation.config import EvaluationConfig
from awac_dist.evaluation.result import Evaluation
from awac_dist.learner.checkpoint import newest_whole
from awac_dist.learner.config import LearnerConfig
from awac_dist.messages import RolloutReport, UpdateReport
from awac_dist.nn.config import NetworkConfig
from awac_dist.rollout.config import RolloutConfig
from awac_dist.runs.components import Components
from awac_dist.runs.driver import Driver
from awac_dist.runs.plan import make_plan
from awac_dist.runs.runtime import Runtime
from awac_dist.types import Array, Episode, Origin

ENV = "Pendulum-v1"
SMALL = shlex.split(
    f"--env {ENV} --workers 2 --clone.updates 10 --clone.episodes 2 --offline.updates 20 "
    "--online.env_steps 120 --online.updates_per_step 0.5 --algorithm.actor.hidden 16 16 "
    "--algorithm.critic.hidden 16 16 --rollout.fragment_steps 25 --learner.batch_size 32 "
    "--learner.threads 1 --learner.updates_per_call 5 --evaluation.episodes 1 "
    "--evaluation.curve_episodes 1 --evaluation.every_updates 15"
)
FEW = {  # at most so many
    "backup_actions": 2,
    "critic_batches": 3,
    "divergence_samples": 3,
    "divergence_updates": 3,
    "horizon": 3,
    "members": 5,
    "num_actions": 3,
    "num_samples": 5,
    "target_candidates": 3,
}
ALL_UPDATES = 10 + 20 + 60


def write_demonstrations(path: Path, episodes: int = 3) -> str:
    """Write demonstrations of a poor Pendulum controller; returns the path as an argument."""
    spec, env = env_spec(ENV), make_env(ENV)
    recorded = []
    for number in range(episodes):
        rng = np.random.default_rng(number)
        observations, actions, rewards = [env.reset(seed=number)[0]], [], []
        truncated = False
        while not truncated:
            actions.append(np.clip(rng.normal(0, 1, 1), -2, 2).astype(np.float32))
            observation, reward, _, truncated, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
        recorded.append(
            Episode(
                np.array(observations, np.float32),
                np.array(actions),
                np.array(rewards, np.float32),
                terminated=False,
                truncated=True,
                origin=Origin("demonstration", episode=number),
            )
        )
    write_episodes(str(path), recorded, spec)
    return str(path)


def small(config: MethodConfig, width: int = 16) -> MethodConfig:
    """The method with networks of two narrow layers, few batches, members and samples."""
    parts = {field.name: getattr(config, field.name) for field in fields(config)}
    networks = {name: part for name, part in parts.items() if isinstance(part, NetworkConfig)}
    narrow = {n: replace(part, hidden=(width, width), **few(part)) for n, part in networks.items()}
    return replace(config, **narrow, **few(config))


def few(part: Any) -> dict[str, int]:
    """The options of which `FEW` has the largest value for tests."""
    return {n: min(most, getattr(part, n)) for n, most in FEW.items() if hasattr(part, n)}


def small_config(data: str) -> RunConfig:
    """A sync run of two workers that takes about a second."""
    return RunConfig(
        env=ENV,
        data=(data,),
        workers=2,
        shards=1,
        mode="sync",
        clone=CloneConfig(updates=10, episodes=3),
        offline=OfflineConfig(updates=13),
        online=OnlineConfig(env_steps=300, updates_per_step=0.5),
        algorithm=small(AWACConfig()),
        rollout=RolloutConfig(fragment_steps=30),
        learner=LearnerConfig(batch_size=32, threads=1, updates_per_call=9, batches_per_request=3),
        evaluation=EvaluationConfig(episodes=2, curve_episodes=1, every_updates=20),
    )


class Witness:
    """An observer that remembers."""

    def __init__(self, on_tick: Callable[[], None] = lambda: None) -> None:
        self.phases: list[str] = []
        self.updates: list[UpdateReport] = []
        self.rollouts: list[tuple[RolloutReport, int]] = []
        self.evaluations: list[Evaluation] = []
        self.notes: list[str] = []
        self.deaths: list[tuple[str, str]] = []
        self._on_tick = on_tick

    def phase(self, name: str, total: int, unit: str, done: int = 0) -> None:
        self.phases.append(name)

    def updated(self, report: UpdateReport) -> None:
        self.updates.append(report)

    def collected(self, report: RolloutReport, lag: int) -> None:
        self.rollouts.append((report, lag))

    def evaluated(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)

    def died(self, component: str, reason: str) -> None:
        self.deaths.append((component, reason))

    def went_back(self, grad_steps: int, *, evaluating: bool) -> None:
        self.updates = [report for report in self.updates if report.grad_steps <= grad_steps]

    def note(self, line: str) -> None:
        self.notes.append(line)

    def tick(self) -> None:
        self._on_tick()

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.restored = True


def make_driver(
    config: RunConfig,
    runtime: Runtime,
    folder: Path | str,
    *,
    session: int = 0,
    look: Callable[[Driver], None] = lambda driver: None,
    stop: Callable[[], bool] = lambda: False,
    seen: Trial | None = None,
    joined: bool = False,
) -> tuple[Witness, Driver]:
    """A run that is about to begin.

    Args:
        config: The run.
        runtime: Where it runs.
        folder: Of the run; may be a URI.
        session: How often it was started before.
        look: Called again and again while it runs.
        stop: Whether it is asked to stop.
        seen: A trial of the task.
        joined: Whether the prior data came to a run that had begun without it.
    """
    spec = env_spec(config.env.id, **config.env.kwargs)
    plan = make_plan(
        runtime.resources, workers=config.workers, shards=config.shards, gpus=config.learner.gpus
    )
    sources = [replace(open_source(path, spec), joined=joined) for path in config.data]
    newest = newest_whole(f"{folder}/checkpoints") if session else None
    components = Components(runtime, config, spec, plan, str(folder), sources, session)
    witness = Witness(lambda: look(driver))
    driver = Driver(components, witness, stop, newest, seen)
    return witness, driver


def run(
    config: RunConfig, runtime: Runtime, folder: Path, **options: Any
) -> tuple[Array, Witness, Driver]:
    """Run a config to its end; returns the final policy's parameters [P]. See `make_driver`."""
    witness, driver = make_driver(config, runtime, folder, **options)
    driver.run()
    began = driver.learner.training
    vector = driver.learner.post("policy_vector").result().copy() if began else np.empty(0)
    runtime.close()
    return vector, witness, driver


def with_algorithm(config: RunConfig, **options: object) -> RunConfig:
    """The config with some of the method's options changed."""
    return replace(config, algorithm=replace(config.algorithm, **options))
