"""What the machine multiplies a second, at the shapes of an update."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from awac_dist.bench.hardware import hardware
from awac_dist.bench.products import WIDEST, Product, calls, flops, of_update
from awac_dist.bench.report import Row, counted
from awac_dist.bench.rounds import Measure, in_turn, rate


def multiply(products: list[Product], dtype: str, threads: int) -> Measure:
    """Measure products in GFLOP/s."""
    torch.set_num_threads(threads)
    call = calls(products, getattr(torch, dtype))
    return lambda: rate(call) * flops(products) / 1e9


def rows(repeats: int) -> Iterator[Row]:
    """The widest product in float32 and bfloat16, and all products of an update."""
    machine = hardware()
    for threads in sorted({1, machine.cores}):
        contestants = {
            "float32": partial(multiply, [WIDEST], "float32", threads),
            "bfloat16": partial(multiply, [WIDEST], "bfloat16", threads),
            "update": partial(multiply, of_update(), "float32", threads),
        }
        rounds = in_turn(contestants, repeats)
        shape, on = WIDEST.shape, counted(threads, "thread")
        yield rounds.row(f"{shape} float32, {on}", "GFLOP/s", "float32")
        what, note = f"{shape} bfloat16, {on}", machine.lacks_bfloat16
        yield rounds.row(what, "GFLOP/s", "bfloat16", "float32", note=note)
        what = f"all products of an update, {on}"
        note = f"{flops(of_update()) / 1e9:.2f} GFLOP an update of {WIDEST.m}"
        yield rounds.row(what, "GFLOP/s", "update", "float32", told="the widest alone", note=note)
