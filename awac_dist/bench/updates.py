"""AWAC updates a second: beside d3rlpy's, and beside what the matrix products alone take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle

import torch

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.world import Task
from awac_dist.allocator import keep_freed_memory
from awac_dist.bench.d3rlpy_awac import their_algorithm
from awac_dist.bench.hardware import hardware
from awac_dist.bench.products import BATCH, HALF_CHEETAH, WIDEST, flops, multiply, of_update
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import PEER, Measure, in_turn, rate
from awac_dist.learner.config import Precision
from awac_dist.learner.device import autocast
from awac_dist.learner.record import CallRecord
from awac_dist.replay.layout import Layout
from awac_dist.reporting.wording import counted
from awac_dist.tensors import Batch

BATCHES = 16  # that take turns
SMALL_BATCH = 256  # what a run takes where it is not told
TARGETS: dict[Precision, float] = {"float32": 1.35, "bfloat16": 2.4}  # times d3rlpy's
SHARE_OF_PEAK = 0.55
LAYOUT = Layout.of(HALF_CHEETAH)


def ours(batch_size: int, threads: int, precision: Precision) -> Measure:
    """Measure updates as the learner makes them, metrics included."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    device = torch.device("cpu")
    method = AWAC(AWACConfig(), Task(HALF_CHEETAH, 0.99), seed=0, device=device)
    blocks = cycle(_blocks(batch_size))

    def update(record: CallRecord) -> None:
        block = next(blocks)
        with autocast(precision, device):
            metrics = method.update([Batch.from_block(block, LAYOUT)])
        record.add([block], metrics)

    def measure() -> float:
        record = CallRecord()
        done = rate(lambda: update(record))
        record.means()
        return done

    return measure


def theirs(batch_size: int, threads: int) -> Measure:
    """Measure d3rlpy's updates on batches that are tensors already."""
    algorithm = their_algorithm(batch_size)
    from d3rlpy.torch_utility import TorchMiniBatch

    torch.set_num_threads(threads)
    column = torch.zeros(batch_size, 1)
    batches = cycle(
        TorchMiniBatch(
            observations=batch.observations.contiguous(),
            actions=batch.actions.contiguous(),
            rewards=batch.rewards[:, None].contiguous(),
            next_observations=batch.next_observations.contiguous(),
            next_actions=batch.actions.contiguous(),
            returns_to_go=column,
            terminals=column,
            intervals=column + 1,
            device="cpu:0",
        )
        for batch in (Batch.from_block(block, LAYOUT) for block in _blocks(batch_size))
    )
    return lambda: rate(lambda: algorithm.impl.update(next(batches), 0))


def updates(repeats: int) -> Iterator[Row]:
    """Both precisions beside d3rlpy's on all cores, then what threads bring."""
    machine = hardware()
    yield from _against_peers(machine.cores, machine.lacks_bfloat16, repeats)
    yield from _thread_rows(machine.cores, repeats)


def _against_peers(threads: int, lacking: str, repeats: int) -> Iterator[Row]:
    rounds = in_turn(
        {
            **{name: partial(ours, BATCH, threads, name) for name in TARGETS},
            PEER: partial(theirs, BATCH, threads),
            "peak": partial(multiply, [WIDEST], "float32", threads),
            "floor": partial(multiply, of_update(), "float32", threads),
        },
        repeats,
    )
    for name, target in TARGETS.items():
        what = f"AWAC, batch {BATCH}, {name}, {threads} threads"
        note = lacking if name == "bfloat16" else ""
        yield rounds.row(what, "updates/s", name, PEER, at_least=target, note=note)
    giga = flops(of_update()) / 1e9
    peak = rounds.row("its arithmetic, float32", "GFLOP/s", "float32", "peak", by=giga)
    note = f"the peak is a product {WIDEST.shape}"
    yield replace(peak, at_least=SHARE_OF_PEAK, note=note)
    what, told = "its matrix products and nothing else", "with all else"
    floor = rounds.row(what, "updates/s", "floor", "float32", told=told, by=1 / giga)
    yield replace(floor, note="what would be left to gain")


def _thread_rows(cores: int, repeats: int) -> Iterator[Row]:
    counts = [1 << power for power in range(cores.bit_length())]
    rounds = in_turn(
        {str(count): partial(ours, SMALL_BATCH, count, "float32") for count in counts}, repeats
    )
    for count in counts:
        what = f"AWAC, batch {SMALL_BATCH}, float32, {counted(count, 'thread')}"
        peer, told = ("1", "1 thread") if count > 1 else ("", "")
        yield rounds.row(what, "updates/s", str(count), peer, told=told)


def _blocks(batch_size: int) -> list[torch.Tensor]:
    """Batches [batch_size, width] of noise, with discounts of 0.99."""
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn(batch_size, LAYOUT.width, generator=generator) for _ in range(BATCHES)]
    for block in blocks:
        block[:, LAYOUT.discounts] = 0.99
    return blocks
