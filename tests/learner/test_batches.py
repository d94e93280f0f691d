"""Batches are the same whenever they are asked for, and are there before they are wanted."""

from typing import Any

import numpy as np
import pytest
import torch
from counting import GAMMA, LAYOUT, SPEC, Counter

from awac_dist.learner.batches import REQUEST_BYTES, BatchFetcher
from awac_dist.replay.books import Books
from awac_dist.replay.sampler import Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.runtime import InlineHandle

CPU = torch.device("cpu")


class Noted(InlineHandle):
    """Takes note of the rows that each `take` asks for."""

    def __init__(self, component: Any) -> None:
        super().__init__(component)
        self.asked: list[bytes] = []

    def post(self, method: str, *arguments: Any, **named: Any) -> Any:
        if method == "take":
            self.asked.append(arguments[0].tobytes())
        return super().post(method, *arguments, **named)


class Bench:
    """A shard with episodes, and who fetches from it."""

    def __init__(self) -> None:
        self.episodes, self.sampler = Counter(), Sampler(0, 1_000)
        self.shard = Noted(ReplayShard(0, 1, SPEC, discount=GAMMA, log=None))
        self.books = Books(self.sampler, [self.shard], ())
        self.fetcher = BatchFetcher([self.shard], self.sampler, LAYOUT, 4, CPU)
        self.collect()

    def collect(self) -> None:
        self.shard.post("insert", self.episodes.episode(8, truncated=True), "online").result()
        self.books.register()

    def fetch(self, first: int, count: int = 8) -> list[np.ndarray]:
        return [block.numpy() for block in self.fetcher.fetch(first, count, 3)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_where_nothing_changes_a_call_finds_its_batches_asked_for(bench: Bench) -> None:
    bench.fetch(0)
    assert len(bench.shard.asked) == 2  # nobody knows yet whether anything will change
    bench.fetch(8)
    assert len(bench.shard.asked) == 6
    blocks = bench.fetcher.fetch(16, 8, 3)
    next(blocks)
    assert len(bench.shard.asked) == 6
    list(blocks)
    assert len(bench.shard.asked) == len(set(bench.shard.asked)) == 8


def test_what_is_asked_for_ahead_is_what_would_have_been_asked_for(bench: Bench) -> None:
    calls = [bench.fetch(first) for first in (0, 8, 16, 24)]
    alone = [Bench().fetch(first) for first in (0, 8, 16, 24)]
    np.testing.assert_array_equal(calls, alone)
    np.testing.assert_array_equal(bench.fetch(32, 5), Bench().fetch(32, 5))


def test_news_are_drawn_from_whatever_was_asked_for_ahead(bench: Bench) -> None:
    other = Bench()
    for first in (0, 8, 16):
        bench.fetch(first)
    for each in (bench, other):
        each.collect()
    found = bench.fetch(24)
    np.testing.assert_array_equal(found, other.fetch(24))
    assert max(block.max() for block in found) > 90


def test_another_mixture_is_drawn_whatever_was_asked_for_ahead(bench: Bench) -> None:
    other = Bench()
    for first in (0, 8, 16):
        bench.fetch(first)
    for each in (bench, other):
        each.sampler.set_mixture({"online": 1.0}, newest=2)
    np.testing.assert_array_equal(bench.fetch(24), other.fetch(24))


@pytest.mark.parametrize(("share", "batches"), [(0.1, 4), (0.3, 3), (0.5, 2), (0.7, 1), (2.5, 1)])
def test_wide_batches_are_asked_for_a_few_at_a_time(
    bench: Bench, share: float, batches: int
) -> None:
    rows = int(share * REQUEST_BYTES / (4 * LAYOUT.width))
    blocks = list(bench.fetcher.fetch(0, 4, rows))
    assert [len(block) for block in blocks] == [rows] * 4
    asked = [len(np.frombuffer(each, np.int64)) // rows for each in bench.shard.asked]
    assert asked[0] == batches
    assert sum(asked) == 4
