"""`python -m awac_dist.data collect`: roll out any policy with the parallel workers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import OptimizerConfig
from awac_dist.config import CloneConfig
from awac_dist.data.experience import EpisodeSink, ExperienceLog
from awac_dist.data.sources import open_source
from awac_dist.distributed.collecting import collect_episodes
from awac_dist.distributed.plan import local_resources, make_plan
from awac_dist.distributed.runtime import InlineHandle, InlineRuntime, Runtime
from awac_dist.distributed.weights import WeightStore
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import load_policy
from awac_dist.learner.learner import Learner, LearnerConfig
from awac_dist.nn.config import NetworkConfig
from awac_dist.replay.shard import ReplayShard
from awac_dist.reporting.run_folder import create_run_folder
from awac_dist.reporting.screen import Screen
from awac_dist.rollout.noise import (
    NoiseProcess,
    NoNoise,
    OrnsteinUhlenbeck,
    UniformNoise,
    WhiteNoise,
)
from awac_dist.rollout.policy import GaussianPolicy, Policy, UnitPolicy, load_file_policy
from awac_dist.rollout.worker import FixedPolicy, RolloutWorker
from awac_dist.types import EnvSpec, Finished, Handle, Kind

POLL_S = 0.5
BLIND: dict[str, type[NoiseProcess]] = {
    "random": UniformNoise,
    "ornstein-uhlenbeck": OrnsteinUhlenbeck,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--env", required=True, help="Gymnasium id of the task")
    policy = parser.add_mutually_exclusive_group(required=True)
    policy.add_argument(
        "--policy",
        metavar="POLICY",
        help="a checkpoint or run folder of ours, an .npz policy, or one of " + ", ".join(BLIND),
    )
    policy.add_argument(
        "--clone", metavar="SOURCE", help="fit a behavioural clone of this data, and roll it out"
    )
    parser.add_argument(
        "--clone-updates", type=int, default=CloneConfig().updates, metavar="N", help="of the fit"
    )
    parser.add_argument("--episodes", type=int, required=True, metavar="N")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder for the episodes")
    parser.add_argument("--kind", choices=("demonstration", "prior"), default="prior")
    parser.add_argument("--deterministic", action="store_true", help="act by the mean")
    parser.add_argument("--workers", type=int, metavar="N", help="default: one a core")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--inline", action="store_true", help="in this process, without Ray")


def run(args: argparse.Namespace, stream: TextIO) -> int:
    """Collect, and say what came of it on `stream`; returns the exit code.

    Raises:
        InputError: The task, the policy, the data or the folder is wrong.
    """
    with Screen() as screen:  # what Ray and Gymnasium print is nobody's business here
        return _run(args, screen.stream if stream is sys.stdout else stream)


def _run(args: argparse.Namespace, stream: TextIO) -> int:
    if min(args.episodes, args.workers or 1, args.clone_updates) < 1:
        raise InputError("--episodes, --workers and --clone-updates must be 1 or more")
    spec = env_spec(args.env)
    noise = NoNoise if args.deterministic else BLIND.get(args.policy or "", WhiteNoise)
    policy = _clone(args, spec) if args.clone else _policy(args.policy, spec)
    folder = create_run_folder(Path(args.out))
    plan = make_plan(local_resources(), workers=args.workers, shards=1, gpus=0)
    runtime = _runtime(inline=args.inline)
    try:
        workers = [
            runtime.start(
                RolloutWorker,
                spec,
                1,
                [InlineHandle(EpisodeSink(ExperienceLog(str(folder), index, spec)))],
                FixedPolicy(policy),
                seed=args.seed,
                worker=index,
                noise=noise,
                cpus=plan.worker_cpus,
            )
            for index in range(min(plan.workers, args.episodes))
        ]
        finished = _collect(runtime, workers, args.episodes, args.kind, stream)
    finally:
        runtime.close()
    print(_told(finished, folder), file=stream)
    return 0


def _told(finished: Sequence[Finished], folder: Path) -> str:
    returns = [episode.episode_return for episode in finished]
    steps = sum(episode.length for episode in finished)
    return (
        f"{len(finished)} episodes, {steps:,} steps, returns from {min(returns):,.1f} to "
        f"{max(returns):,.1f}, mean {sum(returns) / len(returns):,.1f}: {folder}"
    )


def _runtime(*, inline: bool) -> Runtime:
    if inline:
        return InlineRuntime(local_resources())
    from awac_dist.distributed.ray_runtime import RayRuntime

    return RayRuntime()


def _collect(
    runtime: Runtime, workers: Sequence[Handle], episodes: int, kind: Kind, stream: TextIO
) -> list[Finished]:
    finished: list[Finished] = []
    console = Console(file=stream, force_terminal=stream.isatty())
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not stream.isatty()) as progress:
        bar = progress.add_task("episodes", total=episodes)
        reports = collect_episodes(
            workers, episodes, kind, "collected", lambda futures: runtime.wait(futures, POLL_S)
        )
        for _, report in reports:
            finished += report.finished
            progress.update(bar, completed=len(finished))
    for worker in workers:
        worker.post("flush").result()
    return finished


def _policy(name: str, spec: EnvSpec) -> Policy:
    if name in BLIND:
        return UnitPolicy(spec)
    if name.endswith(".npz"):
        return load_file_policy(name, spec)
    policy_spec, weights = load_policy(name)
    sizes = (policy_spec.layer_sizes[0], policy_spec.layer_sizes[-1])
    if sizes != (spec.observation_size, spec.action_size):
        raise InputError(
            f"{name}: reads {sizes[0]} observations and gives {sizes[1]} actions, but "
            f"{spec.env_id} has {spec.observation_size} and {spec.action_size}"
        )
    return GaussianPolicy(policy_spec, weights.vector, weights.version)


def _clone(args: argparse.Namespace, spec: EnvSpec) -> Policy:
    """Fit a clone of a source in this process, with the settings of a run."""
    source, settings, networks = open_source(args.clone, spec), CloneConfig(), NetworkConfig()
    shard = ReplayShard(0, 1, spec, capacity=1, discount=1.0, clip_prior_actions=False, log=None)
    learner = Learner(
        spec,
        networks,
        OptimizerConfig(),
        AWACConfig(),
        LearnerConfig(),
        [InlineHandle(shard)],
        InlineHandle(WeightStore()),
        online_capacity=1,
        seed=args.seed,
        device="cpu",
    )
    learner.add([place for _, place in shard.preload([source]).placed])
    learner.begin_cloning(
        [source.name], learning_rate=settings.learning_rate, batch_size=settings.batch_size
    )
    learner.update(args.clone_updates)
    return GaussianPolicy(networks.policy_spec(spec), learner.policy_vector(), learner.grad_steps)
