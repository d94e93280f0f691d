"""What the machine multiplies a second, at the shapes of an update."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from awac_dist.bench.hardware import hardware
from awac_dist.bench.products import WIDEST, Product, calls, flops, of_update
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import Contestant, Measure, Rounds, in_turn, rate

FLOAT32, BFLOAT16 = "float32", "bfloat16"


def multiply(products: list[Product], dtype: str, threads: int) -> Measure:
    """Measure products in GFLOP/s."""
    torch.set_num_threads(threads)
    call = calls(products, getattr(torch, dtype))
    return lambda: rate(call) * flops(products) / 1e9


def rows(repeats: int) -> Iterator[Row]:
    """The widest product in float32 and bfloat16, and all products of an update."""
    machine = hardware()
    for threads in sorted({1, machine.cores}):
        yield from _rows(_rounds(threads, repeats), threads, machine.has_bfloat16)


def _rounds(threads: int, repeats: int) -> Rounds:
    wanted = {
        FLOAT32: ([WIDEST], FLOAT32),
        BFLOAT16: ([WIDEST], BFLOAT16),
        "update": (of_update(), FLOAT32),
    }
    return in_turn(
        {
            name: Contestant(multiply, products, dtype, threads)
            for name, (products, dtype) in wanted.items()
        },
        repeats,
    )


def _rows(rounds: Rounds, threads: int, has_bfloat16: bool) -> Iterator[Row]:
    shape = f"{WIDEST.m} x {WIDEST.k} x {WIDEST.n}"
    on = f"{threads} thread{'s' if threads > 1 else ''}"
    yield Row(f"{shape} float32, {on}", rounds.median(FLOAT32), "GFLOP/s")
    lacking = "" if has_bfloat16 else "this CPU has no bfloat16 arithmetic"
    yield rounds.row(f"{shape} bfloat16, {on}", "GFLOP/s", BFLOAT16, FLOAT32, note=lacking)
    note = f"{flops(of_update()) / 1e9:.2f} GFLOP an update of {WIDEST.m}"
    what = f"all products of an update, {on}"
    yield rounds.row(what, "GFLOP/s", "update", FLOAT32, told="the widest alone", note=note)
