"""The two orders in which a method's losses and steps can follow each other."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add, or_
from typing import TYPE_CHECKING

import torch

from awac_dist.algorithms.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from awac_dist.algorithms.gradients import Loss
    from awac_dist.tensors import Batch, Metrics

LOG_BOUNDS = (math.log(1e-6), math.log(1e6))  # where a bound always holds, or never can


class Joint(Method):
    """Everything at once, from one batch.

    losses  of all networks, on the parameters before the update
    step    of every optimiser, on disjoint parameters
    target  Q' <- (1 - tau) Q' + tau Q
    """

    @abstractmethod
    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        """Scalars, each of which reaches a network of its own, and metrics."""

    def update(self, batches: Sequence[Batch]) -> Metrics:
        (batch,) = batches
        metrics = self.descend(self._loss, batch, self.networks)
        self.move_targets()
        self.after_update(batch, metrics)
        return metrics

    def _loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        losses, found = zip(*self.losses(batch), strict=True)
        return reduce(add, losses), reduce(or_, found)


class Alternating(Method):
    """The critics first, as often as there are batches, then the actor.

    others  a step of each network of `other_losses`, on each batch
    critic  a step and Q' <- (1 - tau) Q' + tau Q, on each batch
    actor   a step on the last batch, against the critics as they are then
    """

    def other_losses(self) -> Mapping[str, Loss]:
        """Losses of networks that are fitted before the critics, such as a behaviour model."""
        return {}

    @abstractmethod
    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Scalar to be lowered by the critics, and metrics."""

    @abstractmethod
    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Scalar to be lowered by the actor alone, whatever else it depends on, and metrics."""

    def update(self, batches: Sequence[Batch]) -> Metrics:
        metrics: Metrics = {}
        for batch in batches:
            for name, loss in self.other_losses().items():
                metrics |= self.descend(loss, batch, [name])
            metrics |= self.descend(self.critic_loss, batch, ["critic"])
            self.move_targets()
        metrics |= self.descend(self.actor_loss, batch, ["actor"])
        self.after_update(batch, metrics)
        return metrics

    # Prices of bounds: duals that are the logarithms of the options of their names.

    def make_prices(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Duals that start at these options."""
        starts = {name: math.log(getattr(self.config, name)) for name in names}
        make = torch.nn.Parameter
        return {name: make(torch.tensor(at, device=self.device)) for name, at in starts.items()}

    def price(self, name: str) -> Tensor | float:
        """What it is now, without gradient; the option where no dual moves it."""
        dual = self.duals.get(name)
        return float(getattr(self.config, name)) if dual is None else dual.detach().exp()

    def step_price(self, name: str, slack: Tensor) -> Tensor:
        """Raise it where `slack` [] is negative, else lower it; returns what it was."""
        dual = self.duals[name]
        price = dual.exp()
        self.step(price * slack, [name])
        with torch.no_grad():
            dual.clamp_(*LOG_BOUNDS)
        return price.detach()
