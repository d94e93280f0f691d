"""Observations as networks get them: in standard deviations of the prior data from its mean.

At most `MOST_STDS` of them: where the prior data hardly moves, what is collected may be far away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from awac_dist.algorithms.base import Acting
from awac_dist.messages import Handle
from awac_dist.policies.network import MOST_STDS
from awac_dist.replay.layout import Layout
from awac_dist.replay.normalization import added, statistics
from awac_dist.types import Array


class Normalization:
    """By a shift and a scale [O], for batches and for whoever acts.

    Attributes:
        arrays: Both, by their names in a policy.
    """

    def __init__(self, shift: Array, scale: Array) -> None:
        self.arrays = {"observation_shift": shift, "observation_scale": scale}

    @classmethod
    def by(cls, shards: Sequence[Handle]) -> Normalization:
        """By the statistics of the prior data that the shards read."""
        answers = [shard.post("load") for shard in shards]
        sums = [sums for answer in answers for sums in answer.result().sums]
        return cls(*statistics(added(sums)))

    def of_blocks(self, layout: Layout, device: torch.device) -> Callable[[Tensor], Tensor]:
        """A function of blocks [n, width] that normalises every observation in them, in place."""
        shift, scale = self.arrays.values()
        rows = (
            layout.over_observations(shift, rest=0),
            layout.over_observations(scale, rest=1),
            layout.over_observations(np.full_like(shift, MOST_STDS), rest=np.inf),
        )
        shifts, scales, ends = (torch.from_numpy(row).to(device) for row in rows)
        return lambda block: block.sub_(shifts).div_(scales).clamp_(-ends, ends)

    def acting(self, acting: Acting) -> Acting:
        """The policy that acts on observations as the task gives them."""
        arrays = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        spec = replace(acting.spec, normalize_observations=True)
        return Acting(spec, {**acting.arrays, **arrays})
