"""`awac-dist data collect`: roll out any policy with the parallel workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from awac_dist.cli.bars import progress
from awac_dist.cli.cloning import fit_clone
from awac_dist.cli.commands import Collect
from awac_dist.cli.policies import BLIND, open_policy
from awac_dist.config import CloneConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.envs.make import env_spec
from awac_dist.messages import Finished, Future, Handle, RolloutReport, UpdateReport
from awac_dist.nn.config import ActorConfig
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.policy import Policy
from awac_dist.reporting.run_folder import create_run_folder
from awac_dist.reporting.screen import Screen
from awac_dist.rollout.worker import FixedPolicy, RolloutWorker
from awac_dist.runs.collecting import Collecting, Counts, Order
from awac_dist.runs.plan import local_resources, make_plan
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.runtime import InlineHandle, InlineRuntime, Runtime
from awac_dist.runs.schedule import FROZEN
from awac_dist.types import EnvSpec, Kind

POLL_S = 0.5


def run(options: Collect) -> None:
    """Collect, and say what came of it.

    Raises:
        InputError: The task, the policy, the data or the folder is wrong.
    """
    with Screen() as screen:  # what Ray and Gymnasium print is nobody's business here
        told = _run(options, screen.stream)
    print(told)


def _run(args: Collect, stream: TextIO) -> str:
    spec = env_spec(args.env)
    noise = None if args.deterministic else BLIND.get(args.policy or "", WhiteNoise)
    policy = open_policy(args.policy, spec) if args.policy else _clone(args, spec, stream)
    folder = create_run_folder(Path(args.out))
    plan = make_plan(local_resources(), workers=args.workers, shards=1, gpus=0)
    streams = [(index, noise) for index in range(min(plan.workers, args.episodes))]
    rollout = Rollout(spec, policy, args.kind, args.seed, folder)
    with open_runtime(inline=args.inline) as runtime:
        workers = start_workers(runtime, rollout, streams)
        finished = collect(runtime, workers, args.episodes, args.kind, stream)
    return _told(finished, folder)


def _clone(args: Collect, spec: EnvSpec, stream: TextIO) -> Policy:
    """A clone with the settings of a run."""
    settings = replace(CloneConfig(), updates=args.clone_updates)
    with progress("clone updates", settings.updates, stream) as advance:
        return fit_clone(
            str(args.clone), spec, ActorConfig(), settings, seed=args.seed, advance=advance
        )


def _told(finished: Sequence[Finished], folder: Path) -> str:
    returns = [episode.episode_return for episode in finished]
    steps = sum(episode.length for episode in finished)
    return (
        f"{len(finished)} episodes, {steps:,} steps, returns from {min(returns):,.1f} to "
        f"{max(returns):,.1f}, mean {sum(returns) / len(returns):,.1f}: {folder}"
    )


# What the recipes collect with, too.


@dataclass(frozen=True)
class Rollout:
    """What workers have in common.

    Attributes:
        spec: The task.
        policy: Who acts.
        kind: What its episodes are.
        seed: With the number of a worker's stream, everything random follows from it.
        folder: Where the episodes are written, the files of each worker apart.
    """

    spec: EnvSpec
    policy: Policy
    kind: Kind
    seed: int
    folder: Path


@contextmanager
def open_runtime(*, inline: bool) -> Iterator[Runtime]:
    """Ray on this machine, or this process; what was started ends with the `with`."""
    runtime = _runtime(inline=inline)
    try:
        yield runtime
    finally:
        runtime.close()


def _runtime(*, inline: bool) -> Runtime:
    if inline:
        return InlineRuntime(local_resources())
    from awac_dist.distributed.ray_runtime import RayRuntime

    return RayRuntime()


def start_workers(
    runtime: Runtime, rollout: Rollout, streams: Sequence[tuple[int, MakeNoise | None]]
) -> list[Handle]:
    """Start one worker a stream, which is a number and what moves its actions.

    What a worker collects depends on its stream and on no other worker.
    """
    plan = make_plan(local_resources(), workers=len(streams), shards=1, gpus=0)
    return [
        runtime.start(
            RolloutWorker,
            rollout.spec,
            1,
            [InlineHandle(ExperienceLog(str(rollout.folder), number, rollout.spec))],
            FixedPolicy(rollout.policy),
            seed=rollout.seed,
            worker=number,
            noise=noise,
            cpus=plan.worker_cpus,
        )
        for number, noise in streams
    ]


def collect(
    runtime: Runtime, workers: Sequence[Handle], episodes: int, kind: Kind, stream: TextIO
) -> list[Finished]:
    """Have workers record whole episodes, which are on disk when this returns."""
    with progress("episodes", episodes, stream) as advance:
        control = _Control(runtime, advance)
        pool = WorkerPool(lambda number, _: workers[number], len(workers), shards=())
        order = Order("episodes", episodes, kind, "collected")
        Collecting(control, pool, order, FROZEN, together=True).run()
    for worker in workers:
        worker.post("flush").result()
    return control.finished


class _Control:
    """What the collecting loop needs where nobody learns."""

    calls_ahead = 0

    def __init__(self, runtime: Runtime, advance: Callable[[int], None]) -> None:
        self._runtime, self._advance = runtime, advance
        self.finished: list[Finished] = []

    def counts(self) -> Counts:
        return Counts(collected=len(self.finished), steps=0, updates=0)

    def look(self, futures: Sequence[Future]) -> list[Future]:
        return self._runtime.wait(futures, POLL_S)

    def collected(self, report: RolloutReport) -> None:
        self.finished += report.finished
        self._advance(len(report.finished))

    def round_over(self) -> None:
        """Nothing follows from it."""

    def update(self, count: int) -> Future:
        raise NotImplementedError

    def learned(self, report: UpdateReport) -> None:
        raise NotImplementedError
