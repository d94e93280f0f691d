"""Observations as networks get them: in standard deviations of the prior data from its mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from awac_dist.algorithms.base import Acting
from awac_dist.messages import Handle
from awac_dist.replay.layout import Layout
from awac_dist.replay.normalization import added, statistics


class Normalization:
    """By the statistics of what the shards read, for batches on a device and for whoever acts."""

    def __init__(self, shards: Sequence[Handle], device: torch.device) -> None:
        answers = [shard.post("load") for shard in shards]
        sums = [sums for answer in answers for sums in answer.result().observation_sums]
        shift, scale = statistics(added(sums))  # [O] each
        self.arrays = {"observation_shift": shift, "observation_scale": scale}
        self._device = device

    def of_blocks(self, layout: Layout) -> Callable[[Tensor], Tensor]:
        """A function of blocks [n, width] that normalises every observation in them, in place."""
        shift, scale = self.arrays.values()
        rows = layout.over_observations(shift, rest=0), layout.over_observations(scale, rest=1)
        shifts, scales = (torch.from_numpy(row).to(self._device) for row in rows)
        return lambda block: block.sub_(shifts).div_(scales)

    def acting(self, acting: Acting) -> Acting:
        """The policy that acts on observations as the task gives them."""
        arrays = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        spec = replace(acting.spec, normalize_observations=True)
        return Acting(spec, {**acting.arrays, **arrays})
