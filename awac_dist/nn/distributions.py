"""Action distributions, which make actions of noise that the caller draws."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn.functional import softplus

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
INSIDE = 0.99  # half ranges that a logged action counts as at a bound, which tanh never reaches


class Distribution(ABC):
    """Over actions, in the units of the environment.

    Attributes:
        mean: [..., A] the action without chance.
        log_std: [..., A] of the normals that its samples are made of.
    """

    mean: Tensor
    log_std: Tensor

    @abstractmethod
    def at(self, noise: Tensor) -> Tensor:
        """Reparameterised actions for standard normal noise, [*shape, ..., A] both."""

    @abstractmethod
    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density of logged actions [*shape, ..., A], summed over A: [*shape, ...]."""

    def log_prob_under(self, other: Distribution, noise: Tensor) -> Tensor:
        """The same of actions of `at`, but under another distribution of this kind."""
        return other.log_prob(self.at(noise))

    def at_with_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions as of `at`, and their log densities [*shape, ...]."""
        actions = self.at(noise)
        return actions, self.log_prob(actions)


class DiagonalGaussian(Distribution):
    """Independent normals. mean, log_std: [..., A]."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean, self.log_std = mean, log_std

    def at(self, noise: Tensor) -> Tensor:
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, actions: Tensor) -> Tensor:
        standardised = (actions - self.mean) * (-self.log_std).exp()
        return (-0.5 * standardised.square() - self.log_std - LOG_SQRT_2PI).sum(dim=-1)


class SquashedGaussian(Distribution):
    """a = centre + half_range * tanh(u), u of independent normals (Haarnoja et al., 2018).

    Logged actions count as no nearer to a bound than 1 % of the half range: nearer, u is so large
    that the few at the bounds rule what is fitted to all.

    Args:
        inner: Of u [..., A].
        centre, half_range: [A] of the actions.
    """

    def __init__(self, inner: DiagonalGaussian, centre: Tensor, half_range: Tensor) -> None:
        self.inner, self._centre, self._half_range = inner, centre, half_range
        self.mean, self.log_std = self._squashed(inner.mean), inner.log_std

    def at(self, noise: Tensor) -> Tensor:
        return self._squashed(self.inner.at(noise))

    def log_prob(self, actions: Tensor) -> Tensor:
        inside = ((actions - self._centre) / self._half_range).clamp(-INSIDE, INSIDE)
        return self._log_prob(inside.atanh())

    def log_prob_under(self, other: Distribution, noise: Tensor) -> Tensor:
        assert isinstance(other, SquashedGaussian)
        return other._log_prob(self.inner.at(noise))

    def at_with_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.inner.at(noise)
        return self._squashed(raw), self._log_prob(raw)

    def _squashed(self, raw: Tensor) -> Tensor:
        return self._centre + self._half_range * raw.tanh()

    def _log_prob(self, raw: Tensor) -> Tensor:
        """Log N(u) - log |da/du|, where log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u))."""
        slope = 2 * (math.log(2) - raw - softplus(-2 * raw)) + self._half_range.log()
        return self.inner.log_prob(raw) - slope.sum(dim=-1)


class Deterministic(Distribution):
    """One action, and noise of a fixed size that explores around it, in the bounds.

    Its log density is minus half the squared error in half ranges: to make logged actions likely
    is least squares.

    Args:
        mean: [..., A].
        centre, half_range: [A] of the actions.
        exploration_std: Of the noise, in half ranges.
    """

    def __init__(
        self, mean: Tensor, centre: Tensor, half_range: Tensor, exploration_std: float
    ) -> None:
        self.mean, self._half_range, self._exploration_std = mean, half_range, exploration_std
        self._low, self._high = centre - half_range, centre + half_range
        self.log_std = (half_range * exploration_std).log().expand_as(mean)

    def at(self, noise: Tensor) -> Tensor:
        explored = self.mean + self._half_range * self._exploration_std * noise
        return explored.clamp(self._low, self._high)

    def log_prob(self, actions: Tensor) -> Tensor:
        return -0.5 * ((actions - self.mean) / self._half_range).square().sum(dim=-1)
