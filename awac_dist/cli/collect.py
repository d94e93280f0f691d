"""`awac-dist data collect`: roll out any policy with the parallel workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TextIO

from awac_dist.algorithms.bc import BCConfig
from awac_dist.cli.bars import progress
from awac_dist.cli.commands import Collect, Make
from awac_dist.cli.policies import BLIND, open_policy
from awac_dist.cli.runtime import start_runtime
from awac_dist.config import CloneConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.sources import open_source
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.trial import trial
from awac_dist.errors import ComponentDied, RunFailed
from awac_dist.learner.config import LearnerConfig
from awac_dist.learner.learner import Learner
from awac_dist.messages import Finished, Handle
from awac_dist.nn.config import ActorConfig
from awac_dist.policies import make_policy
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.policy import Policy
from awac_dist.replay.shard import ReplayShard
from awac_dist.reporting.run_place import new_folder_alone
from awac_dist.reporting.screen import Screen, say
from awac_dist.reporting.wording import counted, spread
from awac_dist.rollout.config import RolloutConfig
from awac_dist.rollout.worker import FixedPolicy, RolloutWorker
from awac_dist.runs.plan import local_resources, make_plan
from awac_dist.runs.runtime import InlineHandle
from awac_dist.runs.weights import WeightStore
from awac_dist.types import EnvSpec, Kind

EPISODES_PER_CALL, UPDATES_PER_CALL = 2, 500  # few, so that progress shows


def run(args: Collect) -> None:
    """Collect, and say what came of it."""
    with Screen() as screen:  # what Ray and Gymnasium print is nobody's business here
        task = EnvConfig(args.env, args.env_kwargs or {})
        spec, stream = trial(task, RolloutConfig.step_timeout_s).spec, screen.stream
        noise = None if args.deterministic else BLIND.get(args.policy or "", WhiteNoise)
        if args.policy:
            policy = open_policy(args.policy, spec)
        else:
            settings = CloneConfig(args.clone_updates)  # the others as in a run
            policy = fit_clone(str(args.clone), spec, ActorConfig(), settings, args.seed, stream)
        plan = make_plan(local_resources(), workers=args.workers, shards=1, gpus=0)
        streams = [(number, noise) for number in range(min(plan.workers, args.episodes))]
        with (
            new_folder_alone(args.out, "--out"),
            recording(args, spec, policy, streams, args.kind, args.out, stream) as record,
        ):
            finished = record(args.episodes)
    returns = spread([episode.episode_return for episode in finished])
    steps = counted(sum(episode.length for episode in finished), "step")
    say(f"{counted(len(finished), 'episode')}, {steps}, returns {returns}: {args.out}")


def fit_clone(
    argument: str,
    spec: EnvSpec,
    actor: ActorConfig,
    settings: CloneConfig,
    seed: int,
    stream: TextIO,
) -> Policy:
    """Fit a policy to all actions of a source, as `--data` takes it, by maximum likelihood.

    One torch thread computes it, so that the result does not depend on the number of cores. Raises
    InputError where there is no such source, or it does not fit the task.
    """
    source = open_source(argument, spec)
    learner = Learner(
        spec,
        LearnerConfig(threads=1),
        [InlineHandle(ReplayShard(0, 1, spec, discount=1.0, log=None, sources=[source]))],
        InlineHandle(WeightStore()),
        online_capacity=1,
        seed=seed,
        device="cpu",
        sources={source.name: 1.0},
    )
    learner.register()
    method = BCConfig(replace(actor, learning_rate=settings.learning_rate))
    learner.begin(method, settings.batch_size, sources=[source.name])
    with progress("clone updates", settings.updates, stream) as advance:
        while left := settings.updates - learner.grad_steps:
            advance(learner.update(min(UPDATES_PER_CALL, left)).updates)
    return make_policy(actor.policy_spec(spec), learner.policy_vector(), learner.grad_steps)


@contextmanager
def recording(
    args: Collect | Make,
    spec: EnvSpec,
    policy: Policy,
    streams: Sequence[tuple[int, MakeNoise | None]],
    kind: Kind,
    folder: str,
    stream: TextIO,
) -> Iterator[Callable[[int], list[Finished]]]:
    """A function that has workers record so many whole episodes, which are then on disk.

    Each stream has a worker, its number, and what moves its actions. What that one collects
    follows from these and the seed, depends on no other worker, and has files of its own.
    """
    plan = make_plan(local_resources(), workers=len(streams), shards=1, gpus=0)
    with closing(start_runtime(inline=args.inline)) as runtime:
        workers = [
            runtime.start(
                RolloutWorker,
                spec,
                1,
                [InlineHandle(ExperienceLog(folder, number, spec))],
                FixedPolicy(policy),
                seed=args.seed,
                worker=number,
                noise=noise,
                cpus=plan.worker_cpus,
            )
            for number, noise in streams
        ]

        try:
            yield partial(_record, workers, kind, stream)
        except ComponentDied as death:
            raise RunFailed(f"a rollout worker died: {death}") from death


def _record(workers: Sequence[Handle], kind: Kind, stream: TextIO, episodes: int) -> list[Finished]:
    found, faults = list[Finished](), Counter[str]()
    with progress("episodes", episodes, stream) as advance:
        while left := episodes - len(found):
            count = min(left, EPISODES_PER_CALL * len(workers))
            each, more = divmod(count, len(workers))
            calls = [
                worker.post("collect_episodes", each + (place < more), kind, "collected")
                for place, worker in enumerate(workers[:count])
            ]
            for call in calls:
                report = call.result()
                found += report.finished
                faults += Counter({report.fault: report.dropped})
                advance(len(report.finished))
    for fault, times in faults.items():
        say(f"{counted(times, 'episode')} dropped: {fault}", stream)
    for call in [worker.post("flush") for worker in workers]:
        call.result()
    return found
