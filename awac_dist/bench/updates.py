"""AWAC updates a second: beside d3rlpy's, and beside what the matrix products alone take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from itertools import cycle

import torch

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.world import Task
from awac_dist.allocator import keep_freed_memory
from awac_dist.bench import products
from awac_dist.bench.hardware import hardware
from awac_dist.bench.peak import multiply
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import Contestant, Measure, Rounds, in_turn, rate
from awac_dist.learner.config import Precision
from awac_dist.learner.device import autocast
from awac_dist.learner.record import CallRecord
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.replay.layout import Layout
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec

BATCHES = 16  # that take turns
PEER = "d3rlpy"
SMALL_BATCH = 256  # what a run takes where it is not told
TARGETS = {"float32": 1.35, "bfloat16": 2.4}  # times d3rlpy's
SHARE_OF_PEAK = 0.55
TASK = EnvSpec(
    "bench",
    products.OBSERVATION,
    products.ACTION,
    (-1.0,) * products.ACTION,
    (1.0,) * products.ACTION,
    None,
)


def ours(batch_size: int, threads: int, precision: Precision) -> Measure:
    """Measure updates as the learner makes them, metrics included."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    critic = CriticConfig(hidden=products.HIDDEN, members=products.CRITICS)
    config = AWACConfig(ActorConfig(hidden=products.HIDDEN, weight_decay=1e-4), critic)
    method = AWAC(config, Task(TASK, 0.99), seed=0, device=torch.device("cpu"))
    layout, blocks = Layout.of(TASK), cycle(_blocks(batch_size))

    def update(record: CallRecord) -> None:
        block = next(blocks)
        with autocast(precision, torch.device("cpu")):
            metrics = method.update([Batch.from_block(block, layout)])
        record.add([block], metrics)

    def measure() -> float:
        record = CallRecord()
        done = rate(lambda: update(record))
        record.means()
        return done

    return measure


def theirs(batch_size: int, threads: int) -> Measure:
    """Measure d3rlpy's updates on batches that are tensors already."""
    with redirect_stderr(StringIO()):  # gym, which it imports, asks its users to leave
        from d3rlpy.algos import AWACConfig as TheirConfig
        from d3rlpy.models.encoders import VectorEncoderFactory
        from d3rlpy.torch_utility import TorchMiniBatch

    torch.set_num_threads(threads)
    layout = Layout.of(TASK)
    networks = VectorEncoderFactory(list(products.HIDDEN))
    config = TheirConfig(
        actor_encoder_factory=networks,
        critic_encoder_factory=networks,
        n_critics=products.CRITICS,
        batch_size=batch_size,
    )
    algorithm = config.create(device="cpu:0")
    algorithm.create_impl((products.OBSERVATION,), products.ACTION)
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
        for batch in (Batch.from_block(block, layout) for block in _blocks(batch_size))
    )
    return lambda: rate(lambda: algorithm.impl.update(next(batches), 0))


def rows(repeats: int) -> Iterator[Row]:
    """Both precisions beside d3rlpy's on all cores, then what threads bring."""
    machine = hardware()
    rounds = _against_peers(machine.cores, repeats)
    yield from _precision_rows(rounds, machine.cores, machine.has_bfloat16)
    yield from _floor_rows(rounds)
    yield from _thread_rows(machine.cores, repeats)


def _against_peers(threads: int, repeats: int) -> Rounds:
    contestants = {
        precision: Contestant(ours, products.BATCH, threads, precision) for precision in TARGETS
    }
    if find_spec(PEER):
        contestants[PEER] = Contestant(theirs, products.BATCH, threads)
    widest, every = [products.WIDEST], products.of_update()
    contestants["peak"] = Contestant(multiply, widest, "float32", threads)
    contestants["floor"] = Contestant(multiply, every, "float32", threads)
    return in_turn(contestants, repeats)


def _precision_rows(rounds: Rounds, threads: int, has_bfloat16: bool) -> Iterator[Row]:
    for precision, target in TARGETS.items():
        lacking = precision == "bfloat16" and not has_bfloat16
        note = "this CPU has no bfloat16 arithmetic" if lacking else ""
        what = f"AWAC, batch {products.BATCH}, {precision}, {threads} threads"
        yield rounds.row(what, "updates/s", precision, PEER, at_least=target, note=note)


def _floor_rows(rounds: Rounds) -> Iterator[Row]:
    giga = products.flops(products.of_update()) / 1e9
    note = f"the peak is a product {' x '.join(map(str, products.WIDEST[:3]))}"
    yield rounds.row(
        *("its arithmetic, float32", "GFLOP/s", "float32", "peak"),
        by=giga,
        at_least=SHARE_OF_PEAK,
        note=note,
    )
    yield rounds.row(
        *("its matrix products and nothing else", "updates/s", "floor", "float32"),
        told="with all else",
        by=1 / giga,
        note="what would be left to gain",
    )


def _thread_rows(cores: int, repeats: int) -> Iterator[Row]:
    counts = [1 << power for power in range(cores.bit_length()) if 1 << power <= cores]
    rounds = in_turn(
        {str(count): Contestant(ours, SMALL_BATCH, count, "float32") for count in counts}, repeats
    )
    what = f"AWAC, batch {SMALL_BATCH}, float32"
    yield Row(f"{what}, 1 thread", rounds.median("1"), "updates/s")
    for count in map(str, counts[1:]):
        yield rounds.row(f"{what}, {count} threads", "updates/s", count, "1", told="1 thread")


def _blocks(batch_size: int) -> list[torch.Tensor]:
    """Batches [batch_size, width] of noise, with discounts of 0.99."""
    layout = Layout.of(TASK)
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn(batch_size, layout.width, generator=generator) for _ in range(BATCHES)]
    for block in blocks:
        block[:, layout.discounts] = 0.99
    return blocks
