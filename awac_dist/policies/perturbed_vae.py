"""The best of N actions of a VAE of the data, each perturbed a little (BCQ: Fujimoto et al., 2019).

u_i = tanh(D(s, z_i)),                      z_i ~ N(0, 1), clipped
a_i = centre + half_range * clip(u_i + phi * tanh(MLP(s, u_i)), -1, 1)
"""

from __future__ import annotations

import numpy as np

from awac_dist.policies.choosing import ChoosingPolicy, joined
from awac_dist.policies.network import Layers, layer_shapes, layers_of, through
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

DECODER = "decoder."
MOST_LATENT = 0.5  # to which latents are clipped: nothing far from the data is decoded
ONE = np.float32(1)


class PerturbedVAEPolicy(ChoosingPolicy):
    """Its arrays are those of the perturbation, of the critics and of the decoder."""

    has_std = False

    def __init__(self, spec: PolicySpec, vector: Array, version: int) -> None:
        super().__init__(spec, vector, version)
        self._decoder = layers_of(self.arrays, len(spec.decoder_hidden) + 1, DECODER)

    @classmethod
    def shapes(cls, spec: PolicySpec) -> dict[str, tuple[int, ...]]:
        _, *others = spec.layer_sizes
        decoder = (spec.input_size + spec.latent_size, *spec.decoder_hidden, spec.action_size)
        perturbation = layer_shapes((spec.input_size + spec.action_size, *others))
        return super().shapes(spec) | perturbation | layer_shapes(decoder, DECODER)

    @classmethod
    def noise_of_one(cls, spec: PolicySpec) -> int:
        return spec.latent_size

    def actor(self) -> None:
        """No network of its own acts."""

    def _candidates(self, observations: Array, noise: Array) -> Array:
        seen = self._seen(observations)
        latents = np.clip(self._by_candidate(noise), -MOST_LATENT, MOST_LATENT)  # [N, E, Z]
        units = _bounded(self._decoder, joined(seen, latents))  # [N * E, A]
        units = units.reshape(*latents.shape[:2], -1)
        moves = _bounded(self._layers, joined(seen, units)).reshape(units.shape)
        moves *= np.float32(self.spec.max_perturbation)
        moved = np.clip(units + moves, -ONE, ONE)
        moved *= self._half_range
        moved += self._centre
        return moved


def _bounded(layers: Layers, inputs: Array) -> Array:
    """In [-1, 1]: [n, A] of rows [n, ...]."""
    weight, bias = layers[-1]
    return np.tanh(through(layers[:-1], inputs) @ weight + bias)
