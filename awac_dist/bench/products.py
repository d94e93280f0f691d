"""The matrix products of an update, by hand: its arithmetic, and the rate that bounds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch

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
