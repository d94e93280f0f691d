"""Batches a second from the replay into the learner's process, beside d3rlpy's sampler."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from itertools import count

import numpy as np
import torch

from awac_dist.allocator import keep_freed_memory
from awac_dist.bench.hardware import hardware
from awac_dist.bench.products import BATCH, HALF_CHEETAH
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import PEER, Measure, in_turn, rate
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.learner.batches import BatchFetcher
from awac_dist.learner.config import LearnerConfig
from awac_dist.messages import Handle
from awac_dist.replay.books import Books
from awac_dist.replay.layout import Layout
from awac_dist.replay.sampler import Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.types import EnvSpec, Episode, Origin

EPISODES, STEPS = 200, 1000
SHARDS = (1, 2, 4)
REQUESTS = 8  # in a measured call: enough for two to be always in flight
WANTED_PER_S = 2_000  # from one shard
WANTED_RATIO = 10  # times d3rlpy's


def through_ray(shards: int) -> Measure:
    """Measure batches that arrive in this process from shards in theirs."""
    keep_freed_memory()  # as the learner does
    runtime = RayRuntime()
    return _fetched([start_shard(runtime, HALF_CHEETAH, index, shards) for index in range(shards)])


def start_shard(runtime: RayRuntime, spec: EnvSpec, index: int = 0, shards: int = 1) -> Handle:
    """A shard in a process of its own, with no log."""
    return runtime.start(ReplayShard, index, shards, spec, discount=0.99, log=None)


def _fetched(shards: list[Handle]) -> Measure:
    sampler, each = Sampler(0, 1), LearnerConfig().batches_per_request
    for number, episode in enumerate(random_episodes(EPISODES)):
        shards[number % len(shards)].post("insert", episode, "prior").result()
    Books(sampler, shards, ()).register()
    layout, device = Layout.of(HALF_CHEETAH), torch.device("cpu")
    fetcher = BatchFetcher(shards, sampler, layout, each, device)
    numbers = count(step=REQUESTS * each)

    def fetch() -> None:
        for _ in fetcher.fetch(next(numbers), REQUESTS * each, BATCH):
            pass

    return lambda: REQUESTS * each * rate(fetch)


def theirs() -> Measure:
    """Measure batches that d3rlpy draws in this process."""
    warnings.simplefilter("ignore")
    from d3rlpy.dataset import MDPDataset

    episodes = list(random_episodes(EPISODES))
    ends = np.tile(np.arange(STEPS) == STEPS - 1, EPISODES).astype(np.float32)
    replay = MDPDataset(
        np.concatenate([episode.observations[:-1] for episode in episodes]),
        np.concatenate([episode.actions for episode in episodes]),
        np.concatenate([episode.rewards for episode in episodes]),
        np.zeros(EPISODES * STEPS, np.float32),
        timeouts=ends,
    )
    return lambda: rate(lambda: replay.sample_transition_batch(BATCH))


def random_episodes(number: int) -> Iterator[Episode]:
    """Episodes of 1,000 steps, as wide as HalfCheetah's."""
    rng = np.random.default_rng(0)
    sizes = HALF_CHEETAH.observation_size, HALF_CHEETAH.action_size
    for index in range(number):
        observations, actions = (rng.standard_normal((STEPS + 1, n), np.float32) for n in sizes)
        origin = Origin("prior", worker=0, episode=index)
        yield Episode(observations, actions[1:], actions[1:, 0], False, True, origin)


def replay(repeats: int) -> Iterator[Row]:
    """One shard beside d3rlpy's sampler, then more shards."""
    running = {str(shards): partial(through_ray, shards) for shards in SHARDS}
    rounds = in_turn({**running, PEER: theirs}, repeats)
    name = f"batches of {BATCH} from 1 shard into the learner's process"
    yield rounds.row(name, "batches/s", "1", at_least=WANTED_PER_S)
    note = "drawn in one process"
    yield rounds.row("the same", "batches/s", "1", PEER, at_least=WANTED_RATIO, note=note)
    for shards in map(str, SHARDS[1:]):
        what, note = f"from {shards} shards", f"{hardware().cores} cores"
        yield rounds.row(what, "batches/s", shards, "1", told="1 shard", note=note)
