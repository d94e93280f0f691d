"""Fetches the rows that the sampler drew, many batches a call, two calls ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from awac_dist.replay.sampler import Draw, Sampler
from awac_dist.types import Future, Handle, Layout

REQUESTS_IN_FLIGHT = 2


class _Request(NamedTuple):
    """Some batches on their way: which positions of them each answer fills."""

    batches: int
    answers: list[tuple[np.ndarray, Future]]


class BatchFetcher:
    """Turns batch numbers into blocks of transitions on the learner's device.

    Args:
        shards: Where the rows lie.
        sampler: Says which rows.
        layout: Columns of a block.
        batches_per_request: Batches fetched in one call to each shard.
        device: Where the blocks are wanted.
    """

    def __init__(
        self,
        shards: Sequence[Handle],
        sampler: Sampler,
        layout: Layout,
        batches_per_request: int,
        device: torch.device,
    ) -> None:
        self._shards, self._sampler, self._layout = shards, sampler, layout
        self._batches_per_request = batches_per_request
        self._device = device

    def fetch(self, first: int, count: int, batch_size: int) -> Iterator[Tensor]:
        """Yield batches number first to first + count - 1 as blocks [B, width]."""
        starts = range(first, first + count, self._batches_per_request)
        waiting: deque[_Request] = deque()
        for start in starts:
            stop = min(start + self._batches_per_request, first + count)
            waiting.append(self._request(range(start, stop), batch_size))
            if len(waiting) == REQUESTS_IN_FLIGHT:
                yield from self._receive(waiting.popleft(), batch_size)
        while waiting:
            yield from self._receive(waiting.popleft(), batch_size)

    def _request(self, numbers: range, batch_size: int) -> _Request:
        draws = [self._sampler.draw(number, batch_size) for number in numbers]
        draw = Draw(*(np.concatenate(columns) for columns in zip(*draws, strict=True)))
        answers = []
        for shard, handle in enumerate(self._shards):
            positions = np.flatnonzero(draw.shards == shard)
            if len(positions):
                relabelling = draw.relabelling(positions)
                answer = handle.post("take", draw.rows[positions], relabelling)
                answers.append((positions, answer))
        return _Request(len(numbers), answers)

    def _receive(self, request: _Request, batch_size: int) -> Iterator[Tensor]:
        rows = request.batches * batch_size
        on_gpu = self._device.type == "cuda"
        block = torch.empty((rows, self._layout.width), pin_memory=on_gpu)
        for positions, answer in request.answers:
            block.numpy()[positions] = answer.result()
        yield from block.to(self._device, non_blocking=on_gpu).split(batch_size)
