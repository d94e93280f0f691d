"""Fetches the rows that the sampler drew, many batches a request, two requests ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from awac_dist.messages import Future, Handle
from awac_dist.replay.layout import Layout
from awac_dist.replay.sampler import Sampler

REQUESTS_IN_FLIGHT = 2
REQUEST_BYTES = 8 << 20  # of a request at most; several are in flight
Positions = np.ndarray | slice  # a slice is copied twice as fast
_Answers = list[tuple[Positions, Future]]  # and which rows of a block each of them fills


class BatchFetcher:
    """Turns batch numbers into blocks of transitions on the learner's device.

    Args:
        shards: Where the rows lie.
        sampler: Says which rows.
        layout: Columns of a block, until another one is asked for.
        batches_per_request: Batches fetched in one call to each shard, where they are not wide.
        device: Where the blocks are wanted.

    Attributes:
        layout: Columns of the blocks from the next call on.
        normalize: Applied to all rows that arrive.
        copy_s: Time spent so far on bringing answers together and to the device.
    """

    def __init__(
        self,
        shards: Sequence[Handle],
        sampler: Sampler,
        layout: Layout,
        batches_per_request: int,
        device: torch.device,
    ) -> None:
        self._shards, self._sampler, self.layout = shards, sampler, layout
        self._batches_per_request = batches_per_request
        self._device = device
        self.normalize: Callable[[Tensor], Tensor] = lambda block: block
        self.copy_s = 0.0
        self._ahead: dict[range, _Answers] = {}  # of batches after those of the last call
        self._grounds: tuple[Any, ...] = ()  # that these were drawn on

    def fetch(self, first: int, count: int, batch_size: int) -> Iterator[Tensor]:
        """Yield batches number first to first + count - 1 as blocks [B, width].

        Where nothing has changed since the call before, the next one's are asked for as well.
        """
        grounds = (self._sampler.version, self.layout, batch_size)
        stays, self._grounds = grounds == self._grounds, grounds
        ahead, self._ahead = self._ahead if stays else {}, {}
        waiting: deque[tuple[int, _Answers]] = deque()
        for wanted in self._requests(first, count, batch_size):
            answers = ahead.pop(wanted, None) or self._ask(wanted, batch_size)
            waiting.append((len(wanted), answers))
            if len(waiting) == REQUESTS_IN_FLIGHT:
                yield from self._receive(*waiting.popleft(), batch_size)
        if stays:
            coming = self._requests(first + count, count, batch_size)[:REQUESTS_IN_FLIGHT]
            self._ahead = {wanted: self._ask(wanted, batch_size) for wanted in coming}
        while waiting:
            yield from self._receive(*waiting.popleft(), batch_size)

    def _requests(self, first: int, count: int, batch_size: int) -> list[range]:
        """Batches that are asked for together."""
        fit = REQUEST_BYTES // (4 * batch_size * self.layout.width)
        numbers, each = range(first, first + count), max(1, min(self._batches_per_request, fit))
        return [numbers[start : start + each] for start in range(0, count, each)]

    def _ask(self, numbers: range, batch_size: int) -> _Answers:
        draw = self._sampler.draw(numbers.start, batch_size, len(numbers))
        answers = []
        for shard, handle in enumerate(self._shards):
            mine = draw.shards == shard
            if mine.any():
                positions = slice(None) if mine.all() else np.flatnonzero(mine)
                answer = handle.post(
                    "take",
                    draw.rows[positions],
                    draw.relabelling(positions),
                    self.layout.wishes,
                    self._sampler.known(shard),
                )
                answers.append((positions, answer))
        return answers

    def _receive(self, batches: int, answers: _Answers, batch_size: int) -> Iterator[Tensor]:
        arrived = [(positions, answer.result()) for positions, answer in answers]
        began = time.perf_counter()
        on_gpu = self._device.type == "cuda"
        size = (batches * batch_size, self.layout.width)
        block = torch.empty(size, pin_memory=on_gpu)
        for positions, rows in arrived:
            block.numpy()[positions] = rows
        moved = self.normalize(block.to(self._device, non_blocking=on_gpu))
        self.copy_s += time.perf_counter() - began
        yield from moved.split(batch_size)
