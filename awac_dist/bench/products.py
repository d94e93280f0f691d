"""The matrix products of an update, by hand: its arithmetic, and the rate that bounds it.

Section `peak` measures what the machine multiplies a second, at the shapes of an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch

from awac_dist.bench.hardware import hardware
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import Measure, in_turn, rate
from awac_dist.reporting.wording import counted
from awac_dist.types import EnvSpec

HALF_CHEETAH = EnvSpec("HalfCheetah-v5", 17, 6, (-1.0,) * 6, (1.0,) * 6, 1000)
HIDDEN = (256, 256)
CRITICS = 2
BATCH = 1024


class Product(NamedTuple):
    """[m, k] times [k, n], `times` times an update."""

    m: int
    k: int
    n: int
    times: int

    @property
    def flops(self) -> int:
        """Multiplications and additions, of all the times."""
        return 2 * self.m * self.k * self.n * self.times

    @property
    def shape(self) -> str:
        """In words."""
        return f"{self.m} x {self.k} x {self.n}"


WIDEST = Product(BATCH, *HIDDEN, times=1)  # carries nine tenths of the arithmetic


def of_update(batch: int = BATCH) -> list[Product]:
    """Products of one AWAC update.

    The critics pass forward three times: Q(s, a) for both losses, the target at (s', a') and
    Q(s, a) at the policy's own action; the actor twice, at s and s'. One pass of each goes
    backward: every layer's weight, and every layer's input but the first's.
    """
    observation, action = HALF_CHEETAH.observation_size, HALF_CHEETAH.action_size
    actor = _network((observation, *HIDDEN, action), batch, forward=2)
    critics = _network((observation + action, *HIDDEN, 1), batch, forward=3)
    return [*actor, *(product._replace(times=product.times * CRITICS) for product in critics)]


def _network(sizes: tuple[int, ...], batch: int, forward: int) -> Iterator[Product]:
    for layer, (n, m) in enumerate(pairwise(sizes)):
        yield Product(batch, n, m, times=forward)
        yield Product(n, batch, m, times=1)  # gradient of the weight
        if layer:
            yield Product(batch, m, n, times=1)  # gradient of the input


def calls(products: list[Product], dtype: torch.dtype = torch.float32) -> Callable[[], None]:
    """A function that computes all of them, into memory that is there."""
    operands = [
        (torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype), torch.empty(m, n, dtype=dtype))
        for m, k, n, times in products
        for _ in range(times)
    ]

    def multiply() -> None:
        for left, right, out in operands:
            torch.mm(left, right, out=out)

    return multiply


def flops(products: list[Product]) -> int:
    """Of all of them."""
    return sum(product.flops for product in products)


def multiply(products: list[Product], dtype: str, threads: int) -> Measure:
    """Measure products in GFLOP/s."""
    torch.set_num_threads(threads)
    call = calls(products, getattr(torch, dtype))
    return lambda: rate(call) * flops(products) / 1e9


def peak(repeats: int) -> Iterator[Row]:
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
