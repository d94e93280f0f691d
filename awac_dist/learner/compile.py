"""Gradients of a method's losses through torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from awac_dist.algorithms.base import Method
from awac_dist.algorithms.gradients import Draw, Gradients, Loss, gradients_of
from awac_dist.algorithms.promises import scalar
from awac_dist.tensors import Batch, Metrics

VARIANTS = 64  # losses, sizes of a batch and numbers of threads that a process compiles for


class CompiledGradients:
    """Stands for `gradients_of` in a method: one graph for each loss and each size of a batch.

    What a loss draws at random cannot be part of its graph. So a first call takes note of what it
    draws; the same is then drawn before each call, in the same order, and so the numbers are those
    that `gradients_of` would get, but for rounding.

    Args:
        method: Whose losses they are.
        backend: Of torch.compile.
    """

    def __init__(self, method: Method, backend: str = "inductor") -> None:
        self._method, self._backend = method, backend
        self._draws: dict[tuple[str, int, bool, bool], list[Draw]] = {}
        self._graphs: dict[str, Callable[[Batch], tuple[Gradients, Metrics]]] = {}
        torch._dynamo.config.trace_autograd_ops = True
        torch._dynamo.config.recompile_limit = VARIANTS

    def __call__(
        self, loss: Loss, batch: Batch, parameters: Sequence[Tensor]
    ) -> tuple[Gradients, Metrics]:
        name = loss.__name__
        method = self._method
        key = name, len(batch.rewards), method.online, method.critics_alone
        if key not in self._draws:
            self._draws[key] = self._draws_of(loss, batch)
        if name not in self._graphs:
            self._graphs[name] = torch.compile(
                lambda batch: gradients_of(loss, batch, parameters),
                fullgraph=True,
                dynamic=False,
                backend=self._backend,
            )
        drawn = [draw() for draw in self._draws[key]]
        with self._drawing(lambda draw: drawn.pop(0)):
            return self._graphs[name](batch)

    @contextmanager
    def _drawing(self, draw: Callable[[Draw], Tensor]) -> Iterator[None]:
        """Have the method draw in this way meanwhile."""
        before, self._method.draw = self._method.draw, draw
        try:
            yield
        finally:
            self._method.draw = before

    def _draws_of(self, loss: Loss, batch: Batch) -> list[Draw]:
        before, asked = self._method.generator.get_state(), list[Draw]()

        def note(draw: Draw) -> Tensor:
            asked.append(draw)
            return draw()

        with torch.no_grad(), self._drawing(note):
            scalar(loss(batch)[0], loss)
        self._method.generator.set_state(before)
        return asked
