"""A behavioural clone of some data, fitted in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import TextIO

from awac_dist.algorithms.bc import BCConfig
from awac_dist.cli.bars import progress
from awac_dist.config import CloneConfig
from awac_dist.data.sources import open_source
from awac_dist.learner.config import LearnerConfig
from awac_dist.learner.learner import Learner
from awac_dist.nn.config import ActorConfig
from awac_dist.policies import make_policy
from awac_dist.policies.policy import Policy
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.runtime import InlineHandle
from awac_dist.runs.weights import WeightStore
from awac_dist.types import EnvSpec

UPDATES_PER_CALL = 500


def fit_clone(
    argument: str,
    spec: EnvSpec,
    actor: ActorConfig,
    settings: CloneConfig,
    seed: int,
    stream: TextIO,
) -> Policy:
    """Fit a policy to all actions of a source, as `--data` takes it, by maximum likelihood.

    One torch thread computes it, so that the result does not depend on the number of cores.

    Raises:
        InputError: There is no such source, or it does not fit the task.
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
