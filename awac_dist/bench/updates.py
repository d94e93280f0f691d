"""Updates a second: beside d3rlpy's, a plain loop's, and what the matrix products alone take."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import cycle

import torch

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import MethodConfig
from awac_dist.algorithms.rlpd import RLPDConfig
from awac_dist.algorithms.world import Task
from awac_dist.allocator import keep_freed_memory
from awac_dist.bench.d3rlpy_awac import their_algorithm
from awac_dist.bench.hardware import hardware
from awac_dist.bench.plain_sac import PlainSAC
from awac_dist.bench.products import BATCH, HALF_CHEETAH, WIDEST, flops, multiply, of_update
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import PEER, Measure, in_turn, rate
from awac_dist.learner.compilation import use_cache
from awac_dist.learner.compile import CompiledGradients
from awac_dist.learner.config import Precision
from awac_dist.learner.device import autocast, without_denormals
from awac_dist.learner.record import CallRecord
from awac_dist.replay.layout import Layout
from awac_dist.reporting.wording import counted
from awac_dist.tensors import Batch

BATCHES = 16  # that take turns
SMALL_BATCH = 256  # what a run takes where it is not told
FEW = 16  # rows
TARGETS: dict[Precision, float] = {"float32": 1.35, "bfloat16": 2.4}  # times d3rlpy's
COMPILED_TARGETS = {SMALL_BATCH: {"eager": 1.8, "compiled": 2.5}, BATCH: {"compiled": 1.7}}
RLPD = RLPDConfig(target_entropy=None, entropy_coef=0.1)
SHARE_OF_PEAK = 0.55
LAYOUT = Layout.of(HALF_CHEETAH)


def ours(
    batch_size: int,
    threads: int,
    precision: Precision = "float32",
    *,
    config: MethodConfig = AWACConfig(),  # noqa: B008 - it cannot be changed
    compiled: bool = False,
) -> Measure:
    """Measure updates as the learner makes them, metrics included."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    device = torch.device("cpu")
    method = config.method(config, Task(HALF_CHEETAH, 0.99), seed=0, device=device)
    if compiled:
        use_cache()
        method.differentiate = CompiledGradients(method)
    blocks, each = cycle(_blocks(batch_size)), method.batches_per_update

    def update(record: CallRecord) -> None:
        drawn = [next(blocks) for _ in range(each)]
        with autocast(precision, device):
            metrics = method.update([Batch.from_block(block, LAYOUT) for block in drawn])
        record.add(drawn, metrics)

    def measure() -> float:
        record = CallRecord()
        with without_denormals():
            done = rate(lambda: update(record))
        record.means()
        return done

    return measure


def plain(batch_size: int, threads: int) -> Measure:
    """Measure SAC of many critics and batches as a plain loop."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    method, blocks = PlainSAC(RLPD), cycle(_blocks(batch_size))

    def update() -> None:
        drawn = [next(blocks) for _ in range(RLPD.critic_batches)]
        method.update([Batch.from_block(block, LAYOUT) for block in drawn])

    return lambda: rate(update)


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
    yield from _compiled_rows(machine.cores, repeats)
    yield from _many_critics(machine.cores, repeats)


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
    what, note = "its arithmetic, float32", f"the peak is a product {WIDEST.shape}"
    wanted = SHARE_OF_PEAK
    yield rounds.row(what, "GFLOP/s", "float32", "peak", by=giga, at_least=wanted, note=note)
    what, note = "its matrix products and nothing else", "what would be left to gain"
    told = "with all else"
    yield rounds.row(what, "updates/s", "floor", "float32", told=told, by=1 / giga, note=note)


def _thread_rows(cores: int, repeats: int) -> Iterator[Row]:
    counts = [1 << power for power in range(cores.bit_length())]
    rounds = in_turn(
        {str(count): partial(ours, SMALL_BATCH, count, "float32") for count in counts}, repeats
    )
    for count in counts:
        what = f"AWAC, batch {SMALL_BATCH}, float32, {counted(count, 'thread')}"
        peer, told = ("1", "1 thread") if count > 1 else ("", "")
        yield rounds.row(what, "updates/s", str(count), peer, told=told)


def _compiled_rows(threads: int, repeats: int) -> Iterator[Row]:
    for size, targets in COMPILED_TARGETS.items():
        rounds = in_turn(
            {
                "eager": partial(ours, size, threads),
                "compiled": partial(ours, size, threads, compiled=True),
                PEER: partial(theirs, size, threads),
                "products": partial(multiply, of_update(size), "float32", threads),
                "few rows": partial(ours, FEW, threads),
            },
            repeats,
        )
        for name, target in targets.items():
            what = f"AWAC, batch {size}, {name}, {counted(threads, 'thread')}"
            yield rounds.row(what, "updates/s", name, PEER, at_least=target)
        what, by = f"matrix products alone, batch {size}", 1e9 / flops(of_update(size))
        yield rounds.row(what, "updates/s", "products", "eager", told="eager", by=by)
        what = f"an update of {FEW} rows, eager: operations without arithmetic"
        yield rounds.row(what, "updates/s", "few rows", "eager", told=f"of {size}")


def _many_critics(threads: int, repeats: int) -> Iterator[Row]:
    rounds = in_turn(
        {
            "eager": partial(ours, SMALL_BATCH, threads, config=RLPD),
            "compiled": partial(ours, SMALL_BATCH, threads, config=RLPD, compiled=True),
            "plain": partial(plain, SMALL_BATCH, threads),
        },
        repeats,
    )
    for name, target in (("eager", None), ("compiled", 1.5)):
        what = f"SAC, 10 critics, 20 batches of {SMALL_BATCH}, {name}"
        told = "a plain loop"
        yield rounds.row(what, "updates/s", name, "plain", told=told, at_least=target)


def _blocks(batch_size: int) -> list[torch.Tensor]:
    """Batches [batch_size, width] of noise, with discounts of 0.99."""
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn(batch_size, LAYOUT.width, generator=generator) for _ in range(BATCHES)]
    for block in blocks:
        block[:, LAYOUT.discounts] = 0.99
    return blocks
